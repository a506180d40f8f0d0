// Sixteen virtual lanes: the one vector width that every kernel is written in.
//
//   avx512    [ 16 floats                    ]   one register
//   avx2      [ 8 floats     ][ 8 floats     ]   two
//   neon,     [ 4 ][ 4 ][ 4 ][ 4 ]               four
//   portable
//
// Arithmetic is GCC/Clang vector extensions, lane by lane, so that each lane's bits are the same on every machine;
// only what those cannot say (fused multiply-add, half precision) is written per instruction set.
// The file is compiled once per instruction set, each time inside its own namespace OUTRIDER_ISA.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef OUTRIDER_ISA
#error "compile with -DOUTRIDER_ISA=<name of the instruction set>"
#endif

#define OUTRIDER_INLINE static inline __attribute__((always_inline))

namespace outrider::OUTRIDER_ISA {

constexpr int LANES = 16;
#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX2__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif
constexpr int PARTS = 64 / REGISTER_BYTES;
constexpr int PART_LANES = LANES / PARTS;

typedef float f32p __attribute__((vector_size(REGISTER_BYTES)));
typedef int32_t i32p __attribute__((vector_size(REGISTER_BYTES)));

struct F {
    f32p part[PARTS];
};
struct I {
    i32p part[PARTS];
};

#define OUTRIDER_PARTS(expression)                                                                                     \
    _Pragma("GCC unroll 4") for (int p = 0; p < PARTS; ++p) { expression; }

// ---- making, loading, storing ---------------------------------------------------------------------------------------

OUTRIDER_INLINE F splat(float x) {
    F r;
    OUTRIDER_PARTS(r.part[p] = x - f32p{}) // x - 0 is x, -0 too; 0 + x would be a real addition
    return r;
}
OUTRIDER_INLINE I splat_int(int32_t x) {
    I r;
    OUTRIDER_PARTS(r.part[p] = i32p{} + x)
    return r;
}
OUTRIDER_INLINE F zero() {
    F r;
    OUTRIDER_PARTS(r.part[p] = f32p{})
    return r;
}
OUTRIDER_INLINE F load(const float *from) {
    F r;
    OUTRIDER_PARTS(std::memcpy(&r.part[p], from + p * PART_LANES, REGISTER_BYTES)) // whole, GCC goes through the stack
    return r;
}
OUTRIDER_INLINE I load_int(const int32_t *from) {
    I r;
    OUTRIDER_PARTS(std::memcpy(&r.part[p], from + p * PART_LANES, REGISTER_BYTES))
    return r;
}
OUTRIDER_INLINE void store(float *to, F x) {
    OUTRIDER_PARTS(std::memcpy(to + p * PART_LANES, &x.part[p], REGISTER_BYTES))
}
OUTRIDER_INLINE void store_int(int32_t *to, I x) {
    OUTRIDER_PARTS(std::memcpy(to + p * PART_LANES, &x.part[p], REGISTER_BYTES))
}
OUTRIDER_INLINE F load_first(const float *from, int count) { // the other lanes are zero
    float lane[LANES] = {};
    for (int i = 0; i < count; ++i) lane[i] = from[i];
    return load(lane);
}
OUTRIDER_INLINE void store_first(float *to, F x, int count) {
    float lane[LANES];
    store(lane, x);
    for (int i = 0; i < count; ++i) to[i] = lane[i];
}

// ---- lane by lane ---------------------------------------------------------------------------------------------------

// `expression` is one of two parts, x and y.
#define OUTRIDER_BINARY(result, name, type, expression)                                                                \
    OUTRIDER_INLINE result name(type a, type b) {                                                                      \
        result r;                                                                                                      \
        OUTRIDER_PARTS(const auto x = a.part[p]; const auto y = b.part[p]; r.part[p] = expression)                     \
        return r;                                                                                                      \
    }
OUTRIDER_BINARY(F, operator+, F, x + y)
OUTRIDER_BINARY(F, operator-, F, x - y)
OUTRIDER_BINARY(F, operator*, F, x * y)
OUTRIDER_BINARY(F, operator/, F, x / y)
OUTRIDER_BINARY(I, operator+, I, x + y)
OUTRIDER_BINARY(I, operator-, I, x - y)
OUTRIDER_BINARY(I, operator*, I, x * y)
OUTRIDER_BINARY(I, operator&, I, x & y)
OUTRIDER_BINARY(I, operator|, I, x | y)
OUTRIDER_BINARY(I, operator^, I, x ^ y)
OUTRIDER_BINARY(I, less, F, x < y) // masks: all ones or all zeros in each lane
OUTRIDER_BINARY(I, less_int, I, x < y)

OUTRIDER_INLINE F operator-(F a) {
    F r;
    OUTRIDER_PARTS(r.part[p] = -a.part[p])
    return r;
}
template <int BITS> OUTRIDER_INLINE I shift_left(I a) {
    I r;
    OUTRIDER_PARTS(r.part[p] = a.part[p] << BITS)
    return r;
}
template <int BITS> OUTRIDER_INLINE I shift_right(I a) { // arithmetic
    I r;
    OUTRIDER_PARTS(r.part[p] = a.part[p] >> BITS)
    return r;
}

OUTRIDER_INLINE F select(I mask, F yes, F no) {
    F r;
    OUTRIDER_PARTS(r.part[p] = mask.part[p] ? yes.part[p] : no.part[p])
    return r;
}
// x, unless y is larger (smaller): what x86 has instructions for, in this order of operands.
#if defined(__AVX512F__)
#define OUTRIDER_EXTREME(name, sign) (f32p) _mm512_##name##_ps((__m512)y, (__m512)x)
#elif defined(__AVX2__)
#define OUTRIDER_EXTREME(name, sign) (f32p) _mm256_##name##_ps((__m256)y, (__m256)x)
#else
#define OUTRIDER_EXTREME(name, sign) y sign x ? y : x
#endif
OUTRIDER_INLINE f32p max_part(f32p x, f32p y) { return OUTRIDER_EXTREME(max, >); }
OUTRIDER_INLINE f32p min_part(f32p x, f32p y) { return OUTRIDER_EXTREME(min, <); }
OUTRIDER_BINARY(F, max, F, max_part(x, y))
OUTRIDER_BINARY(F, min, F, min_part(x, y))
#undef OUTRIDER_EXTREME
#undef OUTRIDER_BINARY

OUTRIDER_INLINE I as_int(F a) {
    I r;
    OUTRIDER_PARTS(r.part[p] = (i32p)a.part[p])
    return r;
}
OUTRIDER_INLINE F as_float(I a) {
    F r;
    OUTRIDER_PARTS(r.part[p] = (f32p)a.part[p])
    return r;
}
OUTRIDER_INLINE F abs(F a) { return as_float(as_int(a) & splat_int(0x7fffffff)); }
OUTRIDER_INLINE F to_float(I a) {
    F r;
    OUTRIDER_PARTS(r.part[p] = __builtin_convertvector(a.part[p], f32p))
    return r;
}
// To the nearest, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves the integer in the low bits.
OUTRIDER_INLINE F round(F x) { return x + splat(12582912.0f) - splat(12582912.0f); }
OUTRIDER_INLINE I round_to_int(F x) { return as_int(x + splat(12582912.0f)) - splat_int(0x4b400000); }

// ---- fused multiply-add: one rounding, everywhere -------------------------------------------------------------------

// Not the C library's, which on Windows rounds twice. The product is exact in double precision; the sum is rounded to odd
// (the nearest of its two neighbours whose last bit is 1, unless it is exact), so that rounding it again does no harm.
OUTRIDER_INLINE float fma_scalar(float a, float b, float c) {
    const double product = (double)a * b, sum = product + c, part = sum - product;
    const double rest = (product - (sum - part)) + (c - part); // what the sum has lost, exactly
    uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if ((rest > 0 || rest < 0) && !(bits & 1)) bits += (rest > 0) == (sum > 0) ? 1 : -1;
    double odd;
    std::memcpy(&odd, &bits, sizeof odd);
    return (float)odd;
}
OUTRIDER_INLINE f32p fma_part(f32p a, f32p b, f32p c) {
#if defined(__AVX512F__)
    return (f32p)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (f32p)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
    return (f32p)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    f32p r;
    for (int i = 0; i < PART_LANES; ++i) r[i] = fma_scalar(a[i], b[i], c[i]);
    return r;
#endif
}
OUTRIDER_INLINE F fma(F a, F b, F c) { // a * b + c
    F r;
    OUTRIDER_PARTS(r.part[p] = fma_part(a.part[p], b.part[p], c.part[p]))
    return r;
}
OUTRIDER_INLINE F fnma(F a, F b, F c) { // c - a * b
    F r;
    OUTRIDER_PARTS(r.part[p] = fma_part(-a.part[p], b.part[p], c.part[p]))
    return r;
}

// ---- half precision -------------------------------------------------------------------------------------------------

OUTRIDER_INLINE float half_to_float(uint16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
    float magnitude;
    if (exponent == 0) {
        magnitude = (float)fraction * 0x1p-24f;
    } else {
        uint32_t bits = (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
        std::memcpy(&magnitude, &bits, 4);
    }
    uint32_t bits;
    std::memcpy(&bits, &magnitude, 4);
    bits |= sign;
    std::memcpy(&magnitude, &bits, 4);
    return magnitude;
#endif
}
// Nearest, ties to even; what is too large becomes the largest half (65504), never infinity.
OUTRIDER_INLINE uint16_t float_to_half(float x) {
    x = x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
#if defined(__F16C__)
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00); // not a number
    if (magnitude < 0x38800000) {                                 // subnormal: the float adder does the rounding
        float shifted;
        std::memcpy(&shifted, &magnitude, 4);
        shifted += 0.5f;
        uint32_t rounded;
        std::memcpy(&rounded, &shifted, 4);
        return (uint16_t)(sign | (rounded - 0x3f000000));
    }
    uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + odd) >> 13);
