// Packed matrices and their products.
#include "api.h"

#include "../formats/screen.h"
#include "../kernels/table.h"

#include <new>

using namespace outrider;

namespace {

constexpr int32_t BAD_ARGUMENT = -1, BAD_KIND = -2, OUT_OF_MEMORY = -3;

bool valid(int32_t kind, int32_t rows, int32_t inputs) {
    if (kind < 0 || kind >= (int32_t)Kind::COUNT || rows < 0 || inputs <= 0) return false;
    return inputs % 32 == 0;
}

Matrix matrix_of(int32_t kind, int32_t rows, int32_t inputs, const uint8_t *data) {
    return Matrix{(Kind)kind, rows, inputs, data};
}

} // namespace

// Bytes of a packed matrix, or a negative error code.
OUTRIDER_API int64_t outrider_matrix_bytes(int32_t kind, int32_t rows, int32_t inputs) {
    if (!valid(kind, rows, inputs)) return BAD_ARGUMENT;
    const Matrix matrix = matrix_of(kind, rows, inputs, nullptr);
    return num_tiles(matrix) * tile_bytes(layout_of(matrix.kind), inputs);
}

// Packs the tiles tile_begin … tile_end (of 16 rows) of rows in ggml's format number `source`.
OUTRIDER_API int32_t outrider_matrix_pack(int32_t source, int32_t kind, const uint8_t *from, int64_t row_bytes,
                                          int32_t rows, int32_t inputs, int32_t tile_begin, int32_t tile_end,
                                          uint8_t *to) {
    if (!valid(kind, rows, inputs) || tile_begin < 0) return BAD_ARGUMENT;
    if (tile_end > num_tiles(matrix_of(kind, rows, inputs, to))) return BAD_ARGUMENT;
    if (row_bytes < source_bytes((Source)source, inputs)) return BAD_ARGUMENT;
    const PackCall call{(Source)source, from, row_bytes, (Kind)kind, rows, inputs, to};
    return pack_tiles(call, tile_begin, tile_end) ? 0 : BAD_KIND;
}

// The screen of a quantised matrix (formats/screen.h), tiles tile_begin … tile_end: a matrix of kind NIBBLE_HALF, and
// the slack of its outputs [rows].
OUTRIDER_API int32_t outrider_screen_pack(int32_t kind, int32_t rows, int32_t inputs, const uint8_t *data,
                                          int32_t tile_begin, int32_t tile_end, uint8_t *to, float *slack) {
    if (!valid(kind, rows, inputs) || !is_quantised((Kind)kind) || tile_begin < 0) return BAD_ARGUMENT;
    const Matrix matrix = matrix_of(kind, rows, inputs, data);
    if (tile_end > num_tiles(matrix)) return BAD_ARGUMENT;
    try {
        pack_screen(matrix, tile_begin, tile_end, to, slack);
    } catch (const std::bad_alloc &) {
        return OUT_OF_MEMORY;
    }
    return 0;
}

// Rows `row` [count] as floats, times scale: y [count][inputs].
OUTRIDER_API int32_t outrider_matrix_unpack(int32_t kind, int32_t rows, int32_t inputs, const uint8_t *data,
                                            const int64_t *row, int32_t count, float scale, float *y) {
    if (!valid(kind, rows, inputs)) return BAD_ARGUMENT;
    for (int i = 0; i < count; ++i)
        if (row[i] < 0 || row[i] >= rows) return BAD_ARGUMENT;
    for (int i = 0; i < count; ++i)
        unpack_row(matrix_of(kind, rows, inputs, data), row[i], scale, y + (int64_t)i * inputs);
    return 0;
}

// A product on the calling thread, as tests and benchmarks want it. Quantised kinds take blocks [blocks][num_x], the
// others x; bias and add may be null.
OUTRIDER_API int32_t outrider_linear(const Kernels *kernels, int32_t kind, int32_t rows, int32_t inputs,
                                     const uint8_t *data, int32_t num_x, InputBlock *blocks, const float *x,
                                     const float *bias, const float *add, float *y, int64_t stride, int32_t tile_begin,
                                     int32_t tile_end) {
    if (!kernels || !valid(kind, rows, inputs) || tile_begin < 0) return BAD_ARGUMENT;
    const Matrix matrix = matrix_of(kind, rows, inputs, data);
    if (tile_end > num_tiles(matrix)) return BAD_ARGUMENT;
    kernels->linear(LinearCall{&matrix, {blocks, num_x}, x, num_x, bias, add, y, stride, 0}, tile_begin, tile_end);
    return 0;
}
