// Blocks of images: normalisation, correlation, the best displacement, a choice of flows; see the README beside this
// file.
//
// Everything is float, results are dense planes. Strides count elements. There is a thread for every number of a result
// or for every pixel; neighbouring threads take neighbouring columns.

constexpr int STEP = 4;

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

struct Window {
    int top, bottom, left, right;
    __device__ __forceinline__ float count() const { return (float)((bottom - top) * (right - left)); }
};

// The part inside of the image of a window around a pixel.
__device__ __forceinline__ Window window_of(int y, int x, int rows, int columns, int reach) {
    Window result = {max(y - reach, 0), min(y + reach + 1, rows), max(x - reach, 0), min(x + reach + 1, columns)};
    return result;
}

// What a pixel differs by from the mean of its neighbourhood, and the mean square of that over the channels.
extern "C" __global__ void __launch_bounds__(256)
    difference(const float* image, long long image_batch, long long image_channel, long long image_row,
               long long image_column,  //
               float* result, float* squares, int channels, int rows, int columns, int reach) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const int b = blockIdx.z;
    const Image own = image_of(image, image_batch, image_channel, image_row, image_column, b);
    const Window window = window_of(y, x, rows, columns, reach);
    const long long plane = (long long)rows * columns, pixel = (long long)y * columns + x;
    float square = 0.0f;
    for (int c = 0; c < channels; ++c) {
        float sum = 0.0f;
        for (int j = window.top; j < window.bottom; ++j) {
            for (int i = window.left; i < window.right; ++i) sum += own.at(c, j, i);
        }
        const float apart = own.at(c, y, x) - sum / window.count();
        result[(b * channels + c) * plane + pixel] = apart;
        square += apart * apart;
    }
    squares[b * plane + pixel] = square / (float)channels;
}

// Divides differences by the deviation in place, or writes their luma to the first of three planes.
extern "C" __global__ void __launch_bounds__(256)
    deviation(float* differences, const float* squares, float* luma, float blue, float green, float red, float flat,
              int channels, int rows, int columns, int reach) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const int b = blockIdx.z;
    const Window window = window_of(y, x, rows, columns, reach);
    const long long plane = (long long)rows * columns, pixel = (long long)y * columns + x;
    const float* own = squares + b * plane;
    float sum = 0.0f;
    for (int j = window.top; j < window.bottom; ++j) {
        for (int i = window.left; i < window.right; ++i) sum += own[(long long)j * columns + i];
    }
    const float scale = 1.0f / sqrtf(sum / window.count() + flat);
    float* values = differences + b * channels * plane + pixel;
    if (luma) {
        luma[b * plane + pixel] = scale * (blue * values[0] + green * values[plane] + red * values[2 * plane]);
        return;
    }
    for (int c = 0; c < channels; ++c) values[c * plane] *= scale;
}

// Blocks of columns of cells; y is the row of cells, z the displacement and the image of the batch.
extern "C" __global__ void __launch_bounds__(64)
    block_scores(const float* first, long long first_batch, long long first_channel, long long first_row,
                 long long first_column,  //
                 const float* second, long long second_batch, long long second_channel, long long second_row,
                 long long second_column,  //
                 float* result, int channels, int rows, int columns, int down, int across) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    const int tall = rows / STEP, wide = columns / STEP;
    if (x >= wide) return;
    const int width = 2 * across + 1, displacements = (2 * down + 1) * width;
    const int b = blockIdx.z / displacements, k = blockIdx.z - b * displacements;
    const int dy = k / width - down, dx = k % width - across;
    const Image own = image_of(first, first_batch, first_channel, first_row, first_column, b);
    const Image other = image_of(second, second_batch, second_channel, second_row, second_column, b);
    float total = 0.0f;
    for (int j = -1; j <= 1; ++j) {
        const int top = STEP * min(max(y + j, 0), tall - 1);
        for (int i = -1; i <= 1; ++i) {
            const int left = STEP * min(max(x + i, 0), wide - 1);
            float sum = 0.0f;
            for (int c = 0; c < channels; ++c) {
                for (int row = top; row < top + STEP; ++row) {
                    if (row + dy < 0 || row + dy >= rows) continue;
                    for (int column = left; column < left + STEP; ++column) {
                        if (column + dx < 0 || column + dx >= columns) continue;
                        sum += own.at(c, row, column) * other.at(c, row + dy, column + dx);
                    }
                }
            }
            total += sum * (j ? 0.25f : 0.5f) * (i ? 0.25f : 0.5f);
        }
    }
    result[((long long)blockIdx.z * tall + y) * wide + x] = total / (float)(STEP * STEP);
}

