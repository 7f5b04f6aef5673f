// Selective scan along several orders of the same tokens: h = exp(s A) h + s B u, y = C . h + D u, with steps s = softplus(delta + bias).
//
// Macro: ELEMENT, the type of tokens and results (float, float16, bfloat16). Rates, D and bias are float, as are states and sums. Token-major layouts
// throughout: the channels of a token are neighbours, so a warp reads and writes 32 neighbours of whichever token its path visits next. That makes a path a
// list of token numbers; nothing is flipped or transposed in memory.
//
// A recurrence has one thread per channel, a few thousand, where a large GPU runs a quarter of a million. So each path is cut into chunks: (1) scan_chunks
// runs every chunk but the last from a state of zero and keeps its last state and the sum of its steps; (2) scan_carry goes through the chunks in order,
// h = exp(A sum) h + last state, and leaves the state that enters each; (3) scan_outputs runs every chunk from there. The arithmetic of a chunk is that of
// the plain recurrence, every exponent is at most 0 and nothing is divided, so no delta overflows. The price is that exponentials are computed twice.
// The 16 states of a channel are registers; B and C of a tile of tokens are read once a block, into shared memory, and serve all its channels.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int STATES = 16;
constexpr int CHANNELS = 128;  // threads of a block, one each
constexpr int TILE = 32;       // tokens whose B and C a block holds

// Where B or C of a token begins; its states are neighbours.
struct Shared {
    const ELEMENT* start;
    long long batch, path, token;  // strides
};

__device__ __forceinline__ float softplus(float v) { return v > 20.0f ? v : log1pf(expf(v)); }

// One chunk of one path for up to CHANNELS channels. With OUTPUTS it starts from `states` and writes y, else it starts from 0 and writes `states` and `sums`.
template <bool OUTPUTS>
__device__ __forceinline__ void walk(const ELEMENT* u, long long u_batch, long long u_token, const ELEMENT* delta, const float* rates, Shared entering,
                                     Shared leaving, const float* skip, const float* bias, const int* reads, const int* writes, float* states, float* sums,
                                     ELEMENT* y, int use_softplus, int length, int channels, int paths, int chunk_length, int chunks) {
    __shared__ float inputs[TILE][STATES], outputs[OUTPUTS ? TILE : 1][STATES];
    __shared__ int tokens[TILE], places[TILE];
    const int chunk = blockIdx.x, channel = blockIdx.y * CHANNELS + threadIdx.x, batch = blockIdx.z / paths, path = blockIdx.z % paths;
    const bool active = channel < channels;
    const int own = active ? channel : 0;
    const long long here = (long long)path * channels + own;                         // in [K, channels]
    const long long first = ((long long)batch * paths + path) * length * channels;   // in [batch, K, length, channels]
    const long long kept = (((long long)batch * paths + path) * chunks + chunk) * STATES * channels + own;  // in [batch, K, chunks, STATES, channels]
    float rate[STATES], h[STATES], sum = 0.0f;
#pragma unroll
    for (int n = 0; n < STATES; ++n) {
        rate[n] = rates[((long long)path * STATES + n) * channels + own];
        h[n] = OUTPUTS && states ? states[kept + (long long)n * channels] : 0.0f;
    }
    const float offset = bias[here], direct = OUTPUTS ? skip[here] : 0.0f;
    const ELEMENT* values = u + batch * u_batch + own;
    const ELEMENT* steps = delta + first + own;
    const int end = min(chunk * chunk_length + chunk_length, length);
    for (int start = chunk * chunk_length; start < end; start += TILE) {
        const int count = min(TILE, end - start);
        __syncthreads();  // the tile before has been used
        for (int i = threadIdx.x; i < count; i += CHANNELS) {
            tokens[i] = reads[(long long)path * length + start + i];
            if (OUTPUTS) places[i] = writes[(long long)path * length + start + i];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < count * STATES; i += CHANNELS) {
            const int position = i / STATES, n = i % STATES, token = tokens[position];
            inputs[position][n] = to_float(entering.start[batch * entering.batch + path * entering.path + token * entering.token + n]);
            if (OUTPUTS) outputs[position][n] = to_float(leaving.start[batch * leaving.batch + path * leaving.path + token * leaving.token + n]);
        }
        __syncthreads();
        for (int i = 0; i < count; ++i) {
            const long long token = tokens[i];
            const float raw = to_float(steps[token * channels]) + offset, value = to_float(values[token * u_token]);
            const float step = use_softplus ? softplus(raw) : raw, gain = step * value;
            float total = direct * value;
            sum += step;
#pragma unroll
            for (int n = 0; n < STATES; ++n) {
                h[n] = exp2f(step * rate[n]) * h[n] + gain * inputs[i][n];
                if (OUTPUTS) total += h[n] * outputs[i][n];
            }
            if (OUTPUTS && active) y[first + (long long)places[i] * channels + channel] = from_float<ELEMENT>(total);
        }
    }
    if (OUTPUTS || !active) return;
#pragma unroll
    for (int n = 0; n < STATES; ++n) states[kept + (long long)n * channels] = h[n];
    sums[(((long long)batch * paths + path) * chunks + chunk) * channels + channel] = sum;
}

