// Forward warping: every source pixel adds to the four neighbours of its target; what it adds to is divided by the summed weights.
//
// Macros: ELEMENT, the type of the values; DISPLACEMENT, that of the displacement (float, float16, bfloat16). Shapes and strides come as arguments; strides
// count elements and may be 0 (shared by the batch). Sums are float and unordered: the last bits differ from run to run. Sums below 1.2e-38 may count as 0,
// since the memory's float addition flushes subnormal numbers.
//
// Splatting is bound by the atomic additions, four for every value: 1.06 thousand million for 64 channels of two 1080p images. The sums therefore lie
// channels last. The channels of one target are neighbours in memory, and a warp whose threads take consecutive channels adds to 128 consecutive bytes, 4
// transactions instead of up to 32. That holds on every architecture from 7.5 to 12.0. The values may lie either way: where pixels are neighbours they are
// read along pixels, turned in shared memory and added along channels; the result is written the same way back.
// A block takes 64 pixels of one row and up to 32 channels. Where a source pixel goes is worked out once a block rather than once a channel. Threads number
// pixel and channel together, so 20 channels waste none, and 256 threads with 10 KiB of shared memory and at most 42 registers fill a multiprocessor.

#ifndef ELEMENT
#define ELEMENT float
#endif
#ifndef DISPLACEMENT
#define DISPLACEMENT ELEMENT
#endif

constexpr int PIXELS = 64;    // of one row, a block
constexpr int CHANNELS = 32;  // at most, a block
constexpr int THREADS = 256;

// Where the source pixel (x, y) goes: `target` is the upper left neighbour's place in its image, -1 row or column included; share[k] is what the
// neighbours (0, 0), (1, 0), (0, 1), (1, 1) get, 0 for those outside the frame. Rounded step by step, as torch computes it, never fused.
struct Reach {
    long long target;
    float share[4];
};

__device__ __forceinline__ Reach reach(float dx, float dy, float weight, int x, int y, int height, int width) {
    Reach result = {0, {0.0f, 0.0f, 0.0f, 0.0f}};
    const float tx = __fadd_rn((float)x, dx), ty = __fadd_rn((float)y, dy);
    const float left = floorf(tx), top = floorf(ty);
    // Said so that NaN fails too; whatever passes fits an int.
    const bool near = left >= -1.0f && left < (float)width && top >= -1.0f && top < (float)height;
    if (!near || !(fabsf(weight) <= 3.402823466e38f)) return result;
    const float right = __fsub_rn(tx, left), below = __fsub_rn(ty, top);
    const float across[2] = {__fsub_rn(1.0f, right), right}, down[2] = {__fsub_rn(1.0f, below), below};
    const int column = (int)left, row = (int)top;
    result.target = (long long)row * width + column;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const int i = column + (k & 1), j = row + (k >> 1);
        const bool inside = i >= 0 && i < width && j >= 0 && j < height;
        result.share[k] = inside ? __fmul_rn(__fmul_rn(across[k & 1], down[k >> 1]), weight) : 0.0f;
    }
    return result;
}

// The sum of shares, [B, H, W]. Blocks of 64 x 4 pixels.
extern "C" __global__ void splat_total(const DISPLACEMENT* displacement, long long displacement_batch, long long displacement_component,
                                       long long displacement_row, long long displacement_column,  //
                                       const float* weight, long long weight_batch, long long weight_row, long long weight_column,  // null: all 1
                                       float* total, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, b = blockIdx.z;
    if (x >= width || y >= height) return;
    const DISPLACEMENT* d = displacement + b * displacement_batch + y * displacement_row + x * displacement_column;
    const float w = weight ? weight[b * weight_batch + y * weight_row + x * weight_column] : 1.0f;
    const Reach to = reach(to_float(d[0]), to_float(d[displacement_component]), w, x, y, height, width);
    float* image = total + (long long)b * height * width;
#pragma unroll
    for (int k = 0; k < 4; ++k)
        if (to.share[k] != 0.0f) atomicAdd(image + to.target + (k >> 1) * width + (k & 1), to.share[k]);
}