// A score less what its distance costs.
struct Scores {
    const float* values;
    long long displacement;
    int across, width;
    float first_down, first_across, cost;
    __device__ __forceinline__ float at(int k) const {
        const float y = (float)(k / width) + first_down, x = (float)(k % width) + first_across;
        return values[k * displacement] - cost * sqrtf(y * y + x * x);
    }
};

// Where the parabola through three scores has its top, from the middle one.
__device__ __forceinline__ float summit(float before, float best, float after, bool inside) {
    const float curvature = before + after - 2.0f * best;
    if (!inside || !(curvature < 0.0f)) return 0.0f;
    return fminf(fmaxf(0.5f * (before - after) / curvature, -0.5f), 0.5f);
}

extern "C" __global__ void __launch_bounds__(256)
    best_block(const float* scores, long long scores_batch, long long scores_displacement, long long scores_row,
               long long scores_column,  //
               float* result, int rows, int columns, int down, int across, float offset_down, float offset_across,
               float cost) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const int b = blockIdx.z, width = 2 * across + 1, displacements = (2 * down + 1) * width;
    const Scores own = {scores + b * scores_batch + y * scores_row + x * scores_column, scores_displacement, across,
                        width, offset_down - (float)down, offset_across - (float)across, cost};
    int index = 0;
    float best = own.at(0);
    for (int k = 1; k < displacements; ++k) {
        const float score = own.at(k);
        if (score > best) {
            best = score;
            index = k;
        }
    }
    const int row = index / width, column = index % width, last = displacements - 1;
    const float right = summit(own.at(max(index - 1, 0)), best, own.at(min(index + 1, last)), column > 0 && column < width - 1);
    const float below =
        summit(own.at(max(index - width, 0)), best, own.at(min(index + width, last)), row > 0 && row < 2 * down);
    const long long plane = (long long)rows * columns;
    float* made = result + 3 * b * plane + (long long)y * columns + x;
    made[0] = best;
    made[plane] = (float)column + own.first_across + right;
    made[2 * plane] = (float)row + own.first_down + below;
}

// Flows that are compared: one or two of every pixel, and of each of some grids of blocks the four around a pixel.
struct Candidates {
    Image flow, other, blocks;
    long long grid;
    int pixels, grids, rows, columns;
    __device__ __forceinline__ int count() const { return pixels + 4 * grids; }
    __device__ __forceinline__ void at(int k, int y, int x, float* right, float* below) const {
        if (k < pixels) {
            const Image& own = k ? other : flow;
            *right = own.at(0, y, x);
            *below = own.at(1, y, x);
            return;
        }
        const int corner = (k - pixels) % 4;
        const int row = min(max((y + STEP / 2 + (corner / 2) * STEP) / STEP - 1, 0), rows - 1);
        const int column = min(max((x + STEP / 2 + (corner % 2) * STEP) / STEP - 1, 0), columns - 1);
        const Image own = {blocks.values + (k - pixels) / 4 * grid, blocks.channel, blocks.row, blocks.column};
        *right = own.at(0, row, column);
        *below = own.at(1, row, column);
    }
};

