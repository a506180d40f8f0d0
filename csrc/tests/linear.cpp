// Products and embeddings: every kind, odd numbers of rows, outputs and inputs, with and without bias and addition.
#include "seeded.h"

#include "../runtime/refinement.h"

#include <cstdlib>

namespace outrider::tests {
namespace {

struct Packed {
    Matrix matrix;
    Array<uint8_t> bytes;

    Packed(Kind kind, int32_t rows, int32_t inputs)
        : matrix{kind, rows, inputs, nullptr},
          bytes((rows + TILE_ROWS - 1) / TILE_ROWS * tile_bytes(layout_of(kind), inputs), true) {
        matrix.data = bytes.data();
        for (int64_t i = 0; i < bytes.size(); ++i) bytes[i] = (uint8_t)(hashed(7, (uint64_t)i) >> 20);
        for (int tile = 0; tile < num_tiles(matrix); ++tile) tame(bytes.data() + tile * tile_bytes(layout_of(kind), inputs));
    }

    // Codes and multipliers may be any bits; scales and values have to be numbers.
    void tame(uint8_t *at) {
        const Layout of = layout_of(matrix.kind);
        for (int block = 0; block < num_blocks(matrix.inputs); ++block) {
            const int groups = groups_of_block(matrix.inputs, block);
            if (of.value_bytes == 4) tame_values<float>(at, groups * 32 * TILE_ROWS);
            else if (of.value_bytes) tame_values<uint16_t>(at, groups * 32 * TILE_ROWS);
            else tame_values<uint16_t>(at + groups * group_code_bytes(of),
                                       (of.two_level ? 1 : groups) * level_bytes(of) / 2);
            at += block_bytes(of, groups);
        }
    }
    template <class T> void tame_values(uint8_t *at, int count) {
        for (int i = 0; i < count; ++i) {
            const uint32_t bits = (uint32_t)hashed(11, (uint64_t)(at - bytes.data()) + (uint64_t)i);
            T value; // halves of 2^-7 … 2^-4, and bfloats of about that size, either sign
            if (sizeof(T) == 4) value = (T)((float)(int32_t)bits * 0x1p-35f);
            else if (matrix.kind == Kind::BFLOAT) value = (T)(0x3C00 + (bits & 0x81FF));
            else value = (T)(0x2000 + (bits & 0x8FFF));
            std::memcpy(at + i * sizeof(T), &value, sizeof(T));
        }
    }
};

struct Inputs {
    Array<float> x;
    Array<InputBlock> block;
    int32_t rows;

