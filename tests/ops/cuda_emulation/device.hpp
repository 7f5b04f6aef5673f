// What a CUDA kernel expects of its device, under CUDA's names: put before a kernel file, it compiles as C++17 for a CPU. Knows no kernel.
//
// Added to as kernels need more; what is missing does not compile. Fast approximations (__expf and the like) are exact here.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "fibers.hpp"

namespace emulation {

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
#define __syncwarp(...) ::emulation::sync_warp(__LINE__ __VA_OPT__(,) __VA_ARGS__)
#define __shfl_sync(mask, value, from, ...) ::emulation::shuffle(__LINE__, mask, value, from __VA_OPT__(,) __VA_ARGS__)
#define __shfl_down_sync(mask, value, delta, ...) ::emulation::shuffle_down(__LINE__, mask, value, delta __VA_OPT__(,) __VA_ARGS__)
#define __shfl_up_sync(mask, value, delta, ...) ::emulation::shuffle_up(__LINE__, mask, value, delta __VA_OPT__(,) __VA_ARGS__)
#define __shfl_xor_sync(mask, value, bits, ...) ::emulation::shuffle_xor(__LINE__, mask, value, bits __VA_OPT__(,) __VA_ARGS__)
#define __ballot_sync(mask, vote) ::emulation::ballot(mask, vote, __LINE__)
#define __any_sync(mask, vote) (::emulation::ballot(mask, vote, __LINE__) != 0)
#define __all_sync(mask, vote) (::emulation::ballot(mask, !(vote), __LINE__) == 0)

namespace emulation {
inline void sync_warp(int line, unsigned int mask = 0xffffffff) { wait(State::at_warp_barrier, line, mask); }

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
