// y = x @ matrix.T, for any number of rows.
//
//   for each 64 rows:                       their inputs stay in the second-level cache
//     for each tile of 16 outputs:          one stretch of memory, read once (several rows: for two tiles at once)
//       for each block of 256 inputs:       its scales become floats
//         for up to ROWS rows:              one load of weights, unpacked in registers, feeds all of them
//           for each group of 32 inputs:    exact integers times the weights' scales, then one multiply-add by the
//                                           inputs' scale into the row's floats
//
// A row's floating-point operations are those of its own groups, ascending: scales, then minimum; then bias, then add.
// How rows are gathered into blocks cannot show in their bits.
#pragma once

#include "product.h"

namespace outrider::OUTRIDER_ISA {

constexpr int CHUNK = 64;
constexpr int AHEAD_BYTES = 8192; // how far the weights are prefetched

OUTRIDER_INLINE void finish(const LinearCall &call, int tile, int row, F sum) {
    const int first = tile * TILE_ROWS, left = call.matrix->rows - first, count = left < TILE_ROWS ? left : TILE_ROWS;
    const int64_t at = row * call.stride + first - call.origin;
    const bool whole = count == TILE_ROWS;
    if (call.bias) sum = sum + (whole ? load(call.bias + first) : load_first(call.bias + first, count));
    if (call.add) sum = sum + (whole ? load(call.add + at) : load_first(call.add + at, count));
    if (whole) store(call.y + at, sum);
    else store_first(call.y + at, sum, count);
}

// Row blocks are of nearly equal size: two of five rows take less than one of eight and one of two.
struct RowBlocks {
    const int count;
    RowBlocks(int rows, int at_most)
        : count((rows + at_most - 1) / at_most), least(rows / count), longer(rows - count * least) {}
    int begin(int block) const { return block * least + (block < longer ? block : longer); }
    int size(int block) const { return least + (block < longer); }

  private:
    const int least, longer; // rows of a block; so many blocks, the first ones, have one more
};

// From so many rows on pairs of tiles pay: memory no longer sets the pace.
template <class S> constexpr int many_rows() { return S::GROUP == 16 ? 9 : 7; }

// Rows begin … begin + count of T tiles next to each other.
template <Kind KIND, int T> static void quantised_tiles(const LinearCall &call, int tile, int begin, int count) {
    using S = ShapeOf<KIND>;
    constexpr Layout of = layout_of(KIND);
    constexpr int AT_MOST = T == 1 ? ROWS : ROWS_OF_PAIRS - (S::GROUP == 16 ? 2 : 0);
    constexpr int64_t FETCHED = block_bytes(of, BLOCK_INPUTS / 32) / (BLOCK_INPUTS / 32); // with each group
    constexpr int LEAST = T == 1 ? 1 : AT_MOST / 2; // row blocks are of equal size
    static_assert(T == 1 || LEAST <= many_rows<S>());
    const int inputs = call.matrix->inputs;
    const int64_t tile_size = tile_bytes(of, inputs);
    const RowBlocks rows(count, AT_MOST);
    const uint8_t *start = call.matrix->data + tile * tile_size, *from = start;
    Weights weights[T];
    alignas(64) float sum[CHUNK * T * LANES];
    for (int m = 0; m < count * T; ++m) store(sum + m * LANES, zero());
    for (int block = 0; block < num_blocks(inputs); ++block) {
        for (int t = 0; t < T; ++t) unpack<KIND>(from + t * tile_size, inputs, block, weights[t]);
        for (int b = 0; b < rows.count; ++b) { // the first rows fetch for all
            const Ahead ahead{start, from - start + T * AHEAD_BYTES, b ? 0 : FETCHED, tile_size};
            multiply_rows<S, T, LEAST, AT_MOST>(weights, call.x.at(block, begin + rows.begin(b)), rows.size(b),
                                                sum + rows.begin(b) * T * LANES, ahead);
        }
        from += block_bytes(of, weights->groups);
    }
    for (int m = 0; m < count * T; ++m) finish(call, tile + m % T, begin + m / T, load(sum + m * LANES));
}

// Pairs of tiles as far as they go.
template <Kind KIND> static void quantised_range(const LinearCall &call, int tile, int end, int begin, int count) {
    if constexpr (ROWS_OF_PAIRS > 0) {
        if (count >= many_rows<ShapeOf<KIND>>())
            for (; tile + 1 < end; tile += 2) quantised_tiles<KIND, 2>(call, tile, begin, count);
    }
    for (; tile < end; ++tile) quantised_tiles<KIND, 1>(call, tile, begin, count);
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
    const RowBlocks rows(count, ROWS);
    for (int b = 0; b < rows.count; ++b)
        multiply_values<KIND, ROWS>(call, from, tile, begin + rows.begin(b), rows.size(b));
}

template <Kind KIND> static void linear_range(const LinearCall &call, int tile, int end, int begin, int count) {
    if constexpr (KIND < Kind::BFLOAT) quantised_range<KIND>(call, tile, end, begin, count);
    else
        for (; tile < end; ++tile) float_tile<KIND>(call, tile, begin, count);
}

// Tiles `tile` … end of rows begin … begin + count <= CHUNK.
typedef void (*RangeFunction)(const LinearCall &, int tile, int end, int begin, int count);

static RangeFunction range_function(Kind kind) {
    constexpr RangeFunction functions[] = {
        linear_range<Kind::NIBBLE_HALF>,         linear_range<Kind::NIBBLE_HALF_AFFINE>,
        linear_range<Kind::NIBBLE_TWO_LEVEL>,    linear_range<Kind::FIVE_HALF>,
        linear_range<Kind::FIVE_HALF_AFFINE>,    linear_range<Kind::FIVE_TWO_LEVEL>,
        linear_range<Kind::SIX_TWO_LEVEL>,       linear_range<Kind::BYTE_HALF>,
        linear_range<Kind::THREE_TWO_LEVEL>,     linear_range<Kind::TWO_TWO_LEVEL>,
        linear_range<Kind::BFLOAT>,              linear_range<Kind::HALF>,
        linear_range<Kind::FLOAT>,
    };
    static_assert(sizeof functions / sizeof *functions == (int)Kind::COUNT, "one for each kind");
    return functions[(int)kind];
}

static void linear(const LinearCall &call, int32_t tile_begin, int32_t tile_end) {
    const RangeFunction range = range_function(call.matrix->kind);
    for (int begin = 0; begin < call.rows; begin += CHUNK) {
        const int left = call.rows - begin;
        range(call, tile_begin, tile_end, begin, left < CHUNK ? left : CHUNK);
    }
}

} // namespace outrider::OUTRIDER_ISA
