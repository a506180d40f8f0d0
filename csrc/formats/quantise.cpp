// Rounding float weights: 8 bits by the largest of 32, 4 bits by least squares, or quickly by the extreme.
#include "half.h"
#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace outrider {
namespace {

// To the nearest, halves away from zero, within low … high; what is no number becomes low.
int nearest(float x, int low, int high) {
    if (!(x > (float)low)) return low;
    if (x >= (float)high) return high;
    const float size = std::fabs(x);
    const int whole = (int)size, rounded = whole + (size - (float)whole >= 0.5f);
    return x < 0 ? -rounded : rounded;
}

constexpr int GROUP = 32, STEPS = 15, LEVELS = 63; // a nibble's and a 6-bit multiplier's largest value

struct Fit { // x is about scale * code - minimum, minimum >= 0
    float scale, minimum;
};

// Errors of large weights matter more: they tend to meet large activations.
void weigh(const float *x, float *weight) {
    float squares = 0;
    for (int i = 0; i < GROUP; ++i) squares += x[i] * x[i];
    const float usual = std::sqrt(squares / GROUP);
    for (int i = 0; i < GROUP; ++i) weight[i] = usual + std::fabs(x[i]);
}

// The best scale and minimum for given codes, by weighted least squares; `fallback` where the codes are all the same.
Fit solve(const float *x, const float *weight, const float *code, Fit fallback) {
    float w = 0, wc = 0, wcc = 0, wx = 0, wcx = 0;
    for (int i = 0; i < GROUP; ++i) {
        const float weighted = weight[i] * code[i];
        w += weight[i];
        wc += weighted;
        wcc += weighted * code[i];
        wx += weight[i] * x[i];
        wcx += weighted * x[i];
    }
    const float determinant = w * wcc - wc * wc;
    if (!(determinant > 0)) return fallback;
    const float minimum = (wc * wcx - wcc * wx) / determinant;
    if (minimum < 0) return {wcx / wcc, 0};
    return {(w * wcx - wc * wx) / determinant, minimum};
}

// The codes that suit a fit, as floats, and the weighted squares of what they miss.
float assign(const float *x, const float *weight, Fit fit, float *code) {
    const float inverse = fit.scale > 0 ? 1 / fit.scale : 0;
    float error = 0;
    for (int i = 0; i < GROUP; ++i) {
        const float place = (x[i] + fit.minimum) * inverse + 0.5f;
        const float clamped = place < 0 ? 0 : place > STEPS ? STEPS : place;
        code[i] = (float)(int)clamped;
        const float missed = fit.scale * code[i] - fit.minimum - x[i];
        error += weight[i] * missed * missed;
    }
    return error;
}

// Alternates between codes and fit, from several ranges: the whole one, and ones that clip or spread the extremes.
Fit search(const float *x, const float *weight) {
    float lowest = 0, highest = x[0], code[GROUP];
    for (int i = 0; i < GROUP; ++i) {
        lowest = x[i] < lowest ? x[i] : lowest;
        highest = x[i] > highest ? x[i] : highest;
    }
    Fit best{(highest - lowest) / STEPS, -lowest};
    if (!(highest > lowest)) return best;
    float least = assign(x, weight, best, code);
    for (int trial = 0; trial < 8; ++trial) {
        const Fit start{(highest - lowest) / ((float)STEPS - 1.2f + 0.4f * (float)trial), -lowest};
        assign(x, weight, start, code);
        const Fit fit = solve(x, weight, code, start);
        const float error = assign(x, weight, fit, code);
        if (error < least && fit.scale > 0) {
            least = error;
            best = fit;
        }
    }
    return best;
}

// The value that is farthest from zero.
float extreme_of(const float *x) {
    float highest[8] = {}, lowest[8] = {};
    for (int i = 0; i < GROUP; i += 8)
        for (int j = 0; j < 8; ++j) {
            highest[j] = x[i + j] > highest[j] ? x[i + j] : highest[j];
            lowest[j] = x[i + j] < lowest[j] ? x[i + j] : lowest[j];
        }
    const float high = *std::max_element(highest, highest + 8), low = *std::min_element(lowest, lowest + 8);
    return high > -low ? high : low;
}

float largest_of(const float *x, int count) {
    float best = 0;
    for (int i = 0; i < count; ++i) best = x[i] > best ? x[i] : best;
    return best;
}

} // namespace

void quantise_bytes(const float *x, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, x += GROUP) {
        float amax = 0;
        for (int i = 0; i < GROUP; ++i) amax = std::fabs(x[i]) > amax ? std::fabs(x[i]) : amax;
        const float scale = amax / 127, inverse = scale > 0 ? 1 / scale : 0;
        to.scale[g] = float_to_half(scale);
        for (int i = 0; i < GROUP; ++i) to.code[g * GROUP + i] = (uint8_t)(128 + nearest(x[i] * inverse, -127, 127));
    }
}

// The extreme is cut off by a ninth, to spare the others; lowest and highest code are -8 and 7.
void quantise_symmetric_nibbles(const float *x, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, x += GROUP) {
        to.scale[g] = float_to_half(-extreme_of(x) / 9);
        const float scale = half_to_float(to.scale[g]), inverse = scale != 0 ? 1 / scale : 0;
        int32_t code[GROUP]; // in steps that compilers do for many at once
        for (int i = 0; i < GROUP; ++i) code[i] = (int32_t)(x[i] * inverse + 8.5f); // below zero: towards zero
        for (int i = 0; i < GROUP; ++i) code[i] = code[i] < 0 ? 0 : code[i];
        for (int i = 0; i < GROUP; ++i) to.code[g * GROUP + i] = (uint8_t)(code[i] > STEPS ? STEPS : code[i]);
    }
}

// Fits every group alone, then both levels of scales, then the codes again, for the scales as they came out.
void quantise_nibbles(const float *x, int groups, RowBlock &to) {
    float scale[8], minimum[8], weight[GROUP], code[GROUP];
    for (int g = 0; g < groups; ++g) {
        weigh(x + g * GROUP, weight);
        const Fit fit = search(x + g * GROUP, weight);
        scale[g] = fit.scale;
        minimum[g] = fit.minimum;
    }
    to.d = float_to_half(largest_of(scale, groups) / LEVELS);
    to.dmin = float_to_half(largest_of(minimum, groups) / LEVELS);
    const float d = half_to_float(to.d), dmin = half_to_float(to.dmin);
    for (int g = 0; g < groups; ++g) {
        to.multiplier[g] = (uint8_t)(d > 0 ? nearest(scale[g] / d, 0, LEVELS) : 0);
        to.multiplier_min[g] = (uint8_t)(dmin > 0 ? nearest(minimum[g] / dmin, 0, LEVELS) : 0);
        weigh(x + g * GROUP, weight);
        assign(x + g * GROUP, weight, {d * to.multiplier[g], dmin * to.multiplier_min[g]}, code);
        for (int i = 0; i < GROUP; ++i) to.code[g * GROUP + i] = (uint8_t)code[i];
    }
}

} // namespace outrider
