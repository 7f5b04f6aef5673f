// Steps between the blocks of a coarse-to-fine flow network, each one pass over memory; see the README beside this
// file.
//
// Everything is float. Shapes and strides come as arguments; strides count elements and may be 0 (shared by the batch).
// Results are dense, channels last. `warp_pair` has a thread for every number of its result, which a warp therefore
// writes in whole lines; threads of one pixel read the same flow, and neighbouring channels of an image where those
// lie side by side. Each works its position out itself: memory is what the kernel waits for. The others have a thread
// for every pixel.

constexpr int THREADS = 256;

struct Image {
    const float* values;
    long long channel, row, column;
    __device__ __forceinline__ float at(int c, int y, int x) const {
        return values[c * channel + y * row + x * column];
    }
};

__device__ __forceinline__ Image image_of(const float* values, long long batch, long long channel, long long row,
                                          long long column, int b) {
    Image image = {values + b * batch, channel, row, column};
    return image;
}

// The two pixels around a position on an axis of `length` pixels, and how far it is from the first to the second.
struct Neighbours {
    int first, second;
    float share;
};

__device__ __forceinline__ Neighbours neighbours(float position, int length) {
    const float inside = fminf(fmaxf(position, 0.0f), (float)(length - 1));
    const int first = (int)inside;
    Neighbours result = {first, min(first + 1, length - 1), inside - (float)first};
    return result;
}

__device__ __forceinline__ float between(float one, float other, float share) { return one + (other - one) * share; }

__device__ __forceinline__ float sampled(const Image& image, int c, const Neighbours& y, const Neighbours& x) {
    return between(between(image.at(c, y.first, x.first), image.at(c, y.first, x.second), x.share),
                   between(image.at(c, y.second, x.first), image.at(c, y.second, x.second), x.share), y.share);
}

// What the flow of a pixel adds to its place; NaN is no motion.
__device__ __forceinline__ float moved(int place, float by) { return by == by ? (float)place + by : (float)place; }

// Channels `side` and `side` + 1 of the flow of pixel (y, x), as places in an image.
struct Target {
    Neighbours y, x;
};

__device__ __forceinline__ Target target(const Image& flow, int side, int y, int x, int height, int width) {
    Target result = {neighbours(moved(y, flow.at(side + 1, y, x)), height),
                     neighbours(moved(x, flow.at(side, y, x)), width)};
    return result;
}

// Channel c of an image that is enlarged by `ratio` to rows x columns, half-pixel centres.
__device__ __forceinline__ float enlarged(const Image& image, int c, int y, int x, int rows, int columns, int ratio) {
    if (ratio == 1) return image.at(c, y, x);
    const float inverse = 1.0f / (float)ratio;
    return sampled(image, c, neighbours(((float)y + 0.5f) * inverse - 0.5f, rows / ratio),
                   neighbours(((float)x + 0.5f) * inverse - 0.5f, columns / ratio));
}

// Blocks of 256 numbers of one row; y is the row, z the image of the batch.
extern "C" __global__ void __launch_bounds__(256)
    warp_pair(const float* first, long long first_batch, long long first_channel, long long first_row,
              long long first_column,  //
              const float* second, long long second_batch, long long second_channel, long long second_row,
              long long second_column,  //
              const float* flow, long long flow_batch, long long flow_channel, long long flow_row,
              long long flow_column,  //
              const float* state, long long state_batch, long long state_channel, long long state_row,
              long long state_column,  //
              const float* times, long long times_batch, float* result, int channels, int kept, int rows, int columns,
              int step, int ratio) {
    const int size = 2 * channels + 1 + kept + 4, number = blockIdx.x * THREADS + threadIdx.x;
    if (number >= columns * size) return;
    const int x = number / size, c = number - x * size, y = blockIdx.y, b = blockIdx.z;
    const int height = rows * step, width = columns * step, time = 2 * channels, end = time + 1 + kept;
    const Image motion = image_of(flow, flow_batch, flow_channel, flow_row, flow_column, b);
    float value = 0.0f;
    if (c == time) {
        value = times[b * times_batch];
    } else if (c > time && c < end) {
        const Image given = image_of(state, state_batch, state_channel, state_row, state_column, b);
        value = enlarged(given, c - time - 1, y, x, rows, columns, ratio);
    } else {
        const bool later = c >= channels;
        const Image image = later ? image_of(second, second_batch, second_channel, second_row, second_column, b)
                                  : image_of(first, first_batch, first_channel, first_row, first_column, b);
        const int places = step > 1 ? 2 : 1, begin = step > 1 ? step / 2 - 1 : 0;  // in the middle of a cell
        for (int down = 0; down < places; ++down)
            for (int across = 0; across < places; ++across) {
                const int j = y * step + begin + down, i = x * step + begin + across;
                if (c >= end) {
                    value += motion.at(c - end, j, i);
                } else {
                    const Target to = target(motion, later ? 2 : 0, j, i, height, width);
                    value += sampled(image, later ? c - channels : c, to.y, to.x);
                }
            }
        value *= 1.0f / (float)(places * places);
        if (c >= end) value /= (float)step;
    }
    result[(((long long)b * rows + y) * columns) * size + number] = value;
}

// Blocks of 32 x 8 pixels; z is the image of the batch.
extern "C" __global__ void __launch_bounds__(256)
    blend_pair(const float* first, long long first_batch, long long first_channel, long long first_row,
               long long first_column,  //
               const float* second, long long second_batch, long long second_channel, long long second_row,
               long long second_column,  //
               const float* flow, long long flow_batch, long long flow_channel, long long flow_row,
               long long flow_column,  //
               const float* mask, long long mask_batch, long long mask_channel, long long mask_row,
               long long mask_column,  //
               float* result, int rows, int columns) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, b = blockIdx.z;
    if (x >= columns || y >= rows) return;
    const Image one = image_of(first, first_batch, first_channel, first_row, first_column, b);
    const Image other = image_of(second, second_batch, second_channel, second_row, second_column, b);
    const Image motion = image_of(flow, flow_batch, flow_channel, flow_row, flow_column, b);
    const Target to_one = target(motion, 0, y, x, rows, columns), to_other = target(motion, 2, y, x, rows, columns);
    const float share = image_of(mask, mask_batch, mask_channel, mask_row, mask_column, b).at(0, y, x);
    float* pixel = result + (((long long)b * rows + y) * columns + x) * 3;
#pragma unroll
    for (int c = 0; c < 3; ++c)
        pixel[c] = between(sampled(other, c, to_other.y, to_other.x), sampled(one, c, to_one.y, to_one.x), share);
}

// Blocks of 32 x 8 pixels; z is the image of the batch. Without a flow it counts as zero.
extern "C" __global__ void __launch_bounds__(256)
    add_flow(const float* flow, long long flow_batch, long long flow_channel, long long flow_row,
             long long flow_column,  //
             const float* change, long long change_batch, long long change_channel, long long change_row,
             long long change_column,  //
             float* result, int rows, int columns, int step) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, b = blockIdx.z;
    if (x >= columns || y >= rows) return;
    const Image before = image_of(flow, flow_batch, flow_channel, flow_row, flow_column, flow ? b : 0);
    const Image added = image_of(change, change_batch, change_channel, change_row, change_column, b);
    float* pixel = result + (((long long)b * rows + y) * columns + x) * 4;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
        const float more = enlarged(added, c, y, x, rows, columns, step) * (float)step;
        pixel[c] = flow ? before.at(c, y, x) + more : more;
    }
}
