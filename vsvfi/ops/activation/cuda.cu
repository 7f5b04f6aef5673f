// Bias and leaky rectification in one pass; see the README beside this file.
//
// Values are ELEMENT, arithmetic float. Values and result lie densely in memory, in planes
// or channels last: `inner` numbers in a row belong to one channel, then those of the next channel follow.

#ifndef ELEMENT
#define ELEMENT float
#endif

constexpr int THREADS = 256;

// `slopes` has a slope for each channel, or one for all (slopes_step 0). A thread for every number.
extern "C" __global__ void __launch_bounds__(256)
    activation(const ELEMENT* values, const ELEMENT* bias, const ELEMENT* slopes, ELEMENT* result, int slopes_step,
               int channels, long long inner, long long count) {
    const long long number = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (number >= count) return;
    const int c = (int)(number / inner % channels);
    // The sum is rounded as a sum in memory would be, so that the results are those of separate operators.
    const float value = to_float(from_float<ELEMENT>(to_float(values[number]) + to_float(bias[c])));
    const float slope = to_float(slopes[c * slopes_step]);
    result[number] = from_float<ELEMENT>(value > 0.0f ? value : value * slope);
}
