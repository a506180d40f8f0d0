// From a packed block to what the inner loops want: codes as bytes, in registers; scales and minima as floats.
#pragma once

#include "../formats/layout.h"
#include "../simd/dot.h"

namespace outrider::OUTRIDER_ISA {

constexpr int MAX_GROUPS = BLOCK_INPUTS / 16;

struct Weights {
    int block, groups;    // which inputs of a row the block is for, and how many times 32
    const uint8_t *codes; // as packed: unpacking them again for every few rows is cheaper than keeping them
    alignas(64) float scale[MAX_GROUPS][LANES];
    alignas(64) float minimum[MAX_GROUPS][LANES];
};

// What inner loops need to know of a kind.
template <int GROUP_, bool AFFINE_, int LOW_, int HIGH_> struct Shape {
    static constexpr int GROUP = GROUP_, PARTS_OF_32 = 32 / GROUP_, LOW = LOW_, HIGH = HIGH_, BITS = LOW_ + HIGH_;
    static constexpr int GROUP_BYTES = BITS * 64;
    static constexpr bool AFFINE = AFFINE_, BYTES = BITS == 8;
    static constexpr bool SIGNED = BYTES && BYTES_ARE_SIGNED; // the offset is in the codes
};
template <Kind KIND>
using ShapeOf = Shape<layout_of(KIND).group, layout_of(KIND).affine, layout_of(KIND).low, layout_of(KIND).high>;

template <int N> struct Words {
    typedef uint16_t type __attribute__((vector_size(N)));
};

// Value i of a plane of BITS-bit values, its lowest bit moved to bit TO of each byte. Shifting whole 16-bit words is
// all right: what crosses into a neighbouring byte is masked away.
template <int BITS, int TO, int WIDTH, class V> OUTRIDER_INLINE V field(const uint8_t *plane, int i) {
    V bytes;
    std::memcpy(&bytes, plane + i * BITS / 8 * WIDTH, sizeof bytes);
    if (BITS == 8) return bytes;
    const int from = i * BITS % 8;
    bytes = from >= TO ? bytes >> (from - TO) : bytes << (TO - from);
    return bytes & (V{} + (uint16_t)((((1 << BITS) - 1) << TO) * 0x0101));
}

// Eight vectors of WIDTH bytes from their two planes, the high one right behind the low one.
template <int LOW, int HIGH, int WIDTH> OUTRIDER_INLINE void unpack_planes(const uint8_t *from, uint8_t *to) {
    constexpr int PIECE = WIDTH < REGISTER_BYTES ? WIDTH : REGISTER_BYTES;
    typedef typename Words<PIECE>::type V;
#pragma GCC unroll 4
    for (int at = 0; at < WIDTH; at += PIECE) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
            V bytes = field<LOW, 0, WIDTH, V>(from + at, i);
            if (HIGH) bytes |= field<HIGH ? HIGH : 1, LOW, WIDTH, V>(from + LOW * WIDTH + at, i);
            std::memcpy(to + i * WIDTH + at, &bytes, PIECE);
        }
    }
}

// Vector i (of eight) of a group of 32 inputs: four consecutive inputs of the sixteen outputs. Shifts and masks run
// where the products leave the processor idle.
template <class S> OUTRIDER_INLINE B group_vector(const uint8_t *group, int i) {
    typedef typename Words<REGISTER_BYTES>::type V;
    B r;
    for (int p = 0; p < PARTS; ++p) {
        V bytes = field<S::LOW, 0, 64, V>(group + p * REGISTER_BYTES, i);
        if (S::HIGH) bytes |= field<S::HIGH ? S::HIGH : 1, S::LOW, 64, V>(group + S::LOW * 64 + p * REGISTER_BYTES, i);
        if (S::SIGNED) bytes ^= 0x8080;
        r.part[p] = (u8p)bytes;
    }
    return r;
}

OUTRIDER_INLINE F bytes_to_float(const uint8_t *from, int32_t offset) {
    I r;
#if defined(__AVX512F__)
    r.part[0] = (i32p)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
#elif defined(__AVX2__)
    OUTRIDER_PARTS(r.part[p] = (i32p)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(from + p * 8))))
#else
    OUTRIDER_PARTS(for (int i = 0; i < PART_LANES; ++i) r.part[p][i] = from[p * PART_LANES + i])
#endif
    return to_float(r - splat_int(offset));
}

template <Kind KIND> OUTRIDER_INLINE void unpack_one_level(const uint8_t *scales, int groups, Weights &to) {
    constexpr Layout of = layout_of(KIND);
    for (int g = 0; g < groups; ++g, scales += level_bytes(of)) {
        store(to.scale[g], load_half((const uint16_t *)scales));
        if (of.affine) store(to.minimum[g], load_half((const uint16_t *)scales + TILE_ROWS));
    }
}

template <Kind KIND> OUTRIDER_INLINE void unpack_two_levels(const uint8_t *scales, int groups, Weights &to) {
    constexpr Layout of = layout_of(KIND);
    constexpr int WIDTH = multipliers(of) / 8, EACH = of.affine ? 2 : 1;
    alignas(64) uint8_t multiplier[WIDTH * 8];
    unpack_planes<of.multiplier_low, of.multiplier_high, WIDTH>(scales + level_bytes(of), multiplier);
    const F d = load_half((const uint16_t *)scales);
    const F dmin = of.affine ? load_half((const uint16_t *)scales + TILE_ROWS) : d;
    for (int g = 0; g < groups * 32 / of.group; ++g) {
        const uint8_t *own = multiplier + g * EACH * LANES;
        store(to.scale[g], d * bytes_to_float(own, of.multiplier_offset));
        if (of.affine) store(to.minimum[g], dmin * bytes_to_float(own + LANES, 0));
    }
}

template <Kind KIND> OUTRIDER_INLINE void unpack(const uint8_t *from, int inputs, int block, Weights &to) {
    constexpr Layout of = layout_of(KIND);
    const int groups = groups_of_block(inputs, block);
    static_assert(of.affine || of.offset == 1 << (of.low + of.high - 1), "products take the offset from the bits");
    to.block = block;
    to.groups = groups;
    to.codes = from;
    const uint8_t *scales = from + groups * group_code_bytes(of);
    if constexpr (of.two_level) unpack_two_levels<KIND>(scales, groups, to);
    else unpack_one_level<KIND>(scales, groups, to);
}

} // namespace outrider::OUTRIDER_ISA
