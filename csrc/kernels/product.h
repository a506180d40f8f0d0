// The inner loops: a few rows of inputs times one block of sixteen outputs.
#pragma once

#include "codes.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

// As many rows as registers hold twice, as integers and as floats. With many registers, two tiles at once make do with
// half the loads of inputs, of which one tile needs one for each product; their floats stay in memory.
#if defined(__AVX512F__)
constexpr int ROWS = 8, ROWS_OF_PAIRS = 10;
#elif defined(__AVX2__)
constexpr int ROWS = 4, ROWS_OF_PAIRS = 0;
#else
constexpr int ROWS = 2, ROWS_OF_PAIRS = 0;
#endif

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

// A row's sum with one more group: times the inputs' scale, and for affine kinds less the minima, times the sum of the
// inputs.
template <class S> OUTRIDER_INLINE F with_group(const Weights &w, const InputBlock &x, int group, F one, F sum) {
    sum = fma(one, splat(x.scale[group]), sum);
#pragma GCC unroll 2
    for (int part = 0; S::AFFINE && part < S::PARTS_OF_32; ++part)
        sum = fnma(load(w.minimum[group * S::PARTS_OF_32 + part]), splat(lift<S>(x, group, part)), sum);
    return sum;
}

// Weights to be fetched while others are multiplied: for each group `step` bytes, from byte `at` on, of each of the
// tiles from `start` on; behind their ends it goes on with as many tiles after them.
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

template <class S, int R>
OUTRIDER_INLINE void multiply_in_registers(const Weights &w, const InputBlock *x, float *sum, const Ahead &ahead) {
    F one[1][R], f[R];
#pragma GCC unroll 8
    for (int m = 0; m < R; ++m) f[m] = load(sum + m * LANES); // not unrolled, GCC keeps them on the stack
    for (int group = 0; group < w.groups; ++group) {
        fetch<1>(ahead, group);
        multiply_group<S, 1, R>(&w, x, group, one);
        for (int m = 0; m < R; ++m) f[m] = with_group<S>(w, x[m], group, one[0][m], f[m]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < R; ++m) store(sum + m * LANES, f[m]);
}

template <class S, int T, int R>
OUTRIDER_INLINE void multiply_in_memory(const Weights *w, const InputBlock *x, float *sum, const Ahead &ahead) {
    for (int group = 0; group < w->groups; ++group) {
        F one[T][R];
        fetch<T>(ahead, group);
        multiply_group<S, T, R>(w, x, group, one);
#pragma GCC unroll 10
        for (int m = 0; m < R; ++m)
#pragma GCC unroll 2
            for (int t = 0; t < T; ++t) {
                float *at = sum + (m * T + t) * LANES;
                store(at, with_group<S>(w[t], x[m], group, one[t][m], load(at)));
            }
        asm volatile("" : : "r"(sum) : "memory"); // else GCC moves them into registers, of which it has too few
    }
}

// Exactly R rows from x on times T tiles, into their sums [R][T][16].
template <class S, int T, int R>
static __attribute__((noinline)) void multiply(const Weights *w, const InputBlock *x, float *__restrict sum,
                                               const Ahead &ahead) {
    if constexpr (T == 1) multiply_in_registers<S, R>(*w, x, sum, ahead);
    else multiply_in_memory<S, T, R>(w, x, sum, ahead);
}

// LEAST <= `count` <= R rows.
template <class S, int T, int LEAST, int R>
OUTRIDER_INLINE void multiply_rows(const Weights *w, const InputBlock *x, int count, float *sum, const Ahead &ahead) {
    if constexpr (R > LEAST) {
        if (count < R) return multiply_rows<S, T, LEAST, R - 1>(w, x, count, sum, ahead);
    }
    multiply<S, T, R>(w, x, sum, ahead);
}

} // namespace outrider::OUTRIDER_ISA
