// The inner loops: a few rows of inputs times one block of sixteen outputs.
#pragma once

#include "codes.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

// As many rows as registers hold twice, as integers and as floats. With many registers, two tiles at once make do with
// fewer loads of inputs; that pays where there are many rows.
#if defined(__AVX512F__)
constexpr int ROWS = 8, ROWS_OF_PAIRS = 5, MANY_ROWS = 33;
#elif defined(__AVX2__)
constexpr int ROWS = 4, ROWS_OF_PAIRS = 0, MANY_ROWS = 0;
#else
constexpr int ROWS = 2, ROWS_OF_PAIRS = 0, MANY_ROWS = 0;
#endif

// What inner loops need to know of a kind.
template <int GROUP_, bool AFFINE_, int LOW_, int HIGH_> struct Shape {
    static constexpr int GROUP = GROUP_, SUMS = GROUP_ / 16, LOW = LOW_, HIGH = HIGH_;
    static constexpr bool AFFINE = AFFINE_, BYTES = LOW_ == 8;
};
template <Kind KIND>
using ShapeOf =
    Shape<layout_of(KIND).group, layout_of(KIND).affine, layout_of(KIND).low, layout_of(KIND).high>;

// One block of inputs of R rows, with what depends on no weight worked out.
template <int R> struct Rows {
    const int8_t *q[R];
    const float *scale[R];
    int32_t start[R][MAX_GROUPS]; // symmetric: -offset * sum of the group's q, where its integers begin
    float lift[R][MAX_GROUPS];    // affine: sum of the group's inputs, to be multiplied by its minimum
};

// What a row's sums of q say about `groups` groups of weights. Nearly always a whole block's, hence a constant.
template <class S>
OUTRIDER_INLINE void take_sums(const int32_t *sum, const float *scale, int offset, int groups, int32_t *start,
                               float *lift) {
    for (int g = 0; g < groups; ++g) {
        const int32_t total = S::SUMS == 2 ? sum[2 * g] + sum[2 * g + 1] : sum[g];
        if (S::AFFINE) lift[g] = scale[S::SUMS == 2 ? g : g / 2] * (float)total;
        else start[g] = -offset * total;
    }
}

template <class S, int R>
OUTRIDER_INLINE void take_rows(const LinearCall &call, const Weights &w, int row, Rows<R> &x) {
    constexpr int WHOLE = BLOCK_INPUTS / S::GROUP;
    for (int m = 0; m < R; ++m) {
        const uint64_t at = (uint64_t)(row + m) * (uint64_t)call.matrix->inputs + (uint64_t)w.first_input;
        const int32_t *sum = call.x.sum + at / 16;
        x.q[m] = call.x.q + at;
        x.scale[m] = call.x.scale + at / 32;
        const int groups = w.num_inputs / S::GROUP;
        if (groups == WHOLE) take_sums<S>(sum, x.scale[m], w.offset, WHOLE, x.start[m], x.lift[m]);
        else take_sums<S>(sum, x.scale[m], w.offset, groups, x.start[m], x.lift[m]);
    }
}

// The exact sums of scale group g, which is the part `part` of a group of 32 inputs.
template <class S, int T, int R>
OUTRIDER_INLINE void multiply_codes(const Weights *w, const Rows<R> &x, int group, int part, I (*c)[R]) {
    constexpr int STEPS = S::GROUP / 4, BYTES = (S::LOW + S::HIGH) * 64;
    const int g = group * (32 / S::GROUP) + part;
    for (int t = 0; t < T; ++t)
        for (int m = 0; m < R; ++m) c[t][m] = splat_int(S::AFFINE ? 0 : x.start[m][g]);
#pragma GCC unroll 8
    for (int i = 0; i < STEPS; ++i) {
        B weights[T];
        for (int t = 0; t < T; ++t)
            weights[t] = group_vector<S::LOW, S::HIGH>(w[t].codes + group * BYTES, part * STEPS + i);
        for (int m = 0; m < R; ++m) {
            const int32_t inputs = four(x.q[m] + (g * STEPS + i) * 4);
            for (int t = 0; t < T; ++t)
                c[t][m] = S::BYTES ? dot_bytes(c[t][m], weights[t], inputs) : dot(c[t][m], weights[t], inputs);
        }
    }
}

template <class S, int R>
OUTRIDER_INLINE void add_group(const Weights &w, const Rows<R> &x, int group, int part, const I *c, F *f) {
    const int g = group * (32 / S::GROUP) + part;
    const F scale = load(w.scale[g]);
    for (int m = 0; m < R; ++m) f[m] = fma(to_float(c[m]), scale * splat(x.scale[m][group]), f[m]);
    if (!S::AFFINE) return;
    const F minimum = load(w.minimum[g]);
    for (int m = 0; m < R; ++m) f[m] = fnma(minimum, splat(x.lift[m][g]), f[m]);
}

// Weights to be fetched while others are multiplied: `step` bytes for each group, of each tile.
struct Ahead {
    const uint8_t *next;
    int64_t step, tile;
};

// Little by little, between the products: a burst would hold up the loads behind it.
OUTRIDER_INLINE void fetch(const Ahead &ahead, int group, int tiles) {
    for (int t = 0; t < tiles; ++t)
        for (int64_t at = 0; at < ahead.step; at += 64)
            __builtin_prefetch(ahead.next + t * ahead.tile + group * ahead.step + at);
}

// Exactly R rows from `row` on times T tiles, into their sums [R][T][16].
template <class S, int T, int R>
static __attribute__((noinline)) void multiply(const LinearCall &call, const Weights *w, int row, float *sum,
                                               const Ahead &ahead) {
    Rows<R> x;
    F f[T][R];
    I c[T][R];
    take_rows<S, R>(call, *w, row, x);
    for (int m = 0; m < R; ++m)
        for (int t = 0; t < T; ++t) f[t][m] = load(sum + (m * T + t) * LANES);
    for (int group = 0; group < w->num_inputs / 32; ++group) {
        fetch(ahead, group, T);
#pragma GCC unroll 2
        for (int part = 0; part < 32 / S::GROUP; ++part) {
            multiply_codes<S, T, R>(w, x, group, part, c);
            for (int t = 0; t < T; ++t) add_group<S, R>(w[t], x, group, part, c[t], f[t]);
        }
    }
    for (int m = 0; m < R; ++m)
        for (int t = 0; t < T; ++t) store(sum + (m * T + t) * LANES, f[t][m]);
}

// `count` <= R rows.
template <class S, int T, int R>
OUTRIDER_INLINE void multiply_rows(const LinearCall &call, const Weights *w, int row, int count, float *sum,
                                   const Ahead &ahead) {
    if constexpr (R > 1) {
        if (count < R) return multiply_rows<S, T, R - 1>(call, w, row, count, sum, ahead);
    }
    multiply<S, T, R>(call, w, row, sum, ahead);
}

} // namespace outrider::OUTRIDER_ISA