#endif
}
OUTRIDER_INLINE F load_half(const uint16_t *from) {
    F r;
#if defined(__AVX512F__)
    r.part[0] = (f32p)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
#elif defined(__AVX2__) && defined(__F16C__)
    OUTRIDER_PARTS(r.part[p] = (f32p)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from + p)))
#elif defined(__aarch64__)
    OUTRIDER_PARTS(r.part[p] = (f32p)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + p * PART_LANES))))
#else
    OUTRIDER_PARTS(for (int i = 0; i < PART_LANES; ++i) r.part[p][i] = half_to_float(from[p * PART_LANES + i]))
#endif
    return r;
}
OUTRIDER_INLINE void store_half(uint16_t *to, F x) {
    x = max(min(x, splat(65504.0f)), splat(-65504.0f));
#if defined(__AVX512F__)
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph((__m512)x.part[0], _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX2__) && defined(__F16C__)
    OUTRIDER_PARTS(_mm_storeu_si128((__m128i *)to + p, _mm256_cvtps_ph((__m256)x.part[p], _MM_FROUND_TO_NEAREST_INT)))
#elif defined(__aarch64__)
    OUTRIDER_PARTS(vst1_u16(to + p * PART_LANES, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x.part[p]))))
#else
    OUTRIDER_PARTS(for (int i = 0; i < PART_LANES; ++i) to[p * PART_LANES + i] = float_to_half(x.part[p][i]))
