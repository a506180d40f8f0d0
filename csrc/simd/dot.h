// Products of bytes, exact in 32 bits: four inputs of sixteen outputs at a time.
//
//   weights  [output 0: w0 w1 w2 w3][output 1: w0 w1 w2 w3] … [output 15]     64 bytes
//   inputs   [x0 x1 x2 x3] for all of them
//   c[lane] += w0 * x0 + w1 * x1 + w2 * x2 + w3 * x3
//
// Weights are codes of at most 7 bits (dot), for which it does not matter whether an instruction takes them as signed,
// or full bytes (dot_bytes) in the form that the instruction set likes: unsigned as they are stored, or, where
// BYTES_ARE_SIGNED, less 128. Inputs are -127 … 127.
#pragma once

#include "lanes.h"

namespace outrider::OUTRIDER_ISA {

typedef uint8_t u8p __attribute__((vector_size(REGISTER_BYTES)));
struct B {
    u8p part[PARTS];
};

OUTRIDER_INLINE B load_weights(const uint8_t *from) {
    B r;
    std::memcpy(&r, from, sizeof r);
    return r;
}
OUTRIDER_INLINE int32_t four(const int8_t *from) {
    int32_t r;
    std::memcpy(&r, from, sizeof r);
    return r;
}

#if defined(__AVX512VNNI__)

constexpr bool BYTES_ARE_SIGNED = false;
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) {
    return (i32p)_mm512_dpbusd_epi32((__m512i)c, (__m512i)w, _mm512_set1_epi32(x));
}

#elif defined(__AVXVNNI__)

constexpr bool BYTES_ARE_SIGNED = false;
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) {
    return (i32p)_mm256_dpbusd_avx_epi32((__m256i)c, (__m256i)w, _mm256_set1_epi32(x));
}

#elif defined(__AVX2__)

// Pairs are added in 16 bits, saturating: 2 * 127 * 127 = 32258 fits, and so does 2 * 128 * 127 = 32512 once the sign
// of a byte has moved to the input; 255 * 127 * 2 would not.
constexpr bool BYTES_ARE_SIGNED = true;
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)w, _mm256_set1_epi32(x));
    return c + (i32p)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
OUTRIDER_INLINE i32p dot_signed_part(i32p c, u8p w, int32_t x) {
    const __m256i inputs = _mm256_sign_epi8(_mm256_set1_epi32(x), (__m256i)w);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), inputs);
    return c + (i32p)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#elif defined(__ARM_FEATURE_DOTPROD)

constexpr bool BYTES_ARE_SIGNED = true;
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) {
    return (i32p)vdotq_s32((int32x4_t)c, (int8x16_t)w, vreinterpretq_s8_s32(vdupq_n_s32(x)));
}

#elif defined(__ARM_NEON)

constexpr bool BYTES_ARE_SIGNED = true;
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) { // single products fit in 16 bits, their sums in 32
    const int8x16_t inputs = vreinterpretq_s8_s32(vdupq_n_s32(x)), weights = (int8x16_t)w;
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(weights), vget_low_s8(inputs)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(weights, inputs));
    return c + (i32p)vpaddq_s32(low, high);
}

#else

// Vector extensions that any compiler turns into something decent: products in 16 bits (128 * 127 fits), then the four
// of an output are brought below each other, as 32 bits.
constexpr bool BYTES_ARE_SIGNED = true;
typedef int8_t i8p __attribute__((vector_size(16)));
typedef int16_t i16p __attribute__((vector_size(16)));
#if defined(__clang__)
#define OUTRIDER_PICK(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define OUTRIDER_PICK(mask, a, b, ...) __builtin_shuffle(a, b, mask{__VA_ARGS__})
#endif
OUTRIDER_INLINE i32p pair_sums(i16p products) { // of neighbours: low half and high half of each 32 bits
    return (((i32p)products << 16) >> 16) + ((i32p)products >> 16);
}
OUTRIDER_INLINE i16p low_wide(i8p x) {
    return (i16p)OUTRIDER_PICK(i8p, i8p{}, x, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23) >> 8;
}
OUTRIDER_INLINE i16p high_wide(i8p x) {
    return (i16p)OUTRIDER_PICK(i8p, i8p{}, x, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31) >> 8;
}
OUTRIDER_INLINE i32p dot_part(i32p c, u8p w, int32_t x) {
    const i16p inputs = low_wide((i8p)(i32p{} + x));
    const i32p low = pair_sums(low_wide((i8p)w) * inputs), high = pair_sums(high_wide((i8p)w) * inputs);
    return c + OUTRIDER_PICK(i32p, low, high, 0, 2, 4, 6) + OUTRIDER_PICK(i32p, low, high, 1, 3, 5, 7);
}

#endif

OUTRIDER_INLINE I dot(I c, B w, int32_t x) {
    I r;
    OUTRIDER_PARTS(r.part[p] = dot_part(c.part[p], w.part[p], x))
    return r;
}
OUTRIDER_INLINE I dot_bytes(I c, B w, int32_t x) {
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
    I r;
    OUTRIDER_PARTS(r.part[p] = dot_signed_part(c.part[p], w.part[p], x))
    return r;
#else
    return dot(c, w, x);
#endif
}

} // namespace outrider::OUTRIDER_ISA
