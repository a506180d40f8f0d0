#include "screen.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace outrider {
namespace {

constexpr double ROUNDINGS = 0x1p-12, UP = 1 + 0x1p-20; // of the products; of what is stored in single precision

double sum_of(const double (&part)[8]) {
    return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

float slack_of(const float *exact, const float *rough, int32_t inputs) {
    double missed[8] = {}, exact_squares[8] = {}, rough_squares[8] = {}; // side by side
    for (int32_t i = 0; i < inputs; i += 8)
        for (int32_t j = 0; j < 8; ++j) {
            const double x = exact[i + j], y = rough[i + j];
            missed[j] += (x - y) * (x - y);
            exact_squares[j] += x * x;
            rough_squares[j] += y * y;
        }
    const double lengths = std::sqrt(sum_of(exact_squares)) + std::sqrt(sum_of(rough_squares));
    return (float)((std::sqrt(sum_of(missed)) + ROUNDINGS * lengths) * UP);
}

} // namespace

void pack_screen(const Matrix &matrix, int32_t tile_begin, int32_t tile_end, uint8_t *to, float *slack) {
    const int32_t inputs = matrix.inputs;
    const int64_t size = tile_bytes(layout_of(SCREEN_KIND), inputs);
    std::vector<float> rows((size_t)inputs * TILE_ROWS), rough((size_t)inputs);
    for (int32_t tile = tile_begin; tile < tile_end; ++tile) {
        const int32_t first = tile * TILE_ROWS, count = std::min(TILE_ROWS, matrix.rows - first);
        for (int32_t r = 0; r < count; ++r) unpack_row(matrix, first + r, 1.0f, rows.data() + (int64_t)r * inputs);
        uint8_t *own = to + tile * size;
        const auto *from = reinterpret_cast<const uint8_t *>(rows.data());
        pack_tiles({Source::F32, from, (int64_t)inputs * 4, SCREEN_KIND, count, inputs, own}, 0, 1);
        for (int32_t r = 0; r < count; ++r) {
            unpack_row({SCREEN_KIND, count, inputs, own}, r, 1.0f, rough.data());
            slack[first + r] = slack_of(rows.data() + (int64_t)r * inputs, rough.data(), inputs);
        }
    }
}

float length_of(const QuantisedRows &x, int64_t row, int32_t inputs) {
    double squares = 0;
    for (int block = 0; block < num_blocks(inputs); ++block) {
        const InputBlock &one = *x.at(block, row);
        for (int group = 0; group < groups_of_block(inputs, block); ++group) {
            int32_t sum = 0;
            for (int i = 0; i < 32; ++i) sum += one.q[group * 32 + i] * one.q[group * 32 + i];
            squares += (double)one.scale[group] * one.scale[group] * sum;
        }
    }
    return (float)(std::sqrt(squares) * UP);
}

} // namespace outrider