// (1) Blocks: every chunk but the last, channels, batch times paths.
extern "C" __global__ void __launch_bounds__(CHANNELS)
    scan_chunks(const ELEMENT* u, long long u_batch, long long u_token, const ELEMENT* delta, const float* rates, const ELEMENT* entering,
                long long entering_batch, long long entering_path, long long entering_token, const float* bias, const int* reads, float* states, float* sums,
                int use_softplus, int length, int channels, int paths, int chunk_length, int chunks) {
    const Shared in = {entering, entering_batch, entering_path, entering_token};
    walk<false>(u, u_batch, u_token, delta, rates, in, in, nullptr, bias, reads, nullptr, states, sums, nullptr, use_softplus, length, channels, paths,
                chunk_length, chunks);
}

// (2) The states at the ends of chunks become those at their beginnings. Blocks: states times channels, batch times paths.
extern "C" __global__ void scan_carry(const float* rates, float* states, const float* sums, int channels, int paths, int chunks) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, which = blockIdx.y, size = STATES * channels;
    if (i >= size) return;
    const float rate = rates[(long long)(which % paths) * size + i];
    float* state = states + (long long)which * chunks * size + i;
    const float* sum = sums + (long long)which * chunks * channels + i % channels;
    float h = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk, state += size, sum += channels) {
        const bool last = chunk == chunks - 1;  // nothing was kept of it
        const float reached = last ? 0.0f : *state, elapsed = last ? 0.0f : *sum;
        *state = h;
        h = exp2f(rate * elapsed) * h + reached;
    }
}

// (3) Blocks: chunks, channels, batch times paths. y: [batch, K, length, channels], by place.
extern "C" __global__ void __launch_bounds__(CHANNELS)
    scan_outputs(const ELEMENT* u, long long u_batch, long long u_token, const ELEMENT* delta, const float* rates, const ELEMENT* entering,
                 long long entering_batch, long long entering_path, long long entering_token, const ELEMENT* leaving, long long leaving_batch,
                 long long leaving_path, long long leaving_token, const float* skip, const float* bias, const int* reads, const int* writes,
                 float* states,  // null: all 0, for a single chunk
                 ELEMENT* y, int use_softplus, int length, int channels, int paths, int chunk_length, int chunks) {
    const Shared in = {entering, entering_batch, entering_path, entering_token}, out = {leaving, leaving_batch, leaving_path, leaving_token};
    walk<true>(u, u_batch, u_token, delta, rates, in, out, skip, bias, reads, writes, states, nullptr, y, use_softplus, length, channels, paths, chunk_length,
               chunks);
}
