// The inner loops: a few rows of inputs times one block of sixteen outputs.
#pragma once

#include "codes.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

// As many rows as registers hold twice, as integers and as floats. With many registers, two tiles at once make do with
// half the loads of inputs, of which one tile needs one for each product.
#if defined(__AVX512F__)
constexpr int ROWS = 8, ROWS_OF_PAIRS = 6;
#elif defined(__AVX2__)
constexpr int ROWS = 4, ROWS_OF_PAIRS = 0;
#else
constexpr int ROWS = 2, ROWS_OF_PAIRS = 0;
#endif
constexpr int MANY_ROWS = 9; // from here on pairs of tiles pay: memory no longer sets the pace

// Where the integers of part `part` of a group of 32 inputs begin: at 0, or with the offset of the codes made good.
template <class S> OUTRIDER_INLINE I first_sum(const InputBlock &x, int group, int part) {
    if (S::AFFINE || S::SIGNED) return splat_int(0);
    const int32_t *start = x.start + group * 2 + part;
    I sum = splat_int(start[0]);
    if (S::GROUP == 32) sum = sum + splat_int(start[1]);
    return S::BITS > 6 ? shift_left<(S::BITS > 6 ? S::BITS - 6 : 0)>(sum)
                       : shift_right<(S::BITS < 6 ? 6 - S::BITS : 0)>(sum);
}

// Their exact sums.
template <class S, int T, int R>
OUTRIDER_INLINE void multiply_codes(const Weights *w, const InputBlock *x, int group, int part, I (*c)[R]) {
    constexpr int STEPS = S::GROUP / 4;
    for (int m = 0; m < R; ++m) {
        const I first = first_sum<S>(x[m], group, part);
        for (int t = 0; t < T; ++t) c[t][m] = first;
    }
#pragma GCC unroll 8
    for (int i = part * STEPS; i < (part + 1) * STEPS; ++i) {
        B weights[T];
        for (int t = 0; t < T; ++t) weights[t] = group_vector<S>(w[t].codes + group * S::GROUP_BYTES, i);
        for (int m = 0; m < R; ++m) {
            const int32_t inputs = four(x[m].q + group * 32 + i * 4);
            for (int t = 0; t < T; ++t)
                c[t][m] = S::BYTES ? dot_bytes(c[t][m], weights[t], inputs) : dot(c[t][m], weights[t], inputs);
        }
    }
}

// A group of 32 inputs without their scale.
template <class S, int T, int R>
OUTRIDER_INLINE void multiply_group(const Weights *w, const InputBlock *x, int group, F (*sum)[R]) {
    I c[T][R];
#pragma GCC unroll 2
    for (int part = 0; part < S::PARTS_OF_32; ++part) {
        multiply_codes<S, T, R>(w, x, group, part, c);
        for (int t = 0; t < T; ++t) {
            const F scale = load(w[t].scale[group * S::PARTS_OF_32 + part]);
            for (int m = 0; m < R; ++m)
                sum[t][m] = part ? fma(to_float(c[t][m]), scale, sum[t][m]) : to_float(c[t][m]) * scale;
        }
    }
}

template <class S> OUTRIDER_INLINE float lift(const InputBlock &x, int group, int part) {
    return S::GROUP == 32 ? x.lift[group] : x.scale[group] * (float)(x.start[group * 2 + part] / -32);
}

// Affine kinds: the group's minima, times the sum of its inputs.
template <class S, int R>
OUTRIDER_INLINE void subtract_minima(const Weights &w, const InputBlock *x, int group, F *f) {
#pragma GCC unroll 2
    for (int part = 0; part < S::PARTS_OF_32; ++part) {
        const F minimum = load(w.minimum[group * S::PARTS_OF_32 + part]);
        for (int m = 0; m < R; ++m) f[m] = fnma(minimum, splat(lift<S>(x[m], group, part)), f[m]);
    }
}

// Weights to be fetched while others are multiplied: for each group `step` bytes, from byte `at` on, of each of the tiles
// from `start` on; behind their ends it goes on with as many tiles after them.
struct Ahead {
    const uint8_t *start;
    int64_t at, step, tile;
};

// Little by little, between the products: a burst would hold up the loads behind it.
template <int T> OUTRIDER_INLINE void fetch(const Ahead &ahead, int group) {
    if (!ahead.step) return;
    const uint8_t *start = ahead.start;
    int64_t at = ahead.at + group * ahead.step;
    for (; T > 1 && at >= ahead.tile; at -= ahead.tile) start += T * ahead.tile;
    for (int t = 0; t < T; ++t)
        for (int64_t line = 0; line < ahead.step; line += 64) __builtin_prefetch(start + t * ahead.tile + at + line);
}

// Exactly R rows from x on times T tiles, into their sums [R][T][16]. Unless GCC is told to unroll the first and the last
// loop, it keeps the sums on the stack.
template <class S, int T, int R>
static __attribute__((noinline)) void multiply(const Weights *w, const InputBlock *x, float *sum, const Ahead &ahead) {
    F f[T][R], one[T][R];
#pragma GCC unroll 8
    for (int m = 0; m < R; ++m)
#pragma GCC unroll 2
        for (int t = 0; t < T; ++t) f[t][m] = load(sum + (m * T + t) * LANES);
    for (int group = 0; group < w->groups; ++group) {
        fetch<T>(ahead, group);
        multiply_group<S, T, R>(w, x, group, one);
        for (int m = 0; m < R; ++m) {
            const F scale = splat(x[m].scale[group]);
            for (int t = 0; t < T; ++t) f[t][m] = fma(one[t][m], scale, f[t][m]);
        }
        for (int t = 0; S::AFFINE && t < T; ++t) subtract_minima<S, R>(w[t], x, group, f[t]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < R; ++m)
#pragma GCC unroll 2
        for (int t = 0; t < T; ++t) store(sum + (m * T + t) * LANES, f[t][m]);
}

// `count` <= R rows.
template <class S, int T, int R>
OUTRIDER_INLINE void multiply_rows(const Weights *w, const InputBlock *x, int count, float *sum, const Ahead &ahead) {
    if constexpr (R > 1) {
        if (count < R) return multiply_rows<S, T, R - 1>(w, x, count, sum, ahead);
    }
    multiply<S, T, R>(w, x, sum, ahead);
}

} // namespace outrider::OUTRIDER_ISA
