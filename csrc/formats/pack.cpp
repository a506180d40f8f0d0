// Packing: sixteen rows of a file become a tile.
#include "half.h"
#include "pack.h"

#include <cstring>

namespace outrider {
namespace {

// Values of `low` + `high` bits, eight vectors of `width` bytes, into their two planes (see layout.h).
void pack_planes(const uint8_t *values, int low, int high, int width, uint8_t *to) {
    const int bits[] = {low, high}, base[] = {0, low};
    for (int plane = 0; plane < 2; ++plane) {
        const int size = bits[plane];
        std::memset(to, 0, size * width);
        for (int i = 0; size && i < 8; ++i) {
            uint8_t *out = to + i * size / 8 * width;
            const int shift = i * size % 8, mask = (1 << size) - 1;
            for (int j = 0; j < width; ++j) out[j] |= (values[i * width + j] >> base[plane] & mask) << shift;
        }
        to += size * width;
    }
}

void pack_codes(const RowBlock *row, int groups, const Layout &of, uint8_t *to) {
    alignas(64) uint8_t interleaved[512];
    for (int g = 0; g < groups; ++g, to += group_code_bytes(of)) {
        for (int i = 0; i < 8; ++i)
            for (int r = 0; r < TILE_ROWS; ++r)
                std::memcpy(interleaved + i * 64 + r * 4, row[r].code + g * 32 + i * 4, 4);
        pack_planes(interleaved, of.low, of.high, 64, to);
    }
}

void pack_one_level(const RowBlock *row, int groups, const Layout &of, uint8_t *to) {
    uint16_t level[2][TILE_ROWS];
    for (int g = 0; g < groups; ++g, to += level_bytes(of)) {
        for (int r = 0; r < TILE_ROWS; ++r) {
            level[0][r] = row[r].scale[g];
            level[1][r] = row[r].minimum[g];
        }
        std::memcpy(to, level, level_bytes(of));
    }
}

void pack_two_levels(const RowBlock *row, const Layout &of, uint8_t *to) {
    uint16_t level[2][TILE_ROWS];
    uint8_t multiplier[512];
    const int each = of.affine ? 2 : 1;
    for (int r = 0; r < TILE_ROWS; ++r) {
        level[0][r] = row[r].d;
        level[1][r] = row[r].dmin;
        for (int g = 0; g < BLOCK_INPUTS / of.group; ++g) {
            multiplier[g * each * TILE_ROWS + r] = row[r].multiplier[g];
            if (of.affine) multiplier[(g * each + 1) * TILE_ROWS + r] = row[r].multiplier_min[g];
        }
    }
    std::memcpy(to, level, level_bytes(of));
    pack_planes(multiplier, of.multiplier_low, of.multiplier_high, multipliers(of) / 8, to + level_bytes(of));
}

void pack_quantised(const PackCall &call, BlockReader read, int tile, uint8_t *to) {
    const Layout of = layout_of(call.kind);
    const int left = call.rows - tile * TILE_ROWS, present = left < TILE_ROWS ? left : TILE_ROWS;
    RowBlock row[TILE_ROWS];
    std::memset(row, 0, sizeof row); // rows that are not there: scale 0
    const uint8_t *from = call.from + (int64_t)tile * TILE_ROWS * call.row_bytes;
    for (int block = 0; block < num_blocks(call.inputs); ++block) {
        const int groups = groups_of_block(call.inputs, block);
        const int64_t at = source_bytes(call.source, block * BLOCK_INPUTS);
        for (int r = 0; r < present; ++r) read(from + r * call.row_bytes + at, groups, row[r]);
        pack_codes(row, groups, of, to);
        uint8_t *scales = to + groups * group_code_bytes(of);
        if (of.two_level) pack_two_levels(row, of, scales);
        else pack_one_level(row, groups, of, scales);
        to += block_bytes(of, groups);
    }
}

void pack_values(const PackCall &call, int tile, uint8_t *to) { // [inputs][16 outputs]
    const int size = layout_of(call.kind).value_bytes;
    for (int r = 0; r < TILE_ROWS; ++r) {
        const int64_t row = (int64_t)tile * TILE_ROWS + r;
        for (int i = 0; i < call.inputs; ++i) {
            uint8_t *value = to + ((int64_t)i * TILE_ROWS + r) * size;
            if (row < call.rows) std::memcpy(value, call.from + row * call.row_bytes + i * size, size);
            else std::memset(value, 0, size);
        }
    }
}

float value_at(Source source, const uint8_t *from, int i) {
    float wide;
    uint16_t narrow;
    if (source == Source::F32) {
        std::memcpy(&wide, from + 4 * i, 4);
        return wide;
    }
    std::memcpy(&narrow, from + 2 * i, 2);
    return source == Source::F16 ? half_to_float(narrow) : bfloat_to_float(narrow);
}

template <Source SOURCE, void (*QUANTISE)(const float *, int, RowBlock &)>
void read_floats(const uint8_t *from, int groups, RowBlock &to) {
    float x[BLOCK_INPUTS];
    for (int i = 0; i < groups * 32; ++i) x[i] = value_at(SOURCE, from, i);
    QUANTISE(x, groups, to);
}

template <Source SOURCE> BlockReader quantising_reader(Kind kind) {
    if (kind == Kind::BYTE_HALF) return read_floats<SOURCE, quantise_bytes>;
    if (kind == Kind::NIBBLE_TWO_LEVEL) return read_floats<SOURCE, quantise_nibbles>;
    if (kind == Kind::NIBBLE_HALF) return read_floats<SOURCE, quantise_symmetric_nibbles>;
    return nullptr;
}

struct Format {
    Source source;
    Kind kind;
    BlockReader read; // null: values are copied
    int block_inputs, block_bytes;
};

constexpr Format FORMATS[] = {
    {Source::Q4_0, Kind::NIBBLE_HALF, read_q4_0, 32, 18},
    {Source::Q4_1, Kind::NIBBLE_HALF_AFFINE, read_q4_1, 32, 20},
    {Source::Q5_0, Kind::FIVE_HALF, read_q5_0, 32, 22},
    {Source::Q5_1, Kind::FIVE_HALF_AFFINE, read_q5_1, 32, 24},
    {Source::Q8_0, Kind::BYTE_HALF, read_q8_0, 32, 34},
    {Source::Q2_K, Kind::TWO_TWO_LEVEL, read_q2_k, 256, 84},
    {Source::Q3_K, Kind::THREE_TWO_LEVEL, read_q3_k, 256, 110},
    {Source::Q4_K, Kind::NIBBLE_TWO_LEVEL, read_q4_k, 256, 144},
    {Source::Q5_K, Kind::FIVE_TWO_LEVEL, read_q5_k, 256, 176},
    {Source::Q6_K, Kind::SIX_TWO_LEVEL, read_q6_k, 256, 210},
    {Source::F32, Kind::FLOAT, nullptr, 1, 4},
    {Source::F16, Kind::HALF, nullptr, 1, 2},
    {Source::BF16, Kind::BFLOAT, nullptr, 1, 2},
};

const Format *format_of(Source source) {
    for (const Format &format : FORMATS)
        if (format.source == source) return &format;
    return nullptr;
}

} // namespace

int64_t source_bytes(Source source, int inputs) {
    const Format *format = format_of(source);
    return format ? (int64_t)inputs / format->block_inputs * format->block_bytes : 0;
}

bool copies_values(Source source, Kind kind) {
    const Format *format = format_of(source);
    return format && !format->read && format->kind == kind;
}

BlockReader block_reader(Source source, Kind kind) {
    const Format *format = format_of(source);
    if (!format) return nullptr;
    if (format->kind == kind) return format->read;
    if (source == Source::F32) return quantising_reader<Source::F32>(kind);
    if (source == Source::F16) return quantising_reader<Source::F16>(kind);
    if (source == Source::BF16) return quantising_reader<Source::BF16>(kind);
    return nullptr;
}

bool pack_tiles(const PackCall &call, int32_t tile_begin, int32_t tile_end) {
    const BlockReader read = block_reader(call.source, call.kind);
    const bool copies = copies_values(call.source, call.kind);
    const int64_t size = tile_bytes(layout_of(call.kind), call.inputs);
    if (!read && !copies) return false;
    for (int tile = tile_begin; tile < tile_end; ++tile) {
        if (copies) pack_values(call, tile, call.to + tile * size);
        else pack_quantised(call, read, tile, call.to + tile * size);
    }
    return true;
}

} // namespace outrider
