// The largest output exactly, from a screen: where it seems to be, then wherever else it may be.
//
//   screen     every output, nearly; the largest of     y  y  y  y │ y  y  y  y         a product at four bits
//              each stretch of tiles
//   peak       the tile of the largest, exactly            ▲ floor
//   refine     in stretches that may reach the floor,         ▲          ▲              the others stay as they are, below
//              tiles that may
#pragma once

#include "../formats/screen.h"
#include "../kernels/table.h"

#include <algorithm>
#include <cmath>

namespace outrider {

constexpr int32_t MAX_STRETCH = 64; // tiles

struct Refinement {
    const Kernels &kernels;
    const Matrix &matrix; // while screening the copy, then the matrix itself
    const float *slack;   // [matrix rows], then the largest of each stretch
    QuantisedRows x;
    int32_t rows, stretch; // in tiles
    float *y;     // [rows][matrix rows]
    float *notes; // [rows]: floor, length, the largest of each stretch

    int32_t stretches() const { return (num_tiles(matrix) + stretch - 1) / stretch; }

    // Stretches begin … end.
    void screen(int32_t begin, int32_t end) const {
        for (int32_t i = begin; i < end; ++i) {
            multiply(i * stretch, last_of(i), 0, rows);
            for (int32_t row = 0; row < rows; ++row) most_of(row)[i] = kernels.most(outputs(row, i), num_outputs(i));
        }
    }

    // What is no number leaves all outputs in doubt, and so do inputs so large that sums might become infinite.
    void find_peak(int32_t row) const {
        const int64_t highest = kernels.argmax(most_of(row), stretches());
        const int64_t best = kernels.argmax(outputs(row, (int32_t)highest), num_outputs((int32_t)highest));
        const int32_t tile = (int32_t)(highest * stretch + best / TILE_ROWS), first = tile * TILE_ROWS;
        multiply(tile, tile + 1, row, 1);
        const float floor = kernels.most(y_of(row) + first, std::min(TILE_ROWS, matrix.rows - first));
        const float length = length_of(x, row, matrix.inputs);
        notes_of(row)[0] = std::isfinite(floor) && length < LONGEST ? floor : NAN;
        notes_of(row)[1] = length;
    }

    // Stretches begin … end; how many tiles were in doubt, counted by rows.
    int64_t refine(int32_t begin, int32_t end) const {
        int64_t refined = 0;
        for (int32_t i = begin; i < end; ++i)
            for (int32_t row = 0; row < rows; row += CHUNK) refined += refine(i, row, std::min(rows - row, CHUNK));
        return refined;
    }

  private:
    static constexpr int32_t CHUNK = 64; // rows
    static constexpr float LONGEST = 0x1p60f; // a quantised weight is below 2^31, and a row has less than 2^30 of them

    float *y_of(int32_t row) const { return y + (int64_t)row * matrix.rows; }
    float *notes_of(int32_t row) const { return notes + (int64_t)row * (2 + stretches()); }
    float *most_of(int32_t row) const { return notes_of(row) + 2; }
    float *outputs(int32_t row, int32_t i) const { return y_of(row) + i * stretch * TILE_ROWS; }
    int32_t last_of(int32_t i) const { return std::min((i + 1) * stretch, num_tiles(matrix)); }
    int32_t num_outputs(int32_t i) const { return std::min((i + 1) * stretch * TILE_ROWS, matrix.rows) - i * stretch * TILE_ROWS; }

    // A stretch of some rows.
    int64_t refine(int32_t i, int32_t begin, int32_t count) const {
        uint64_t tiles[CHUNK], any = 0;
        for (int32_t row = 0; row < count; ++row) any |= tiles[row] = doubtful(i, begin + row);
        int64_t refined = 0;
        for (; any; any &= any - 1) {
            const int32_t tile = __builtin_ctzll(any);
            uint64_t rows_of = 0;
            for (int32_t row = 0; row < count; ++row) rows_of |= (tiles[row] >> tile & 1) << row;
            refined += settle(i * stretch + tile, begin, count, rows_of);
        }
        return refined;
    }

    uint64_t doubtful(int32_t i, int32_t row) const {
        const float floor = notes_of(row)[0], length = notes_of(row)[1];
        if (most_of(row)[i] + length * slack[matrix.rows + i] < floor) return 0;
        return kernels.doubtful({y_of(row), slack, matrix.rows, length, floor}, i * stretch, last_of(i));
    }

    // One by one, or where they are many, all `count` rows together.
    int32_t settle(int32_t tile, int32_t begin, int32_t count, uint64_t rows_of) const {
        const int32_t number = __builtin_popcountll(rows_of);
        if (4 * number > count && number > 1) multiply(tile, tile + 1, begin, count);
        else
            for (; rows_of; rows_of &= rows_of - 1) multiply(tile, tile + 1, begin + __builtin_ctzll(rows_of), 1);
        return number;
    }

    void multiply(int32_t tile, int32_t end, int32_t row, int32_t count) const {
        LinearCall call{};
        call.matrix = &matrix;
        call.x = {x.block + row, x.stride};
        call.rows = count;
        call.y = y_of(row);
        call.stride = matrix.rows;
        kernels.linear(call, tile, end);
    }
};

} // namespace outrider
