// Keyed noise, scalar and exact: the words, the uniform and the Gumbel variate of core/noise.py.
//
// Words and uniforms have the same bits as there. log and log1p are the C library's scalar ones: their bits depend on
// nothing but their argument (torch's vectorised ones may differ by a unit in the last place, and by place).
#pragma once

#include <cmath>
#include <cstdint>

namespace outrider {

struct Words {
    uint64_t a, b, c;
};

constexpr uint64_t GAMMA = 0x9E3779B97F4A7C15u;
constexpr uint64_t STREAM_A = 0xA0761D6478BD642Fu, STREAM_B = 0xE7037ED1A0B428DBu, STREAM_C = 0x8EBC6AF09C88C6E3u;
constexpr uint64_t CHOICE_STREAM = 1;

inline uint64_t mix(uint64_t word) { // SplitMix64's output function
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9u;
    word = (word ^ word >> 27) * 0x94D049BB133111EBu;
    return word ^ word >> 31;
}

inline Words choice_words(uint64_t seed, int64_t sample, int64_t position) {
    uint64_t word = mix(mix(seed) + GAMMA * CHOICE_STREAM);
    word = mix(word + GAMMA * ((uint64_t)sample + 1));
    word = mix(word ^ mix((uint64_t)position + STREAM_A));
    return {mix(word + STREAM_A), mix(word + STREAM_B), mix(word + STREAM_C)};
}

inline double uniform(const Words &words, int64_t token) {
    const uint64_t middle = mix(words.a + (uint64_t)token * GAMMA);
    const double coarse = (double)(mix(middle + words.b) >> 11) * 0x1p-53;
    const double fine = ((double)(mix(middle ^ words.c) >> 11) + 0.5) * 0x1p-106;
    return std::fmin(coarse + fine, 1.0 - 0x1p-53);
}

inline double gumbel(const Words &words, int64_t token) { return -std::log(-std::log1p(-uniform(words, token))); }

} // namespace outrider
