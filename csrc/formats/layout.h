// Where the parts of a packed block lie. The packer writes what the kernels read, so both take every number from here.
//
//   block of 256 inputs (the last may have fewer), 16 outputs:
//
//   | codes of group 0 | group 1 | … | scales |            a group: 32 inputs
//
//   codes of a group, once unpacked: eight vectors of 64 bytes, each four consecutive inputs of the sixteen outputs
//       vector 0:  output 0: inputs 0 1 2 3 | output 1: inputs 0 1 2 3 | … | output 15      one dot instruction's worth
//       vector 1:  output 0: inputs 4 5 6 7 | …
//
//   Packed, eight vectors of BITS-bit values lie in BITS vectors, a "plane": value i of byte j sits in bits
//   i * BITS % 8 … of byte j of vector i * BITS / 8. Codes of 5, 6 and 3 bits are two planes, low bits and high bits.
//
//   scales, one level:   per group  scale [16] half | minimum [16] half (affine kinds only)
//   scales, two levels:  d [16] half | dmin [16] half (affine) | multipliers, themselves packed in planes:
//                        eight vectors that are, in a row, per scale group  scale [16] | minimum [16] (affine)
#pragma once

#include "../matrix.h"

namespace outrider {

struct Layout {
    int low, high;                       // bits of a code in either plane
    int group;                           // inputs that share a scale: 16 or 32
    int offset;                          // value = scale * (code - offset)            symmetric kinds
    bool affine;                         // value = scale * code - minimum
    bool two_level;                      // scale = d * (multiplier - multiplier_offset)
    int multiplier_low, multiplier_high; // bits in either plane
    int multiplier_offset;
    int value_bytes;                     // of kinds that are not quantised, else 0
};

static constexpr inline Layout layout_of(Kind kind) {
    switch (kind) { //                        low high group offset affine two_level multipliers
    case Kind::NIBBLE_HALF:        return Layout{4, 0, 32, 8, false, false, 0, 0, 0, 0};
    case Kind::NIBBLE_HALF_AFFINE: return Layout{4, 0, 32, 0, true, false, 0, 0, 0, 0};
    case Kind::NIBBLE_TWO_LEVEL:   return Layout{4, 0, 32, 0, true, true, 4, 2, 0, 0};
    case Kind::FIVE_HALF:          return Layout{4, 1, 32, 16, false, false, 0, 0, 0, 0};
    case Kind::FIVE_HALF_AFFINE:   return Layout{4, 1, 32, 0, true, false, 0, 0, 0, 0};
    case Kind::FIVE_TWO_LEVEL:     return Layout{4, 1, 32, 0, true, true, 4, 2, 0, 0};
    case Kind::SIX_TWO_LEVEL:      return Layout{4, 2, 16, 32, false, true, 8, 0, 128, 0};
    case Kind::BYTE_HALF:          return Layout{8, 0, 32, 128, false, false, 0, 0, 0, 0};
    case Kind::THREE_TWO_LEVEL:    return Layout{2, 1, 16, 4, false, true, 4, 2, 32, 0};
    case Kind::TWO_TWO_LEVEL:      return Layout{2, 0, 16, 0, true, true, 4, 0, 0, 0};
    case Kind::BFLOAT:             return Layout{0, 0, 0, 0, false, false, 0, 0, 0, 2};
    case Kind::HALF:               return Layout{0, 0, 0, 0, false, false, 0, 0, 0, 2};
    default:                       return Layout{0, 0, 0, 0, false, false, 0, 0, 0, 4};
    }
}

// Numbers of multipliers in a block, always a full one; an eighth of them is the width of their vectors.
static constexpr inline int multipliers(const Layout &of) {
    return BLOCK_INPUTS / of.group * TILE_ROWS * (of.affine ? 2 : 1);
}
static constexpr inline int multiplier_bits(const Layout &of) { return of.multiplier_low + of.multiplier_high; }
static constexpr inline int group_code_bytes(const Layout &of) { return (of.low + of.high) * 64; }
static constexpr inline int level_bytes(const Layout &of) { // d and dmin; or one group's scale and minimum
    return TILE_ROWS * 2 * (of.affine ? 2 : 1);
}
static constexpr inline int64_t block_bytes(const Layout &of, int groups) {
    if (of.value_bytes) return (int64_t)groups * 32 * TILE_ROWS * of.value_bytes;
    const int scales = of.two_level ? level_bytes(of) + multipliers(of) * multiplier_bits(of) / 8
                                    : groups * level_bytes(of);
    return (int64_t)groups * group_code_bytes(of) + scales;
}
static constexpr inline int groups_of_block(int inputs, int block) { // of 32 inputs
    const int left = inputs - block * BLOCK_INPUTS;
    return (left < BLOCK_INPUTS ? left : BLOCK_INPUTS) / 32;
}
static constexpr inline int num_blocks(int inputs) { return (inputs + BLOCK_INPUTS - 1) / BLOCK_INPUTS; }
static constexpr inline int64_t tile_bytes(const Layout &of, int inputs) { // tiles begin at cache lines
    const int rest = inputs % BLOCK_INPUTS / 32;
    const int64_t bytes =
        inputs / BLOCK_INPUTS * block_bytes(of, BLOCK_INPUTS / 32) + (rest ? block_bytes(of, rest) : 0);
    return (bytes + 63) / 64 * 64;
}

} // namespace outrider
