// Two images merged by masks, time and a residual, in one launch; see the README beside this file.
//
// The network's output is ELEMENT, everything else float. Strides count elements and may be 0 (shared by the batch). The
// result is dense, channels last. There is a thread for every pixel.

#ifndef ELEMENT
#define ELEMENT float
#endif

__device__ __forceinline__ float sigmoid(float value) { return 1.0f / (1.0f + expf(-value)); }

extern "C" __global__ void __launch_bounds__(256)
    merge_images(const ELEMENT* output, long long output_batch, long long output_channel, long long output_row,
                 long long output_column,  //
                 const float* first, long long first_batch, long long first_channel, long long first_row,
                 long long first_column,  //
                 const float* second, long long second_batch, long long second_channel, long long second_row,
                 long long second_column,  //
                 const float* times, long long times_batch, float* result, int rows, int columns) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const long long b = blockIdx.z;
    const ELEMENT* own = output + b * output_batch + y * output_row + x * output_column;
    const float* before = first + b * first_batch + y * first_row + x * first_column;
    const float* after = second + b * second_batch + y * second_row + x * second_column;
    const float t = times[b * times_batch];
    const float one = sigmoid(to_float(own[3 * output_channel])) * (1.0f - t);
    const float other = sigmoid(to_float(own[4 * output_channel])) * t;
    float* made = result + ((b * rows + y) * columns + x) * 3;
    for (int c = 0; c < 3; ++c) {
        const float merged = (before[c * first_channel] * one + after[c * second_channel] * other) / (one + other);
        made[c] = merged + (2.0f * sigmoid(to_float(own[c * output_channel])) - 1.0f);
    }
}