#define FLOWS                                                                                                        \
    const float *flow, long long flow_batch, long long flow_channel, long long flow_row, long long flow_column,     \
        const float *other, long long other_batch, long long other_channel, long long other_row,                    \
        long long other_column, const float *blocks, long long blocks_grid, long long blocks_batch,                 \
        long long blocks_channel, long long blocks_row, long long blocks_column, int grids, int block_rows,         \
        int block_columns

#define CANDIDATES(b)                                                                                                \
    {image_of(flow, flow_batch, flow_channel, flow_row, flow_column, b),                                            \
     image_of(other, other_batch, other_channel, other_row, other_column, b),                                       \
     image_of(blocks, blocks_batch, blocks_channel, blocks_row, blocks_column, b),                                  \
     blocks_grid, other ? 2 : 1, grids, block_rows, block_columns}

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

extern "C" __global__ void __launch_bounds__(256)
    candidate_errors(const float* own, long long own_batch, long long own_channel, long long own_row,
                     long long own_column,  //
                     const float* others, long long others_batch, long long others_channel, long long others_row,
                     long long others_column,  //
                     FLOWS, float* result, int channels, int rows, int columns, int height, int width, int apart,
                     int top, float left) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const int b = blockIdx.z;
    const Image here = image_of(own, own_batch, own_channel, own_row, own_column, b);
    const Image there = image_of(others, others_batch, others_channel, others_row, others_column, b);
    const Candidates given = CANDIDATES(b);
    for (int k = 0; k < given.count(); ++k) {
        float right, below;
        given.at(k, y, x, &right, &below);
        float* made = result + (((long long)k * gridDim.z + b) * rows + y) * columns + x;
        const float place_x = (float)(apart * x) + (float)apart * right;
        const float place_y = (float)(apart * (top + y)) + (float)apart * below;
        if (place_x < 0.0f || place_x > (float)(width - 1) || place_y < 0.0f || place_y > (float)(height - 1)) {
            *made = left;
            continue;
        }
        const Neighbours across = neighbours(place_x, width), down = neighbours(place_y, height);
        float sum = 0.0f;
        for (int c = 0; c < channels; ++c) {
            const float above = between(there.at(c, down.first, across.first), there.at(c, down.first, across.second), across.share);
            const float under = between(there.at(c, down.second, across.first), there.at(c, down.second, across.second), across.share);
            sum += fabsf(between(above, under, down.share) - here.at(c, y, x));
        }
        *made = sum / (float)channels;
    }
}

extern "C" __global__ void __launch_bounds__(256)
    weigh_candidates(const float* errors, FLOWS, const float* around, long long around_batch, long long around_channel,
                     long long around_row, long long around_column,  //
                     float* result, int rows, int columns, float strictness, float cost, float apart) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= columns || y >= rows) return;
    const int b = blockIdx.z;
    const long long plane = (long long)rows * columns, pixel = (long long)y * columns + x, all = gridDim.z * plane;
    const float* own = errors + b * plane + pixel;
    const Candidates given = CANDIDATES(b);
    const Image beside = image_of(around, around_batch, around_channel, around_row, around_column, b);
    const float around_right = around ? beside.at(0, y, x) : 0.0f, around_below = around ? beside.at(1, y, x) : 0.0f;
    // what has the least error so far has the weight 1
    float least = 0.0f, weights = 0.0f, sum_right = 0.0f, sum_below = 0.0f;
    for (int k = 0; k < given.count(); ++k) {
        float right, below, error = own[k * all];
        given.at(k, y, x, &right, &below);
        if (around) error += cost * fminf(fabsf(right - around_right) + fabsf(below - around_below), apart);
        if (!k || error < least) {
            const float smaller = k ? expf(strictness * (error - least)) : 0.0f;
            weights *= smaller;
            sum_right *= smaller;
            sum_below *= smaller;
            least = error;
        }
        const float weight = expf(strictness * (least - error));
        weights += weight;
        sum_right += weight * right;
        sum_below += weight * below;
    }
    float* made = result + 2 * b * plane + pixel;
    made[0] = sum_right / weights;
    made[plane] = sum_below / weights;
}
