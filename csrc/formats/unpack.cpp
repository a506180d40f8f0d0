// Unpacking a row: what an embedding table is asked for, and how tests see that packing lost nothing.
#include "half.h"
#include "pack.h"

#include <cstring>

#define CONSTANT_LAYOUT inline __attribute__((always_inline)) // into who knows the layout: takes a quarter less time

namespace outrider {
namespace {

// Byte j of vector i of two planes (see layout.h).
CONSTANT_LAYOUT int value_in_planes(const uint8_t *planes, int low, int high, int width, int i, int j) {
    int value = planes[i * low / 8 * width + j] >> i * low % 8 & ((1 << low) - 1);
    if (high) value |= (planes[(low + i * high / 8) * width + j] >> i * high % 8 & ((1 << high) - 1)) << low;
    return value;
}

struct Scale {
    float scale, minimum;
};

float half_in(const uint8_t *from, int index) {
    uint16_t half;
    std::memcpy(&half, from + 2 * index, 2);
    return half_to_float(half);
}

// Of scale group g (16 or 32 inputs) and output r, from where the block's scales begin.
CONSTANT_LAYOUT Scale scale_of(const uint8_t *scales, const Layout &of, int g, int r) {
    if (!of.two_level) {
        const uint8_t *own = scales + g * level_bytes(of);
        return {half_in(own, r), of.affine ? half_in(own, TILE_ROWS + r) : 0};
    }
    const int width = multipliers(of) / 8, each = of.affine ? 2 : 1, at = g * each * TILE_ROWS + r;
    auto multiplier = [&](int index) {
        return value_in_planes(scales + level_bytes(of), of.multiplier_low, of.multiplier_high, width, index / width,
                               index % width);
    };
    const float scale = half_in(scales, r) * (float)(multiplier(at) - of.multiplier_offset);
    return {scale, of.affine ? half_in(scales, TILE_ROWS + r) * (float)multiplier(at + TILE_ROWS) : 0};
}

// The 32 codes of output r in a group.
CONSTANT_LAYOUT void codes_of(const uint8_t *group, const Layout &of, int r, int *code) {
    for (int i = 0; i < 32; ++i) code[i] = value_in_planes(group, of.low, of.high, 64, i / 4, r * 4 + i % 4);
}

template <Kind KIND> void unpack_quantised(const uint8_t *from, int inputs, int r, float factor, float *y) {
    constexpr Layout of = layout_of(KIND);
    int code[32];
    for (int block = 0; block < num_blocks(inputs); ++block) {
        const int groups = groups_of_block(inputs, block);
        const uint8_t *scales = from + groups * group_code_bytes(of);
        for (int g = 0; g < groups; ++g, y += 32) {
            codes_of(from + g * group_code_bytes(of), of, r, code);
            for (int part = 0; part < 32; part += of.group) {
                const Scale by = scale_of(scales, of, (g * 32 + part) / of.group, r);
                for (int i = part; i < part + of.group; ++i)
                    y[i] = factor * (of.affine ? by.scale * (float)code[i] - by.minimum
                                               : by.scale * (float)(code[i] - of.offset));
            }
        }
        from += block_bytes(of, groups);
    }
}

typedef void (*Unpack)(const uint8_t *from, int inputs, int r, float factor, float *y);

constexpr Unpack UNPACK_QUANTISED[] = {
    unpack_quantised<Kind::NIBBLE_HALF>,      unpack_quantised<Kind::NIBBLE_HALF_AFFINE>,
    unpack_quantised<Kind::NIBBLE_TWO_LEVEL>, unpack_quantised<Kind::FIVE_HALF>,
    unpack_quantised<Kind::FIVE_HALF_AFFINE>, unpack_quantised<Kind::FIVE_TWO_LEVEL>,
    unpack_quantised<Kind::SIX_TWO_LEVEL>,    unpack_quantised<Kind::BYTE_HALF>,
    unpack_quantised<Kind::THREE_TWO_LEVEL>,  unpack_quantised<Kind::TWO_TWO_LEVEL>,
};
static_assert(sizeof UNPACK_QUANTISED / sizeof *UNPACK_QUANTISED == (int)Kind::BFLOAT, "one for each quantised kind");

void unpack_values(const uint8_t *from, Kind kind, int inputs, int r, float factor, float *y) {
    const int size = layout_of(kind).value_bytes;
    for (int i = 0; i < inputs; ++i) {
        const uint8_t *at = from + ((int64_t)i * TILE_ROWS + r) * size;
        float value;
        uint16_t narrow;
        std::memcpy(&narrow, at, 2);
        if (kind == Kind::FLOAT) std::memcpy(&value, at, 4);
        else value = kind == Kind::HALF ? half_to_float(narrow) : bfloat_to_float(narrow);
        y[i] = factor * value;
    }
}

} // namespace

void unpack_row(const Matrix &matrix, int64_t row, float scale, float *y) {
    const Layout of = layout_of(matrix.kind);
    const uint8_t *tile = matrix.data + row / TILE_ROWS * tile_bytes(of, matrix.inputs);
    const int r = row % TILE_ROWS;
    if (of.value_bytes) unpack_values(tile, matrix.kind, matrix.inputs, r, scale, y);
    else UNPACK_QUANTISED[(int)matrix.kind](tile, matrix.inputs, r, scale, y);
}

} // namespace outrider