    Inputs(const Kernels &kernels, int32_t rows, int32_t inputs)
        : x(rows * inputs), block(num_blocks(inputs) * rows), rows(rows) {
        fill(x, 3, 2.0f);
        kernels.quantise(x.data(), rows, inputs, quantised());
    }
    QuantisedRows quantised() { return {block.data(), rows}; }
};

struct Size {
    int32_t rows, outputs, inputs;
};

void product(const Kernels &kernels, Kind kind, Size size, Sums &sums) {
    Packed packed(kind, size.outputs, size.inputs);
    Inputs inputs(kernels, size.rows, size.inputs);
    const int64_t stride = size.outputs + 3;
    Array<float> y(size.rows * stride), bias(size.outputs), add(size.rows * stride);
    fill(bias, 5);
    fill(add, 6);
    for (int variant = 0; variant < 4; ++variant) {
        LinearCall call{};
        call.matrix = &packed.matrix;
        if (is_quantised(kind)) call.x = inputs.quantised();
        else call.x_float = inputs.x.data();
        call.rows = size.rows;
        call.bias = variant & 1 ? bias.data() : nullptr;
        call.add = variant == 2 ? add.data() : variant == 3 ? y.data() : nullptr;
        call.y = y.data();
        call.stride = stride;
        const int32_t tiles = num_tiles(packed.matrix), middle = tiles / 2;
        kernels.linear(call, middle, tiles); // in two ranges, the second first
        kernels.linear(call, 0, middle);
        sums.add("linear " + std::to_string((int)kind), y);
    }
}

void gated_product(const Kernels &kernels, Kind kind, Size size, Sums &sums) {
    Packed gate(kind, size.outputs, size.inputs), up(Kind::NIBBLE_TWO_LEVEL, size.outputs, size.inputs);
    Inputs inputs(kernels, size.rows, size.inputs);
    Array<InputBlock> y(num_blocks(size.outputs) * size.rows);
    const int32_t groups = size.outputs / 32, middle = groups / 2;
    for (const Activation activation : {Activation::SILU, Activation::GELU_TANH}) {
        const GatedCall call{&gate.matrix, &up.matrix, inputs.quantised(), {y.data(), size.rows}, size.rows, activation};
        kernels.gated_linear(call, middle, groups);
        kernels.gated_linear(call, 0, middle);
        sums.add("gated " + std::to_string((int)kind), y);
    }
}

// The screen of a matrix, what it leaves in doubt for few and for many rows, and the largest outputs, which have to be
// those of the whole product.
void screened_product(const Kernels &kernels, Kind kind, Size size, Sums &sums) {
    constexpr int32_t STRETCH = 3;
    Packed packed(kind, size.outputs, size.inputs);
    const Matrix &matrix = packed.matrix;
    Inputs inputs(kernels, size.rows, size.inputs);
    const int32_t tiles = num_tiles(matrix), stretches = (tiles + STRETCH - 1) / STRETCH, middle = stretches / 2;
    Array<uint8_t> bytes(tiles * tile_bytes(layout_of(SCREEN_KIND), size.inputs), true);
    Array<float> slack(size.outputs + stretches), y(size.rows * size.outputs), whole(size.rows * size.outputs),
        notes(size.rows * (2 + stretches));
    pack_screen(matrix, tiles / 2, tiles, bytes.data(), slack.data());
    pack_screen(matrix, 0, tiles / 2, bytes.data(), slack.data());
    for (int32_t i = 0; i < size.outputs; ++i) {
        float &largest = slack[size.outputs + i / TILE_ROWS / STRETCH];
        largest = std::max(largest, slack[i]);
    }
    const Matrix copy{SCREEN_KIND, size.outputs, size.inputs, bytes.data()};
    const QuantisedRows x = inputs.quantised();
    const Refinement screen{kernels, copy, slack.data(), x, size.rows, STRETCH, y.data(), notes.data()};
    const Refinement exact{kernels, matrix, slack.data(), x, size.rows, STRETCH, y.data(), notes.data()};
    screen.screen(middle, stretches);
    screen.screen(0, middle);
    for (int32_t row = 0; row < size.rows; ++row) exact.find_peak(row);
    const int64_t refined = exact.refine(middle, stretches) + exact.refine(0, middle);
    LinearCall call{};
    call.matrix = &matrix;
    call.x = x;
    call.rows = size.rows;
    call.y = whole.data();
    call.stride = size.outputs;
    kernels.linear(call, 0, tiles);
    for (int32_t row = 0; row < size.rows; ++row) {
        const float *found = y.data() + row * size.outputs, *wanted = whole.data() + row * size.outputs;
        const int64_t best = kernels.argmax(found, size.outputs);
        if (best == kernels.argmax(wanted, size.outputs) && found[best] == wanted[best]) continue;
        std::fprintf(stderr, "%s: row %d of screened kind %d has another largest output\n", kernels.name, row, (int)kind);
        std::abort();
    }
    sums.add("screen " + std::to_string((int)kind), y);
    sums.add("screen " + std::to_string((int)kind), &refined, sizeof refined);
}

void embedding(const Kernels &kernels, Kind kind, Sums &sums) {
    Packed packed(kind, 37, 288);
    Array<int64_t> token(5);
    for (int64_t i = 0; i < token.size(); ++i) token[i] = (i * 13 + 36) % 37;
    Array<float> y(token.size() * packed.matrix.inputs);
    kernels.embed(packed.matrix, token.data(), (int32_t)token.size(), 1.7f, y.data());
    sums.add("embed " + std::to_string((int)kind), y);
    kernels.embed(packed.matrix, token.data(), 0, 1.7f, y.data());
}

} // namespace

void linear_cases(const Kernels &kernels, Sums &sums) {
    constexpr Size sizes[] = {{1, 16, 32},  {1, 33, 256}, {2, 1, 288},  {3, 40, 96}, {5, 17, 544}, {7, 16, 64},
                              {8, 32, 512}, {9, 15, 256}, {16, 16, 32}, {64, 5, 32}, {67, 20, 288}, {0, 16, 32}};
    for (int kind = 0; kind < (int)Kind::COUNT; ++kind) {
        for (const Size &size : sizes) product(kernels, (Kind)kind, size, sums);
        for (int32_t rows : {1, 6, 67})
            if (is_quantised((Kind)kind)) gated_product(kernels, (Kind)kind, {rows, 288, 320}, sums);
        embedding(kernels, (Kind)kind, sums);
        for (int32_t rows : {0, 1, 5, 67})
            if (is_quantised((Kind)kind)) screened_product(kernels, (Kind)kind, {rows, 201, 288}, sums);
    }
}

} // namespace outrider::tests
