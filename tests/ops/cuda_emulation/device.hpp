// What a CUDA kernel expects of its device, on a CPU: put before a kernel file, it compiles as C++17. Knows no kernel.
//
// The threads of a block are fibers (ucontext) of one system thread. A fiber runs until it meets a barrier, then the next one does; real threads would
// spend a kernel's whole time in the scheduler, and would find a missing barrier only by luck. Here a second run with the threads in the opposite order finds
// it. Blocks run one after another, so atomic operations need no more than to be done. A barrier that not all running threads of the block reach, or that they
// reach on different lines, is an error, as is a launch whose arguments do not fit the kernel's in number, size or kind.
// Shared memory is one array per declaration for all blocks; it keeps what the block before wrote, as the hardware's may.

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

using std::max;
using std::min;

struct uint3 {
    unsigned int x, y, z;
};

struct dim3 {
    unsigned int x = 1, y = 1, z = 1;
};

namespace emulation {

constexpr size_t STACK = 128 * 1024;
constexpr int WARP = 32;
enum class State { ready, at_block_barrier, at_warp_barrier, done };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    uint3 index;
    State state;
    int line;           // of the barrier it waits at
    unsigned int mask;  // of the warp barrier it waits at
    uint64_t slot;      // what it shows its warp
};

inline std::vector<std::unique_ptr<Fiber>> fibers;  // of the block that runs, in the order of their numbers
inline Fiber* current;
inline ucontext_t scheduler;
inline dim3 grid, block;
inline uint3 block_index;
inline void (*body)(void**);
inline void** body_arguments;
inline char message[256];

inline void run_body() {
    body(body_arguments);
    current->state = State::done;
    swapcontext(&current->context, &scheduler);
}

inline void wait(State state, int line, unsigned int mask) {
    current->state = state;
    current->line = line;
    current->mask = mask;
    swapcontext(&current->context, &scheduler);
}

inline int number() { return (current->index.z * block.y + current->index.y) * block.x + current->index.x; }
inline int lane() { return number() % WARP; }
inline Fiber* neighbour(int lane) {
    const size_t other = number() / WARP * WARP + lane;
    return other < fibers.size() ? fibers[other].get() : nullptr;
}

// Lets go who waits at a barrier that all it concerns have reached; says whether there was one.
inline bool release() {
    bool released = false;
    int waiting = 0, running = 0, line = -1;
    bool same = true;
    for (auto& fiber : fibers) {
        running += fiber->state != State::done;
        if (fiber->state != State::at_block_barrier) continue;
        same = same && (line == -1 || line == fiber->line);
        line = fiber->line;
        ++waiting;
    }
    if (waiting && waiting == running && same) {
        for (auto& fiber : fibers)
            if (fiber->state == State::at_block_barrier) fiber->state = State::ready;
        released = true;
    }
    for (size_t first = 0; first < fibers.size(); first += WARP)
        for (size_t i = first; i < std::min(first + WARP, fibers.size()); ++i) {
            if (fibers[i]->state != State::at_warp_barrier) continue;
            const unsigned int mask = fibers[i]->mask;
            const int at = fibers[i]->line;
            bool all = mask >> (i - first) & 1;  // a thread must name itself
            for (size_t j = first; j < std::min(first + WARP, fibers.size()); ++j) {
                const Fiber& other = *fibers[j];
                if (!(mask >> (j - first) & 1) || other.state == State::done) continue;
                all = all && other.state == State::at_warp_barrier && other.mask == mask && other.line == at;
            }
            if (!all) continue;
            for (size_t j = first; j < std::min(first + WARP, fibers.size()); ++j)
                if ((mask >> (j - first) & 1) && fibers[j]->state == State::at_warp_barrier) fibers[j]->state = State::ready;
            released = true;
        }
    return released;
}

inline bool run_block(bool backwards) {
    const int count = block.x * block.y * block.z;
    while ((int)fibers.size() > count) fibers.pop_back();
    while ((int)fibers.size() < count) fibers.push_back(std::make_unique<Fiber>());
    for (int i = 0; i < count; ++i) {
        Fiber& fiber = *fibers[i];
        fiber.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
        fiber.state = State::ready;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_body, 0);
    }
    do {
        for (int i = 0; i < count; ++i) {
            current = fibers[backwards ? count - 1 - i : i].get();
            if (current->state == State::ready) swapcontext(&scheduler, &current->context);
        }
    } while (release());
    for (auto& fiber : fibers)
        if (fiber->state != State::done) {
            std::snprintf(message, sizeof message, "threads wait for ever at the barrier of line %d: others are elsewhere", fiber->line);
            return false;
        }
    return true;
}

template <typename T>
constexpr char kind_of() {
    return std::is_pointer_v<T> ? 'u' : std::is_floating_point_v<T> ? 'f' : 'i';
}

