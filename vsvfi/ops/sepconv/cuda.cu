// Deformable separable convolution: a sum of 5 x 5 samples of an image, each where offsets of its pixel point to; see the README beside this file.
//
// Macro: ELEMENT, the type of the maps (float, float16, bfloat16); the image and the result are float. Shapes and strides come as arguments; strides count
// elements and may be 0 (shared by the batch).
// A thread makes one pixel, all channels of it: the 85 numbers of its maps are read once each, which is what the kernel is bound by; the image's samples are near one
// another for neighbouring pixels and come from the caches. Along a warp lie pixels of a row, so that maps with neighbouring pixels side by side are read in whole lines;
// with channels side by side every line is used by the taps that follow.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int TAPS = 5;
constexpr int BORDER = 2;    // pixels that the image is continued by on every side
constexpr int CHANNELS = 4;  // at most

// The samples around a place on an axis of `length` pixels, and what each counts. Outside both are the border sample, each in full.
struct Neighbours {
    int first, second;
    float first_share, second_share;
};

__device__ __forceinline__ int pixel_of(int sample, int length) { return min(max(sample - BORDER, 0), length - 1); }

__device__ __forceinline__ Neighbours neighbours(float place, int length) {
    const int end = length + 2 * BORDER - 1;
    const float last = (float)end;
    const bool outside = place < 0.0f || place >= last;
    // Said so that NaN stays NaN, and makes the weights NaN.
    const float inside = place < 0.0f ? 0.0f : (place > last ? last : place);
    const int first = inside == inside ? (int)inside : 0;
    const int second = outside ? first : min(first + 1, end);
    Neighbours result;
    result.first = pixel_of(first, length);
    result.second = pixel_of(second, length);
    result.first_share = __fadd_rn(1.0f, __fsub_rn((float)first, inside));
    result.second_share = __fsub_rn(1.0f, __fsub_rn((float)second, inside));
    return result;
}

// Summed as the definition sums, never fused.
__device__ __forceinline__ float place_of(float offset, int pixel, int tap) {
    return __fadd_rn(__fsub_rn(__fadd_rn(__fadd_rn(offset, (float)pixel), (float)tap), 2.0f), 1.0f);
}

struct Map {
    const ELEMENT* values;
    long long channel;
    __device__ __forceinline__ float operator[](int tap) const { return to_float(values[tap * channel]); }
};

__device__ __forceinline__ Map map_of(const ELEMENT* values, long long batch, long long channel, long long row, long long column, int b, int y, int x) {
    Map map = {values + b * batch + y * row + x * column, channel};
    return map;
}

// Blocks of 32 x 8 pixels; z is the image.
extern "C" __global__ void __launch_bounds__(256)
    sepconv(const float* image, long long image_batch, long long image_channel, long long image_row, long long image_column,  //
            const ELEMENT* vertical, long long vertical_batch, long long vertical_channel, long long vertical_row, long long vertical_column,
            const ELEMENT* horizontal, long long horizontal_batch, long long horizontal_channel, long long horizontal_row, long long horizontal_column,
            const ELEMENT* alpha, long long alpha_batch, long long alpha_channel, long long alpha_row, long long alpha_column,
            const ELEMENT* beta, long long beta_batch, long long beta_channel, long long beta_row, long long beta_column,
            const ELEMENT* mask, long long mask_batch, long long mask_channel, long long mask_row, long long mask_column,
            float* result, long long result_batch, long long result_channel, long long result_row, long long result_column,  //
            int channels, int height, int width, int rows, int columns, int top, int left) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, b = blockIdx.z;
    if (x >= columns || y >= rows) return;
    const Map v = map_of(vertical, vertical_batch, vertical_channel, vertical_row, vertical_column, b, y, x);
    const Map u = map_of(horizontal, horizontal_batch, horizontal_channel, horizontal_row, horizontal_column, b, y, x);
    const Map a = map_of(alpha, alpha_batch, alpha_channel, alpha_row, alpha_column, b, y, x);
    const Map be = map_of(beta, beta_batch, beta_channel, beta_row, beta_column, b, y, x);
    const Map m = map_of(mask, mask_batch, mask_channel, mask_row, mask_column, b, y, x);
    const float* source = image + b * image_batch;
    float across[TAPS], total[CHANNELS] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int j = 0; j < TAPS; ++j) across[j] = u[j];
    for (int i = 0; i < TAPS; ++i) {
        const float down = v[i];
#pragma unroll
        for (int j = 0; j < TAPS; ++j) {
            const int k = TAPS * i + j;
            const float weight = __fmul_rn(__fmul_rn(down, across[j]), m[k]);
            const Neighbours line = neighbours(place_of(a[k], top + y, i), height), column = neighbours(place_of(be[k], left + x, j), width);
            const float* above = source + line.first * image_row;
            const float* below = source + line.second * image_row;
            const long long before = column.first * image_column, behind = column.second * image_column;
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c) {
                if (c >= channels) break;
                const long long plane = c * image_channel;
                const float upper = __fadd_rn(__fmul_rn(above[plane + before], column.first_share), __fmul_rn(above[plane + behind], column.second_share));
                const float lower = __fadd_rn(__fmul_rn(below[plane + before], column.first_share), __fmul_rn(below[plane + behind], column.second_share));
                const float sample = __fadd_rn(__fmul_rn(upper, line.first_share), __fmul_rn(lower, line.second_share));
                total[c] = __fadd_rn(total[c], __fmul_rn(weight, sample));
            }
        }
    }
    float* pixel = result + b * result_batch + y * result_row + x * result_column;
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) {
        if (c >= channels) break;
        pixel[c * result_channel] = total[c];
    }
}
