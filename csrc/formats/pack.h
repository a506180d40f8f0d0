// Between rows of weights as files hold them and packed matrices.
#pragma once

#include "layout.h"

namespace outrider {

// How values lie in a source: ggml's numbers, as GGUF files use them.
enum class Source : int32_t {
    F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8,
    Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14, BF16 = 30,
};

// One block of one row, between the formats. Of the scales only those that the kind has mean anything.
struct RowBlock {
    uint8_t code[BLOCK_INPUTS];
    uint16_t scale[8], minimum[8];             // one level: half precision, per 32
    uint16_t d, dmin;                          // two levels: half precision …
    uint8_t multiplier[16], multiplier_min[16]; // … and their multipliers, as stored (offset included)
};

// Reads `groups` groups of 32 from `from`, where they begin.
typedef void (*BlockReader)(const uint8_t *from, int groups, RowBlock &to);

// The reader of `source` for a matrix of `kind`, null if there is none: quantised sources become the one kind that
// represents them exactly, F32, F16 and BF16 also BYTE_HALF, NIBBLE_TWO_LEVEL and NIBBLE_HALF, rounded.
BlockReader block_reader(Source source, Kind kind);
int64_t source_bytes(Source source, int inputs); // of so many inputs of a row
bool copies_values(Source source, Kind kind);    // floats that stay floats

// Exact readers, by format.
void read_q4_0(const uint8_t *from, int groups, RowBlock &to);
void read_q4_1(const uint8_t *from, int groups, RowBlock &to);
void read_q5_0(const uint8_t *from, int groups, RowBlock &to);
void read_q5_1(const uint8_t *from, int groups, RowBlock &to);
void read_q8_0(const uint8_t *from, int groups, RowBlock &to);
void read_q2_k(const uint8_t *from, int groups, RowBlock &to);
void read_q3_k(const uint8_t *from, int groups, RowBlock &to);
void read_q4_k(const uint8_t *from, int groups, RowBlock &to);
void read_q5_k(const uint8_t *from, int groups, RowBlock &to);
void read_q6_k(const uint8_t *from, int groups, RowBlock &to);

// Quantisers: `x` has 32 * groups values.
void quantise_bytes(const float *x, int groups, RowBlock &to);   // for BYTE_HALF
void quantise_nibbles(const float *x, int groups, RowBlock &to); // for NIBBLE_TWO_LEVEL
void quantise_symmetric_nibbles(const float *x, int groups, RowBlock &to); // for NIBBLE_HALF

struct PackCall {
    Source source;
    const uint8_t *from; // [rows][row_bytes]
    int64_t row_bytes;
    Kind kind;
    int32_t rows, inputs;
    uint8_t *to; // the packed matrix
};
// Writes tiles tile_begin … tile_end; false where the source cannot become that kind.
bool pack_tiles(const PackCall &call, int32_t tile_begin, int32_t tile_end);

// y = scale * the values of a row: exactly those that the file stands for, times scale, rounded once more.
void unpack_row(const Matrix &matrix, int64_t row, float scale, float *y);

} // namespace outrider
