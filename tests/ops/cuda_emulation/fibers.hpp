// Runs the threads of a CUDA kernel on a CPU: grid, blocks, barriers, and the way in from outside. Knows none of CUDA's names.
//
// The threads of a block are fibers (ucontext) of one system thread. A fiber runs until it meets a barrier, then the next one does; real threads would
// spend a kernel's whole time in the scheduler, and would find a missing barrier only by luck. Here a second run with the threads in the opposite order finds
// it. Blocks run one after another, so atomic operations need no more than to be done. A barrier that not all running threads of the block reach, or that they
// reach on different lines, is an error, as is a launch whose arguments do not fit the kernel's in number, size or kind.
// Memory that a kernel is given lies between pages that nobody may touch, so that one step too far is an error rather than a crash of everything.
// Shared memory is one array per declaration for all blocks; it keeps what the block before wrote, as the hardware's may.

#pragma once

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

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

inline sigjmp_buf fault;

inline void on_fault(int) { siglongjmp(fault, 1); }

// While it lives, a touch of forbidden memory leads to `fault` instead of ending the process.
struct FaultWatch {
    struct sigaction before[2];
    FaultWatch() {
        struct sigaction action = {};
        action.sa_handler = on_fault;
        sigaction(SIGSEGV, &action, &before[0]);
        sigaction(SIGBUS, &action, &before[1]);
    }
    ~FaultWatch() {
        sigaction(SIGSEGV, &before[0], nullptr);
        sigaction(SIGBUS, &before[1], nullptr);
    }
};

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
            std::snprintf(message, sizeof message, "threads wait for ever at the barrier of line %d: others are elsewhere", std::abs(fiber->line));
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
        const FaultWatch watch;
        if (sigsetjmp(fault, 1)) {
            const uint3 thread = current->index;
            std::snprintf(message, sizeof message, "thread (%u, %u, %u) of block (%u, %u, %u) touches memory that it was not given", thread.x, thread.y,
                          thread.z, block_index.x, block_index.y, block_index.z);
            fibers.clear();
            return message;
        }
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

}  // namespace emulation

// Memory for `bytes`, ending (or beginning) within 16 bytes of a page that nobody may touch; one page of it lies beyond either end. The whole mapping's
// address and size come back in `mapping`.
extern "C" __attribute__((visibility("default"))) char* emulation_guarded(size_t bytes, int at_end, size_t* mapping) {
    const size_t page = sysconf(_SC_PAGESIZE), rounded = (bytes + 15) / 16 * 16, inner = (rounded + page - 1) / page * page;
    char* all = static_cast<char*>(mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (all == MAP_FAILED || (inner && mprotect(all + page, inner, PROT_READ | PROT_WRITE))) std::abort();
    mapping[0] = reinterpret_cast<size_t>(all);
    mapping[1] = inner + 2 * page;
    return all + page + (at_end ? inner - rounded : 0);
}

extern "C" __attribute__((visibility("default"))) void emulation_release(const size_t* mapping) { munmap(reinterpret_cast<void*>(mapping[0]), mapping[1]); }

// The way in from outside; everything else stays hidden, since inline variables of several loaded kernels would otherwise be one.
#define EMULATE(kernel)                                                                                                               \
    extern "C" __attribute__((visibility("default"))) const char* emulate_##kernel(const unsigned int* shape, int count,              \
                                                                                   const int* sizes, const char* kinds,               \
                                                                                   void** arguments, int backwards) {                 \
        return emulation::Launcher<&kernel>::launch(shape, count, sizes, kinds, arguments, backwards);                                \
    }
