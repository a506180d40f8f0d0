// y = x @ matrix.T, for any number of rows.
//
//   for each 64 rows:                       their inputs stay in the second-level cache
//     for each tile of 16 outputs:          one stretch of memory, read once
//       for each block of 256 inputs:       unpacked once, into the first-level cache
//         for up to ROWS rows:              one load of weights feeds all of them
//           for each group of 32 (or 16):   exact integers, then one multiply-add into the row's floats
//
// A row's floating-point operations are those of its own groups, ascending: scale, then minimum; then bias, then add.
// How rows are gathered into blocks cannot show in their bits.
#pragma once

#include "codes.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

#if defined(__AVX512F__)
constexpr int ROWS = 8;
#elif defined(__AVX2__)
constexpr int ROWS = 4;
#else
constexpr int ROWS = 2;
#endif
constexpr int CHUNK = 64;
constexpr int AHEAD_BYTES = 4096; // how far the weights are prefetched

// One block of inputs of R rows, with what depends on no weight worked out.
template <int R> struct Rows {
    const int8_t *q[R];
    const float *scale[R];
    int32_t start[R][MAX_GROUPS]; // symmetric: -offset * sum of the group's q, where its integers begin
    float lift[R][MAX_GROUPS];    // affine: sum of the group's inputs, to be multiplied by its minimum
};

template <Kind KIND, int R> OUTRIDER_INLINE void take_rows(const LinearCall &call, int row, int block, Rows<R> &x) {
    constexpr Layout of = layout_of(KIND);
    constexpr int OFFSET = of.low == 8 && BYTES_ARE_SIGNED ? 0 : of.offset, SUMS = of.group / 16;
    const int64_t inputs = call.matrix->inputs;
    const int groups = groups_of_block(call.matrix->inputs, block) * 32 / of.group;
    for (int m = 0; m < R; ++m) {
        const int64_t at = (row + m) * inputs + block * BLOCK_INPUTS;
        const int32_t *sum = call.x.sum + at / 16;
        x.q[m] = call.x.q + at;
        x.scale[m] = call.x.scale + at / 32;
        for (int g = 0; g < groups; ++g) {
            const int32_t total = SUMS == 2 ? sum[2 * g] + sum[2 * g + 1] : sum[g];
            if (of.affine) x.lift[m][g] = x.scale[m][g * of.group / 32] * (float)total;
            else x.start[m][g] = -OFFSET * total;
        }
    }
}

// What distinguishes the inner loops; how many bits a code had in memory does not.
template <Kind KIND> struct Shape {
    static constexpr int GROUP = layout_of(KIND).group;
    static constexpr bool AFFINE = layout_of(KIND).affine, BYTES = layout_of(KIND).low == 8;
};

template <class S, int R> OUTRIDER_INLINE void multiply_group(const Weights &w, const Rows<R> &x, int g, F *f) {
    constexpr int STEPS = S::GROUP / 4;
    I c[R];
    for (int m = 0; m < R; ++m) c[m] = splat_int(S::AFFINE ? 0 : x.start[m][g]);
#pragma GCC unroll 8
    for (int i = 0; i < STEPS; ++i) {
        const B weights = load_weights(w.code + (g * STEPS + i) * 64);
        for (int m = 0; m < R; ++m) {
            const int32_t inputs = four(x.q[m] + (g * STEPS + i) * 4);
            c[m] = S::BYTES ? dot_bytes(c[m], weights, inputs) : dot(c[m], weights, inputs);
        }
    }
    const F scale = load(w.scale[g]);
    for (int m = 0; m < R; ++m) f[m] = fma(to_float(c[m]), scale * splat(x.scale[m][g * S::GROUP / 32]), f[m]);
    if (!S::AFFINE) return;
    const F minimum = load(w.minimum[g]);
    for (int m = 0; m < R; ++m) f[m] = fnma(minimum, splat(x.lift[m][g]), f[m]);
}

template <class S, int R> OUTRIDER_INLINE void multiply(const Weights &w, const Rows<R> &x, int groups, float *sum) {
    F f[R];
    for (int m = 0; m < R; ++m) f[m] = load(sum + m * LANES);
    for (int g = 0; g < groups * 32 / S::GROUP; ++g) multiply_group<S, R>(w, x, g, f);
    for (int m = 0; m < R; ++m) store(sum + m * LANES, f[m]);
}

// Exactly `count` <= R rows.
template <Kind KIND, int R>
static void multiply_rows(const LinearCall &call, const Weights &w, int block, int row, int count, float *sum) {
    if constexpr (R > 1) {
        if (count < R) return multiply_rows<KIND, R - 1>(call, w, block, row, count, sum);
    }
    Rows<R> x;
    take_rows<KIND, R>(call, row, block, x);
    multiply<Shape<KIND>, R>(w, x, groups_of_block(call.matrix->inputs, block), sum);
}

OUTRIDER_INLINE void finish(const LinearCall &call, int tile, int row, F sum) {
    const int first = tile * TILE_ROWS, left = call.matrix->rows - first, count = left < TILE_ROWS ? left : TILE_ROWS;
    const int64_t at = row * call.stride + first;
    const bool whole = count == TILE_ROWS;
    if (call.bias) sum = sum + (whole ? load(call.bias + first) : load_first(call.bias + first, count));
    if (call.add) sum = sum + (whole ? load(call.add + at) : load_first(call.add + at, count));
    if (whole) store(call.y + at, sum);
    else store_first(call.y + at, sum, count);
}