template <typename... A>
struct Signature {
    static const char* check(int count, const int* sizes, const char* kinds) {
        constexpr int size_of[] = {(int)sizeof(A)..., 0};
        constexpr char kinds_of[] = {kind_of<A>()..., 0};
        if (count != (int)sizeof...(A)) {
            std::snprintf(message, sizeof message, "%d arguments given, the kernel takes %d", count, (int)sizeof...(A));
            return message;
        }
        for (int i = 0; i < count; ++i)
            if (sizes[i] != size_of[i] || kinds[i] != kinds_of[i]) {
                std::snprintf(message, sizeof message, "argument %d is %c%d, the kernel takes %c%d", i, kinds[i], sizes[i], kinds_of[i], size_of[i]);
                return message;
            }
        return nullptr;
    }
    template <auto kernel, size_t... I>
    static void call(void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
    }
};

template <auto kernel>
struct Launcher;

template <typename... A, void (*kernel)(A...)>
struct Launcher<kernel> {
    static void invoke(void** arguments) { Signature<A...>::template call<kernel>(arguments, std::index_sequence_for<A...>()); }

    static const char* launch(const unsigned int* shape, int count, const int* sizes, const char* kinds, void** arguments, int backwards) {
        if (const char* fault = Signature<A...>::check(count, sizes, kinds)) return fault;
        grid = {shape[0], shape[1], shape[2]};
        block = {shape[3], shape[4], shape[5]};
        const unsigned long long threads = 1ull * block.x * block.y * block.z, blocks = 1ull * grid.x * grid.y * grid.z;
        if (!threads || threads > 1024 || block.z > 64 || !blocks || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
            return "invalid configuration argument";
        body = invoke;
        body_arguments = arguments;
        for (unsigned long long step = 0; step < blocks; ++step) {
            const unsigned long long i = backwards ? blocks - 1 - step : step;
            block_index = {(unsigned int)(i % grid.x), (unsigned int)(i / grid.x % grid.y), (unsigned int)(i / grid.x / grid.y)};
            if (!run_block(backwards)) {
                fibers.clear();
                return message;
            }
        }
        return nullptr;
    }
};

template <typename T>
uint64_t pack(T value) {
    static_assert(sizeof(T) <= 8, "warps exchange up to 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}

template <typename T>
T unpack(uint64_t bits) {
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Shows the warp a value and reads that of lane `source`; one's own where that lane is not there.
template <typename T>
T exchange(unsigned int mask, T value, int source, int line) {
    current->slot = pack(value);
    wait(State::at_warp_barrier, line, mask);
    const Fiber* other = source >= 0 && source < WARP ? neighbour(source) : nullptr;
    const T result = other && (mask >> source & 1) ? unpack<T>(other->slot) : value;
    wait(State::at_warp_barrier, -line, mask);
    return result;
}

inline unsigned int ballot(unsigned int mask, bool vote, int line) {
    current->slot = vote;
    wait(State::at_warp_barrier, line, mask);
    unsigned int votes = 0;
    for (int i = 0; i < WARP; ++i) {
        const Fiber* other = mask >> i & 1 ? neighbour(i) : nullptr;
        if (other && other->state != State::done && other->slot) votes |= 1u << i;
    }
    wait(State::at_warp_barrier, -line, mask);
    return votes;
}

inline int within(int from, int to, int width) { return from / width == to / width && to >= 0 ? to : from; }

}  // namespace emulation

// The way in from outside; everything else stays hidden, since inline variables of several loaded kernels would otherwise be one.
#define EMULATE(kernel)                                                                                                               \
    extern "C" __attribute__((visibility("default"))) const char* emulate_##kernel(const unsigned int* shape, int count,              \
                                                                                   const int* sizes, const char* kinds,               \
                                                                                   void** arguments, int backwards) {                 \
        return emulation::Launcher<&kernel>::launch(shape, count, sizes, kinds, arguments, backwards);                                \
    }

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ thread_local
#define __constant__ const
#define __align__(bytes) __attribute__((aligned(bytes)))
#define threadIdx (::emulation::current->index)
#define blockIdx (::emulation::block_index)
#define blockDim (::emulation::block)
#define gridDim (::emulation::grid)
#define warpSize (::emulation::WARP)

#define __syncthreads() ::emulation::wait(::emulation::State::at_block_barrier, __LINE__, 0)
#define EMULATION_FULL 0xffffffffu
#define __syncwarp(...) ::emulation::wait(::emulation::State::at_warp_barrier, __LINE__, (EMULATION_FULL, ##__VA_ARGS__))
#define __shfl_sync(mask, value, from, ...) ::emulation::shuffle(__LINE__, mask, value, from, ##__VA_ARGS__)
#define __shfl_down_sync(mask, value, delta, ...) ::emulation::shuffle_down(__LINE__, mask, value, delta, ##__VA_ARGS__)
#define __shfl_up_sync(mask, value, delta, ...) ::emulation::shuffle_up(__LINE__, mask, value, delta, ##__VA_ARGS__)
#define __shfl_xor_sync(mask, value, bits, ...) ::emulation::shuffle_xor(__LINE__, mask, value, bits, ##__VA_ARGS__)
#define __ballot_sync(mask, vote) ::emulation::ballot(mask, vote, __LINE__)
#define __any_sync(mask, vote) (::emulation::ballot(mask, vote, __LINE__) != 0)
#define __all_sync(mask, vote) (::emulation::ballot(mask, !(vote), __LINE__) == 0)

namespace emulation {
template <typename T>
T shuffle(int line, unsigned int mask, T value, int from, int width = WARP) {
    return exchange(mask, value, lane() / width * width + (from & (width - 1)), line);
}
template <typename T>
T shuffle_down(int line, unsigned int mask, T value, unsigned int delta, int width = WARP) {
    return exchange(mask, value, within(lane(), lane() + (int)delta, width), line);
}
template <typename T>
T shuffle_up(int line, unsigned int mask, T value, unsigned int delta, int width = WARP) {
    return exchange(mask, value, within(lane(), lane() - (int)delta, width), line);
}
template <typename T>
T shuffle_xor(int line, unsigned int mask, T value, int bits, int width = WARP) {
    const int to = lane() ^ bits;
    return exchange(mask, value, to / width <= lane() / width ? to : lane(), line);
}
}  // namespace emulation

// Operations done by one thread at a time anyway.
template <typename T>
T atomicAdd(T* place, T value) {
    const T old = *place;
    *place = old + value;
    return old;
}
template <typename T>
T atomicMax(T* place, T value) {
    const T old = *place;
    *place = std::max(old, value);
    return old;
}
template <typename T>
T atomicMin(T* place, T value) {
    const T old = *place;
    *place = std::min(old, value);
    return old;
}
template <typename T>
T atomicExch(T* place, T value) {
    return std::exchange(*place, value);
}
template <typename T>
T atomicCAS(T* place, T expected, T value) {
    const T old = *place;
    if (old == expected) *place = value;
    return old;
}
inline void __threadfence() {}
inline void __threadfence_block() {}
template <typename T>
T __ldg(const T* place) {
    return *place;
}

// Arithmetic: the compiler is told to fuse nothing, so each of these rounds once, like the hardware's.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float a) { return std::exp(a); }
inline float __logf(float a) { return std::log(a); }
inline float __sinf(float a) { return std::sin(a); }
inline float __cosf(float a) { return std::cos(a); }
inline float __saturatef(float a) { return a >= 0 ? std::min(a, 1.0f) : 0.0f; }
inline float rsqrtf(float a) { return 1 / std::sqrt(a); }
inline float __uint_as_float(unsigned int bits) { return emulation::unpack<float>(bits); }
inline float __int_as_float(int bits) { return emulation::unpack<float>((unsigned int)bits); }
inline unsigned int __float_as_uint(float value) { return (unsigned int)emulation::pack(value); }
inline int __float_as_int(float value) { return (int)emulation::pack(value); }
inline int __float2int_of(double value) {
    return value != value ? 0 : (int)std::min(std::max(value, -2147483648.0), 2147483647.0);
}
inline int __float2int_rd(float value) { return __float2int_of(std::floor(value)); }
inline int __float2int_ru(float value) { return __float2int_of(std::ceil(value)); }
inline int __float2int_rn(float value) { return __float2int_of(std::nearbyint(value)); }
inline int __float2int_rz(float value) { return __float2int_of(std::trunc(value)); }

inline float float_of_half_bits(unsigned short bits) {
    const unsigned int sign = (unsigned int)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000 | fraction << 13);
    const float size = exponent ? std::ldexp((float)(1024 + fraction), (int)exponent - 25) : std::ldexp((float)fraction, -24);
    return sign ? -size : size;
}

inline unsigned short half_bits_of_float(float value) {
    const unsigned int sign = __float_as_uint(value) >> 16 & 0x8000;
    if (value != value) return 0x7fff;
    const float size = std::fabs(value);
    if (size >= 65520.0f) return (unsigned short)(sign | 0x7c00);
    if (size < 6.103515625e-05f) return (unsigned short)(sign | (unsigned int)std::nearbyint(std::ldexp(size, 24)));
    int exponent;
    const float mantissa = std::frexp(size, &exponent);  // in [0.5, 1): a carry out of the rounding runs over into the exponent, as it should
    return (unsigned short)(sign | (((unsigned int)(exponent + 13) << 10) + (unsigned int)std::nearbyint(std::ldexp(mantissa, 11))));
}
