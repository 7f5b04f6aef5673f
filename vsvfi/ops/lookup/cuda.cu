// Correlation look-up: bilinear samples of a window around a centre, for every source pixel and one level of the target; from volumes, or with the
// products computed on the way.
//
// Macro: ELEMENT, the type of volumes, features and results (float, float16, bfloat16). Products and blends are float. Results lie channels last, this
// level's windows from channel `offset` on; the slow index of a window moves x. A centre that is not finite, or too far away to reach the level, finds 0.
//
// From volumes one thread makes one number: its neighbours in a warp read the same few rows of one image, which the first-level cache keeps, and write
// neighbouring channels. On demand one block serves one source pixel: a warp multiplies along the channels, which are neighbours in memory, for one place
// of the (2 radius + 2)^2 that the window can touch; those products are shared, and blended as before. Sources beside each other look at nearly the same
// places, which the second-level cache keeps.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int THREADS = 256;  // of both kernels
constexpr int SIDE = 16;      // 2 radius + 2 at most

// A centre's place in the level: the corner of its window's patch, and what lies between pixels.
struct Corner {
    int column, row;
    float right, below;
    bool reached;
};

__device__ __forceinline__ Corner corner(const float* centre, long long component, float inverse, int radius, int height, int width) {
    const float x = centre[0] * inverse, y = centre[component] * inverse;
    Corner result = {0, 0, 0.0f, 0.0f, false};
    // Said so that NaN fails too; whatever passes fits an int.
    const float reach = (float)radius;
    result.reached = x > -reach - 1.0f && x < (float)width + reach && y > -reach - 1.0f && y < (float)height + reach;
    if (!result.reached) return result;
    const float left = floorf(x), top = floorf(y);
    result.column = (int)left - radius;
    result.row = (int)top - radius;
    result.right = x - left;
    result.below = y - top;
    return result;
}

// One level's windows from its volume, [B, source pixels, target pixels].
extern "C" __global__ void __launch_bounds__(THREADS)
    lookup_volume(const ELEMENT* volume, long long volume_batch,  //
                  const float* centres, long long centre_batch, long long centre_component, long long centre_row, long long centre_column,  //
                  ELEMENT* result, int rows, int columns, int height, int width, int radius, float inverse, int channels, int offset) {
    const int side = 2 * radius + 1, window = side * side;
    const long long index = (long long)blockIdx.x * THREADS + threadIdx.x, count = (long long)rows * columns;
    if (index >= count * window) return;
    const long long source = index / window;
    const int place = (int)(index - source * window), i = place / side, j = place - i * side, b = blockIdx.y;
    const int source_row = (int)(source / columns), source_column = (int)(source - (long long)source_row * columns);
    const float* centre = centres + b * centre_batch + source_row * centre_row + source_column * centre_column;
    const Corner at = corner(centre, centre_component, inverse, radius, height, width);
    float sum = 0.0f;
    if (at.reached) {
        const ELEMENT* image = volume + b * volume_batch + source * height * width;
        const int x = at.column + i, y = at.row + j;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int u = x + (k & 1), v = y + (k >> 1);
            const float share = ((k & 1) ? at.right : 1.0f - at.right) * ((k >> 1) ? at.below : 1.0f - at.below);
            if (u >= 0 && u < width && v >= 0 && v < height) sum += share * to_float(image[(long long)v * width + u]);
        }
    }
    result[((long long)b * count + source) * channels + offset + place] = from_float<ELEMENT>(sum);
}

// One level's windows from features that lie channels last: [B, source pixels, C] and [B, target pixels, C].
extern "C" __global__ void __launch_bounds__(THREADS)
    lookup_on_demand(const ELEMENT* sources, long long source_batch, const ELEMENT* targets, long long target_batch, int depth,  //
                     const float* centres, long long centre_batch, long long centre_component, long long centre_row, long long centre_column,  //
                     ELEMENT* result, int rows, int columns, int height, int width, int radius, float inverse, int channels, int offset) {
    __shared__ float products[SIDE * SIDE];
    const int side = 2 * radius + 1, source = blockIdx.x, b = blockIdx.y;
    const int source_row = source / columns, source_column = source - source_row * columns;
    const float* centre = centres + b * centre_batch + source_row * centre_row + source_column * centre_column;
    const Corner at = corner(centre, centre_component, inverse, radius, height, width);
    ELEMENT* found = result + ((long long)b * rows * columns + source) * channels + offset;
    if (!at.reached) {  // the whole block agrees
        for (int place = threadIdx.x; place < side * side; place += THREADS) found[place] = from_float<ELEMENT>(0.0f);
        return;
    }
    const ELEMENT* own = sources + b * source_batch + (long long)source * depth;
    const int lane = threadIdx.x % 32, patch = side + 1;
    for (int p = threadIdx.x / 32; p < patch * patch; p += THREADS / 32) {
        const int u = at.column + p % patch, v = at.row + p / patch;
        float sum = 0.0f;
        if (u >= 0 && u < width && v >= 0 && v < height) {  // the whole warp agrees
            const ELEMENT* other = targets + b * target_batch + ((long long)v * width + u) * depth;
            for (int c = lane; c < depth; c += 32) sum += to_float(own[c]) * to_float(other[c]);
        }
#pragma unroll
        for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
        if (lane == 0) products[p] = sum;
    }
    __syncthreads();
    for (int place = threadIdx.x; place < side * side; place += THREADS) {
        const float* near = products + (place % side) * patch + place / side;
        const float above = near[0] * (1.0f - at.right) + near[1] * at.right;
        const float under = near[patch] * (1.0f - at.right) + near[patch + 1] * at.right;
        found[place] = from_float<ELEMENT>(above * (1.0f - at.below) + under * at.below);
    }
}
