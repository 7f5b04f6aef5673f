// The local correlation volume in one launch; see the README beside this file.
//
// Features are ELEMENT, sums float. Strides count elements. The result is dense, channels last. There is a thread for
// every number of the result: neighbouring threads compare one pixel with its neighbours, so that they share the pixel's
// features, and the neighbours' are read again from the cache by the threads of the next pixels.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int THREADS = 256;

// Blocks of 256 numbers of one row; y is the row, z the image of the batch.
extern "C" __global__ void __launch_bounds__(256)
    correlation(const ELEMENT* first, long long first_batch, long long first_channel, long long first_row,
                long long first_column,  //
                const ELEMENT* second, long long second_batch, long long second_channel, long long second_row,
                long long second_column,  //
                ELEMENT* result, int channels, int rows, int columns, int radius) {
    const int reach = 2 * radius + 1, volume = reach * reach;
    const int number = blockIdx.x * THREADS + threadIdx.x;
    if (number >= columns * volume) return;
    const int x = number / volume, k = number - x * volume, y = blockIdx.y;
    const int row = y + k / reach - radius, column = x + k % reach - radius;
    const long long b = blockIdx.z;
    float sum = 0.0f;
    if (row >= 0 && row < rows && column >= 0 && column < columns) {
        const ELEMENT* one = first + b * first_batch + y * first_row + x * first_column;
        const ELEMENT* other = second + b * second_batch + row * second_row + column * second_column;
        for (int c = 0; c < channels; ++c) {
            sum += to_float(one[c * first_channel]) * to_float(other[c * second_channel]);
        }
    }
    result[(b * rows + y) * columns * volume + number] = from_float<ELEMENT>(sum / (float)channels);
}
