// y = x @ matrix.T, for any number of rows.
//
//   for each 64 rows:                       their inputs stay in the second-level cache
//     for each tile of 16 outputs:          one stretch of memory, read once
//       for each block of 256 inputs:       its scales become floats
//         for up to ROWS rows:              one load of weights, unpacked in registers, feeds all of them
//           for each group of 32 (or 16):   exact integers, then one multiply-add into the row's floats
//
// A row's floating-point operations are those of its own groups, ascending: scale, then minimum; then bias, then add.
// How rows are gathered into blocks cannot show in their bits.
#pragma once

#include "product.h"

namespace outrider::OUTRIDER_ISA {

constexpr int CHUNK = 64;
constexpr int AHEAD_BYTES = 4096; // how far the weights are prefetched

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

// Row blocks are of nearly equal size: two of five rows take less than one of eight and one of two.
struct RowBlocks {
    int count;
    explicit RowBlocks(int rows) : count((rows + ROWS - 1) / ROWS), rows(rows) {}
    int begin(int block) const { return rows * block / count; }
    int size(int block) const { return begin(block + 1) - begin(block); }

  private:
    int rows;
};

template <Kind KIND> static void quantised_tile(const LinearCall &call, int tile, int begin, int count) {
    constexpr Layout of = layout_of(KIND);
    const int inputs = call.matrix->inputs;
    const RowBlocks rows(count);
    const uint8_t *from = call.matrix->data + tile * tile_bytes(of, inputs);
    Weights weights;
    alignas(64) float sum[CHUNK * LANES];
    for (int m = 0; m < count; ++m) store(sum + m * LANES, zero());
    for (int block = 0; block < num_blocks(inputs); ++block) {
        const int64_t bytes = block_bytes(of, groups_of_block(inputs, block));
        prefetch(from + AHEAD_BYTES, bytes);
        unpack<KIND>(from, inputs, block, weights);
        for (int b = 0; b < rows.count; ++b)
            multiply_rows<ShapeOf<KIND>, ROWS>(call, weights, begin + rows.begin(b), rows.size(b),
                                               sum + rows.begin(b) * LANES);
        from += bytes;
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
    const RowBlocks rows(count);
    for (int b = 0; b < rows.count; ++b)
        multiply_values<KIND, ROWS>(call, from, tile, begin + rows.begin(b), rows.size(b));
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