// The sum of share * value, [B, H, W, C].
extern "C" __global__ void __launch_bounds__(THREADS)
    splat_sums(const ELEMENT* value, long long value_batch, long long value_channel, long long value_row, long long value_column,  //
               const DISPLACEMENT* displacement, long long displacement_batch, long long displacement_component, long long displacement_row,
               long long displacement_column,  //
               const float* weight, long long weight_batch, long long weight_row, long long weight_column,  // null: all 1
               float* sums, int height, int width, int channels, int channels_per_block, int groups) {
    __shared__ float tile[CHANNELS][PIXELS + 1];  // one wider, so that reading along channels meets no bank twice
    __shared__ long long targets[PIXELS];
    __shared__ float shares[4][PIXELS];
    const int start = blockIdx.x * PIXELS, y = blockIdx.y, b = blockIdx.z / groups, first = (blockIdx.z % groups) * channels_per_block;
    const int pixels = min(PIXELS, width - start), count = min(channels_per_block, channels - first);
    if ((int)threadIdx.x < pixels) {
        const int x = start + threadIdx.x;
        const DISPLACEMENT* d = displacement + b * displacement_batch + y * displacement_row + x * displacement_column;
        const float w = weight ? weight[b * weight_batch + y * weight_row + x * weight_column] : 1.0f;
        const Reach to = reach(to_float(d[0]), to_float(d[displacement_component]), w, x, y, height, width);
        targets[threadIdx.x] = (long long)b * height * width + to.target;
#pragma unroll
        for (int k = 0; k < 4; ++k) shares[k][threadIdx.x] = to.share[k];
    }
    const ELEMENT* values = value + b * value_batch + first * value_channel + y * value_row + start * value_column;
    const bool turn = value_channel != 1;
    if (turn)
        for (int i = threadIdx.x; i < count * PIXELS; i += THREADS) {
            const int c = i / PIXELS, p = i % PIXELS;
            if (p < pixels) tile[c][p] = to_float(values[c * value_channel + p * value_column]);
        }
    __syncthreads();
    for (int i = threadIdx.x; i < count * pixels; i += THREADS) {
        const int p = (unsigned int)i / (unsigned int)count, c = i - p * count;
        const float v = turn ? tile[c][p] : to_float(values[c + p * value_column]);
        float* target = sums + targets[p] * channels + first + c;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const float share = shares[k][p];
            // A share of 0 adds nothing, not even 0 times NaN.
            if (share != 0.0f) atomicAdd(target + ((long long)(k >> 1) * width + (k & 1)) * channels, __fmul_rn(share, v));
        }
    }
}

// sums / total, a total of exactly 0 counting as 1. `sums` and `result` may be one memory: each thread then reads and writes the same places.
extern "C" __global__ void __launch_bounds__(THREADS)
    splat_divide(const float* sums, const float* total,  //
                 ELEMENT* result, long long result_batch, long long result_channel, long long result_row, long long result_column,  //
                 int height, int width, int channels, int channels_per_block, int groups) {
    __shared__ float tile[CHANNELS][PIXELS + 1];
    __shared__ float divisors[PIXELS];
    const int start = blockIdx.x * PIXELS, y = blockIdx.y, b = blockIdx.z / groups, first = (blockIdx.z % groups) * channels_per_block;
    const int pixels = min(PIXELS, width - start), count = min(channels_per_block, channels - first);
    const long long pixel = ((long long)b * height + y) * width + start;
    if ((int)threadIdx.x < pixels) {
        const float d = total[pixel + threadIdx.x];
        divisors[threadIdx.x] = d == 0.0f ? 1.0f : d;
    }
    __syncthreads();
    ELEMENT* results = result + b * result_batch + first * result_channel + y * result_row + start * result_column;
    const bool turn = result_channel != 1;
    for (int i = threadIdx.x; i < count * pixels; i += THREADS) {
        const int p = (unsigned int)i / (unsigned int)count, c = i - p * count;
        const float quotient = __fdiv_rn(sums[(pixel + p) * channels + first + c], divisors[p]);
        if (turn)
            tile[c][p] = quotient;
        else
            results[c + p * result_column] = from_float<ELEMENT>(quotient);
    }
    if (!turn) return;
    __syncthreads();
    for (int i = threadIdx.x; i < count * PIXELS; i += THREADS) {
        const int c = i / PIXELS, p = i % PIXELS;
        if (p < pixels) results[c * result_channel + p * result_column] = from_float<ELEMENT>(tile[c][p]);
    }
}
