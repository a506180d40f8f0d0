// Choosing a token: argmax, and who may win a race of score plus keyed noise.
//
// The winner of the race is decided in float64 (sampling/contest.h); what is here only rules out who cannot win, with a
// bound that costs no logarithm. Noise is g = -log(-log1p(-w)) of a uniform w, and with h the top 31 bits of w's word
//
//   g  <=  -log w  <=  -log(h 2^-31)  <=  ln 2 * (127 + 31 - bits(float(h)) / 2^23)
//
// for -log1p(-w) >= w, and log2(1 + f) >= f for the fraction of a float, whose bits therefore are a logarithm from
// below. Roundings to float32 lose less than 1e-4 where it matters; the caller's bar is lower by more than that.
// Of 150,000 entrants about twenty are worth an exact look. (h = 0 gives 109, more than any noise, which is below 75.)
#pragma once

#include "../simd/lanes.h"
#include "table.h"

#include <cmath>

namespace outrider::OUTRIDER_ISA {

typedef uint64_t u64p __attribute__((vector_size(REGISTER_BYTES)));
typedef int64_t i64p __attribute__((vector_size(REGISTER_BYTES)));
typedef double f64p __attribute__((vector_size(REGISTER_BYTES)));

// Sixteen words of 64 bits, the even lanes in one register and the odd ones in another: their high halves then lie
// where sixteen words of 32 bits have their places, and no lane ever moves.
struct Words16 {
    u64p even[PARTS], odd[PARTS];
};

constexpr float MOST_NOISE = 75.0f;
constexpr int ARGMAX_BLOCK = 32 * LANES;
constexpr int DOUBLES = LANES / 2;

OUTRIDER_INLINE F load_up_to(const float *from, int64_t count) { // the other lanes are -inf
    if (count >= LANES) return load(from);
    float lane[LANES];
    for (int i = 0; i < LANES; ++i) lane[i] = i < count ? from[i] : -INFINITY;
    return load(lane);
}

// ---- argmax ---------------------------------------------------------------------------------------------------------

OUTRIDER_INLINE F largest_lanes(const float *x, int64_t count) {
    F most[4];
    for (int i = 0; i < 4; ++i) most[i] = splat(-INFINITY);
    int64_t at = 0;
    for (; at + 4 * LANES <= count; at += 4 * LANES)
        for (int i = 0; i < 4; ++i) most[i] = max(most[i], load(x + at + i * LANES));
    for (; at < count; at += LANES) most[0] = max(most[0], load_up_to(x + at, count - at));
    return max(max(most[0], most[1]), max(most[2], most[3]));
}

static int64_t argmax(const float *x, int64_t count) {
    float best = -INFINITY;
    int64_t block = -1; // where `best` was first met
    for (int64_t begin = 0; begin < count; begin += ARGMAX_BLOCK) {
        const int64_t size = count - begin < ARGMAX_BLOCK ? count - begin : ARGMAX_BLOCK;
        const F most = largest_lanes(x + begin, size);
        if (!lane_bits(less(splat(best), most))) continue;
        best = largest(most);
        block = begin;
    }
    if (block < 0) return 0;
    while (x[block] != best) ++block;
    return block;
}

// ---- the race -------------------------------------------------------------------------------------------------------

OUTRIDER_INLINE u64p mixed(u64p word) { // SplitMix64's output function, as in sampling/noise.h
    word = (word ^ (word >> 30)) * (u64p{} + 0xBF58476D1CE4E5B9u);
    word = (word ^ (word >> 27)) * (u64p{} + 0x94D049BB133111EBu);
    return word ^ (word >> 31);
}

// The words a + token * gamma of sixteen consecutive tokens.
OUTRIDER_INLINE Words16 first_words(uint64_t a, int64_t token) {
    constexpr uint64_t GAMMA = 0x9E3779B97F4A7C15u;
    u64p step;
    for (int i = 0; i < PART_LANES / 2; ++i) step[i] = GAMMA * (uint64_t)(2 * i);
    Words16 r;
    for (int p = 0; p < PARTS; ++p) {
        r.even[p] = step + (a + GAMMA * (uint64_t)(token + p * PART_LANES));
        r.odd[p] = r.even[p] + GAMMA;
    }
    return r;
}

// The most that the noise of sixteen tokens can be, from 31 bits of each.
OUTRIDER_INLINE F noise_bound(const Field &field, int64_t token) {
    const Words16 word = first_words(field.a, token);
    I high;
    OUTRIDER_PARTS(const u64p even = mixed(mixed(word.even[p]) + field.b);
                   const u64p odd = mixed(mixed(word.odd[p]) + field.b);
                   high.part[p] = (i32p)((even >> 33) | (odd >> 1 & (u64p{} + 0x7fffffff00000000u))))
    constexpr float LN2 = 0.6931471805599453f;
    return splat(158.0f * LN2) - to_float(as_int(to_float(high))) * splat(LN2 * 0x1p-23f);
}

static int64_t contender(const Field &field, int64_t from, float bar) {
    uint32_t wanted = ~0u << from % LANES;
    for (int64_t token = from - from % LANES; token < field.count; token += LANES, wanted = ~0u) {
        const F value = load_up_to(field.value + token, field.count - token);
        const F score = (value - splat(field.best)) * splat(field.shrink);
        if (!lane_bits(less(splat(bar - MOST_NOISE), score))) continue;
        const uint32_t found = lane_bits(less(splat(bar), score + noise_bound(field, token))) & wanted;
        if (found) return token + __builtin_ctz(found);
    }
    return field.count;
}

// ---- a sum of exponentials ------------------------------------------------------------------------------------------

struct D { // eight doubles
    f64p part[PARTS];
};

// exp(x) for x <= 0, to about two units in the last place; 0 below -700. Plain products and sums: the same bits
// everywhere. x = k ln 2 + r with |r| <= ln 2 / 2, then Taylor's series to r^13.
OUTRIDER_INLINE f64p exp_part(f64p x) {
    constexpr double SHIFT = 0x1.8p52;
    constexpr double INVERSE[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                  1.0 / 40320,      1.0 / 5040,      1.0 / 720,      1.0 / 120,     1.0 / 24,
                                  1.0 / 6,          0.5,             1.0,            1.0};
    const i64p tiny = x < -700.0;
    x = tiny ? f64p{} : x;
    const f64p shifted = x * 0x1.71547652b82fep0 + SHIFT, k = shifted - SHIFT;
    const f64p r = (x - k * 0x1.62e42fefa38p-1) - k * 0x1.ef35793c7673p-45;
    f64p sum = f64p{} + INVERSE[0];
    _Pragma("GCC unroll 13") for (int i = 1; i < 14; ++i) sum = sum * r + INVERSE[i];
    const i64p power = ((i64p)shifted + 1023) << 52;
    return tiny ? f64p{} : sum * (f64p)power;
}

OUTRIDER_INLINE D load_doubles(const double *from, int64_t count) { // the other lanes are -inf
    double lane[DOUBLES];
    for (int i = 0; i < DOUBLES; ++i) lane[i] = i < count ? from[i] : -INFINITY;
    const double *whole = count >= DOUBLES ? from : lane;
    D r;
    OUTRIDER_PARTS(std::memcpy(&r.part[p], whole + p * (PART_LANES / 2), REGISTER_BYTES))
    return r;
}

static double sum_exp(const double *x, int64_t count) {
    D total = {};
    for (int64_t at = 0; at < count; at += DOUBLES) {
        const D part = load_doubles(x + at, count - at);
        OUTRIDER_PARTS(total.part[p] += exp_part(part.part[p]))
    }
    double lane[DOUBLES];
    std::memcpy(lane, &total, sizeof lane);
    for (int step = DOUBLES / 2; step; step /= 2)
        for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
    return lane[0];
}

} // namespace outrider::OUTRIDER_ISA
