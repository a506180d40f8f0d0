// A packed weight matrix: 16 output rows side by side (a tile), in blocks of up to 256 inputs.
//
//   tile 0:  block 0 | block 1 | … | block B-1        tile 1:  …
//
//   block:   codes of its groups, then scales (and minima); formats/layout.h draws them
//
// A tile is contiguous, so that a thread streams one range of memory. Values are  scale * (code - offset)  in symmetric
// kinds and  scale * code - minimum  in affine ones; scale and minimum are kept as the file has them: half precision
// times a small integer (two levels) or half precision alone.
#pragma once

#include <cstddef>
#include <cstdint>

namespace outrider {

constexpr int TILE_ROWS = 16;
constexpr int BLOCK_INPUTS = 256; // the last block of a row may have fewer, a multiple of 32

enum class Kind : int32_t {
    // codes            scales                                        made from
    NIBBLE_HALF,        // 4 bits, offset 8,  half per 32             Q4_0
    NIBBLE_HALF_AFFINE, // 4 bits, half scale and minimum per 32      Q4_1
    NIBBLE_TWO_LEVEL,   // 4 bits, affine, 6-bit scale and minimum per 32 times half d, dmin per 256     Q4_K
    FIVE_HALF,          // 5 bits, offset 16, half per 32             Q5_0
    FIVE_HALF_AFFINE,   // 5 bits, half scale and minimum per 32      Q5_1
    FIVE_TWO_LEVEL,     // 5 bits, affine, as NIBBLE_TWO_LEVEL        Q5_K
    SIX_TWO_LEVEL,      // 6 bits, offset 32, signed 8-bit scale per 16 times half d per 256             Q6_K
    BYTE_HALF,          // 8 bits, offset 128, half per 32            Q8_0
    THREE_TWO_LEVEL,    // 3 bits, offset 4, signed 6-bit scale per 16 times half d per 256    Q3_K
    TWO_TWO_LEVEL,      // 2 bits, affine, 4-bit scale and minimum per 16 times half d, dmin   Q2_K
    BFLOAT,             // bfloat16 values, computed in float32
    HALF,               // float16 values, computed in float32
    FLOAT,              // float32 values
    COUNT
};

struct Matrix {
    Kind kind;
    int32_t rows;        // outputs; the last tile is padded with zeros
    int32_t inputs;      // a multiple of 32
    const uint8_t *data; // 64-byte aligned, matrix_bytes() long
};

static inline int num_tiles(const Matrix &matrix) { return (matrix.rows + TILE_ROWS - 1) / TILE_ROWS; }
static inline bool is_quantised(Kind kind) { return kind < Kind::BFLOAT; }

// 256 inputs of a row of activations (fewer in the last block) as quantised matrices want them: 8 bits, one scale for 32,
// and what else depends on no weight. All that a product reads lies together, at distances that are constants.
struct InputBlock {
    int8_t q[BLOCK_INPUTS];          // -127 … 127
    float scale[BLOCK_INPUTS / 32];  // x is about q * scale
    float lift[BLOCK_INPUTS / 32];   // scale * the sum of the q of 32: what minima are multiplied by
    int32_t start[BLOCK_INPUTS / 16]; // -32 * the sum of the q of 16: where integers of codes with offset 32 begin
};

// Rows of a block of inputs lie side by side, as they are multiplied:  block b of row r is  block[b * stride + r].
struct QuantisedRows {
    InputBlock *block;
    int64_t stride; // rows there is room for
    InputBlock *at(int index, int64_t row) const { return block + index * stride + row; }
};

} // namespace outrider
