// Backward bilinear warping in one launch; see the README beside this file.
//
// The image and the result are ELEMENT, the flow and all arithmetic float. Strides count elements and may be 0 (shared
// by the batch). The result is dense, channels last. There is a thread for every number of the result, which a warp
// therefore writes in whole lines; threads of one pixel read the same flow, and neighbouring channels of an image where
// those lie side by side. Each computes its position itself: memory is what the kernel waits for.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int THREADS = 256;

// The two pixels around a position on an axis of `length` pixels, and how far it is from the first to the second.
struct Neighbours {
    int first, second;
    float share;
};

// What the flow adds to a place, clamped to the axis; NaN is no motion.
__device__ __forceinline__ Neighbours neighbours(int place, float by, int length) {
    const float position = by == by ? (float)place + by : (float)place;
    const float inside = fminf(fmaxf(position, 0.0f), (float)(length - 1));
    const int first = (int)inside;
    Neighbours result = {first, min(first + 1, length - 1), inside - (float)first};
    return result;
}

__device__ __forceinline__ float between(float one, float other, float share) { return one + (other - one) * share; }

// Blocks of 256 numbers of one row; y is the row, z the image of the batch. Row 0 of the flow is row `top` of the image.
extern "C" __global__ void __launch_bounds__(256)
    warp(const ELEMENT* image, long long image_batch, long long image_channel, long long image_row,
         long long image_column,  //
         const float* flow, long long flow_batch, long long flow_channel, long long flow_row, long long flow_column,  //
         ELEMENT* result, int channels, int rows, int columns, int height, int top) {
    const int number = blockIdx.x * THREADS + threadIdx.x;
    if (number >= columns * channels) return;
    const int x = number / channels, c = number - x * channels, y = blockIdx.y;
    const long long b = blockIdx.z;
    const float* motion = flow + b * flow_batch + y * flow_row + x * flow_column;
    const Neighbours across = neighbours(x, motion[0], columns), down = neighbours(top + y, motion[flow_channel], height);
    const ELEMENT* plane = image + b * image_batch + c * image_channel;
    const ELEMENT *upper = plane + down.first * image_row, *lower = plane + down.second * image_row;
    const long long left = across.first * image_column, right = across.second * image_column;
    const float above = between(to_float(upper[left]), to_float(upper[right]), across.share);
    const float below = between(to_float(lower[left]), to_float(lower[right]), across.share);
    result[(b * rows + y) * columns * channels + number] = from_float<ELEMENT>(between(above, below, down.share));
}
