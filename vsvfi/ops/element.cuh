// The element types of tensors on the device, and their way to and from float. Put before every kernel; knows no operator.
//
// Written without cuda_fp16.h and cuda_bf16.h: where torch comes as a wheel of its own (Windows) or CuPy without a CUDA toolkit, no such header is to be
// found at run time. Kernels read and write these types and compute in float, so the conversions are all that is needed.

struct float16 {
    unsigned short bits;
};

struct bfloat16 {
    unsigned short bits;
};

#ifdef __CUDACC__  // another compiler brings these two itself
__device__ __forceinline__ float float_of_half_bits(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ unsigned short half_bits_of_float(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(float16 value) { return float_of_half_bits(value.bits); }

__device__ __forceinline__ float to_float(bfloat16 value) { return __uint_as_float((unsigned int)value.bits << 16); }

// from_float<T>(value): rounded to the nearest, halves to even, as torch does.
template <typename T>
__device__ __forceinline__ T from_float(float value);

template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}

template <>
__device__ __forceinline__ float16 from_float<float16>(float value) {
    return float16{half_bits_of_float(value)};
}

template <>
__device__ __forceinline__ bfloat16 from_float<bfloat16>(float value) {
    if (value != value) return bfloat16{0x7fc0};  // the rounding below would carry some NaNs over into infinity or zero
    const unsigned int bits = __float_as_uint(value);
    return bfloat16{(unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