OUTRIDER_INLINE void prefetch(const uint8_t *from, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
}

// Rows begin … begin + count of one tile. Row blocks are of nearly equal size: two of five are better than eight and two.
template <Kind KIND> static void quantised_tile(const LinearCall &call, int tile, int begin, int count) {
    constexpr Layout of = layout_of(KIND);
    const int inputs = call.matrix->inputs, num_row_blocks = (count + ROWS - 1) / ROWS;
    const uint8_t *from = call.matrix->data + tile * tile_bytes(of, inputs);
    Weights weights;
    alignas(64) float sum[CHUNK * LANES];
    for (int m = 0; m < count; ++m) store(sum + m * LANES, zero());
    for (int block = 0; block < num_blocks(inputs); ++block) {
        const int groups = groups_of_block(inputs, block);
        prefetch(from + AHEAD_BYTES, block_bytes(of, groups));
        unpack<KIND>(from, groups, weights);
        for (int b = 0; b < num_row_blocks; ++b) {
            const int first = count * b / num_row_blocks, last = count * (b + 1) / num_row_blocks;
            multiply_rows<KIND, ROWS>(call, weights, block, begin + first, last - first, sum + first * LANES);
        }
        from += block_bytes(of, groups);
    }
    for (int m = 0; m < count; ++m) finish(call, tile, begin + m, load(sum + m * LANES));
}

template <Kind KIND> OUTRIDER_INLINE F load_values(const uint8_t *from) {
    if (KIND == Kind::BFLOAT) return load_bfloat((const uint16_t *)from);
    if (KIND == Kind::HALF) return load_half((const uint16_t *)from);
    return load((const float *)from);
}

// Exactly `count` <= R rows of a matrix of floats: one input after the other.
template <Kind KIND, int R>
static void multiply_values(const LinearCall &call, const uint8_t *from, int tile, int row, int count) {
    if constexpr (R > 1) {
        if (count < R) return multiply_values<KIND, R - 1>(call, from, tile, row, count);
    }
    constexpr int STEP = layout_of(KIND).value_bytes * LANES;
    const int64_t inputs = call.matrix->inputs;
    const float *x[R];
    F f[R];
    for (int m = 0; m < R; ++m) f[m] = zero();
    for (int m = 0; m < R; ++m) x[m] = call.x_float + (row + m) * inputs;
    for (int64_t i = 0; i < inputs; ++i) {
        __builtin_prefetch(from + i * STEP + AHEAD_BYTES);
        const F w = load_values<KIND>(from + i * STEP);
        for (int m = 0; m < R; ++m) f[m] = fma(w, splat(x[m][i]), f[m]);
    }
    for (int m = 0; m < R; ++m) finish(call, tile, row + m, f[m]);
}

template <Kind KIND> static void float_tile(const LinearCall &call, int tile, int begin, int count) {
    const uint8_t *from = call.matrix->data + tile * tile_bytes(layout_of(KIND), call.matrix->inputs);
    const int num_row_blocks = (count + ROWS - 1) / ROWS;
    for (int b = 0; b < num_row_blocks; ++b) {
        const int first = count * b / num_row_blocks, last = count * (b + 1) / num_row_blocks;
        multiply_values<KIND, ROWS>(call, from, tile, begin + first, last - first);
    }
}

template <Kind KIND> static void linear_tile(const LinearCall &call, int tile, int begin, int count) {
    if constexpr (KIND < Kind::BFLOAT) quantised_tile<KIND>(call, tile, begin, count);
    else float_tile<KIND>(call, tile, begin, count);
}

typedef void (*TileFunction)(const LinearCall &, int tile, int begin, int count);

static TileFunction tile_function(Kind kind) {
    constexpr TileFunction functions[] = {
        linear_tile<Kind::NIBBLE_HALF>,     linear_tile<Kind::NIBBLE_HALF_AFFINE>, linear_tile<Kind::NIBBLE_TWO_LEVEL>,
        linear_tile<Kind::FIVE_HALF>,       linear_tile<Kind::FIVE_HALF_AFFINE>,   linear_tile<Kind::FIVE_TWO_LEVEL>,
        linear_tile<Kind::SIX_TWO_LEVEL>,   linear_tile<Kind::BYTE_HALF>,          linear_tile<Kind::THREE_TWO_LEVEL>,
        linear_tile<Kind::TWO_TWO_LEVEL>,   linear_tile<Kind::BFLOAT>,             linear_tile<Kind::HALF>,
        linear_tile<Kind::FLOAT>,
    };
    static_assert(sizeof functions / sizeof *functions == (int)Kind::COUNT, "one for each kind");
    return functions[(int)kind];
}

static void linear(const LinearCall &call, int32_t tile_begin, int32_t tile_end) {
    const TileFunction one_tile = tile_function(call.matrix->kind);
    for (int begin = 0; begin < call.rows; begin += CHUNK) {
        const int left = call.rows - begin;
        for (int tile = tile_begin; tile < tile_end; ++tile) one_tile(call, tile, begin, left < CHUNK ? left : CHUNK);
    }
}

} // namespace outrider::OUTRIDER_ISA
