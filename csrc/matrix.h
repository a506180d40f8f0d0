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

// Rows of activations as quantised matrices want them: 8 bits, one scale for 32 inputs.
// Row r has q + r * inputs, scale + r * (inputs / 32), sum + r * (inputs / 16).
struct QuantisedRows {
    int8_t *q;      // -127 … 127
    float *scale;   // x is about q * scale
    int32_t *sum;   // of the q of each 16
};

} // namespace outrider