#endif
}
OUTRIDER_INLINE F load_bfloat(const uint16_t *from) {
    int32_t wide[LANES];
    for (int i = 0; i < LANES; ++i) wide[i] = (int32_t)((uint32_t)from[i] << 16);
    return as_float(load_int(wide));
}

// ---- across lanes: always the same tree, lane i with lane i + 8, then + 4, + 2, + 1 ---------------------------------

#if defined(__AVX512F__)
#define OUTRIDER_CROSSED(s) 0 ^ s, 1 ^ s, 2 ^ s, 3 ^ s, 4 ^ s, 5 ^ s, 6 ^ s, 7 ^ s, 8 ^ s, 9 ^ s, 10 ^ s, 11 ^ s,        \
                            12 ^ s, 13 ^ s, 14 ^ s, 15 ^ s
#elif defined(__AVX2__)
#define OUTRIDER_CROSSED(s) 0 ^ s, 1 ^ s, 2 ^ s, 3 ^ s, 4 ^ s, 5 ^ s, 6 ^ s, 7 ^ s
#else
#define OUTRIDER_CROSSED(s) 0 ^ s, 1 ^ s, 2 ^ s, 3 ^ s
#endif

// Lane i of the result is lane i ^ STEP of x.
template <int STEP, class PART> OUTRIDER_INLINE PART crossed(PART x) {
    if constexpr (STEP >= PART_LANES)
        return x;
    else
#if defined(__clang__)
        return __builtin_shufflevector(x, x, OUTRIDER_CROSSED(STEP));
#else
        return __builtin_shuffle(x, i32p{OUTRIDER_CROSSED(STEP)});
#endif
}

// `combine` is an expression of two parts, a and b.
#define OUTRIDER_ACROSS(name, lanes, part_type, scalar, combine)                                                       \
    OUTRIDER_INLINE part_type name##_parts(part_type a, part_type b) { return combine; }                               \
    OUTRIDER_INLINE scalar name(lanes x) {                                                                             \
        for (int half = PARTS / 2; half; half /= 2)                                                                    \
            for (int p = 0; p < half; ++p) x.part[p] = name##_parts(x.part[p], x.part[p + half]);                      \
        part_type r = x.part[0];                                                                                       \
        if (PART_LANES > 8) r = name##_parts(r, crossed<8>(r));                                                        \
        if (PART_LANES > 4) r = name##_parts(r, crossed<4>(r));                                                        \
        r = name##_parts(r, crossed<2>(r));                                                                            \
        return name##_parts(r, crossed<1>(r))[0];                                                                      \
    }
OUTRIDER_ACROSS(sum, F, f32p, float, a + b)
OUTRIDER_ACROSS(sum_int, I, i32p, int32_t, a + b)
OUTRIDER_ACROSS(largest, F, f32p, float, max_part(a, b))
OUTRIDER_ACROSS(largest_int, I, i32p, int32_t, a < b ? b : a)
#undef OUTRIDER_ACROSS

OUTRIDER_INLINE uint32_t lane_bits(I mask) { // bit i: lane i of a mask is set
    uint32_t bits = 0;
#if defined(__AVX512DQ__)
    bits = _mm512_movepi32_mask((__m512i)mask.part[0]);
#elif defined(__AVX2__)
    OUTRIDER_PARTS(bits |= (uint32_t)_mm256_movemask_ps((__m256)mask.part[p]) << p * PART_LANES)
#elif defined(__SSE2__)
    OUTRIDER_PARTS(bits |= (uint32_t)__builtin_ia32_movmskps((f32p)mask.part[p]) << p * PART_LANES)
#else
    int32_t lane[LANES];
    store_int(lane, mask);
    for (int i = 0; i < LANES; ++i) bits |= (uint32_t)(lane[i] & 1) << i;
#endif
    return bits;
}

} // namespace outrider::OUTRIDER_ISA
