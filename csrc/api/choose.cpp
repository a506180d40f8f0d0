// The target's choices: one call a round.
#include "api.h"

#include "../sampling/walk.h"

#include <new>

using namespace outrider;

constexpr int32_t OUT_OF_MEMORY = -1;

// Null where memory is short. One thread at a time may use it.
OUTRIDER_API Chooser *outrider_chooser_new(const Kernels *kernels) { return new (std::nothrow) Chooser(*kernels); }

OUTRIDER_API void outrider_chooser_free(Chooser *chooser) { delete chooser; }

OUTRIDER_API int32_t outrider_walk(Chooser *chooser, const Round *round) {
    try {
        walk(*chooser, *round);
    } catch (const std::bad_alloc &) {
        return OUT_OF_MEMORY;
    }
    return 0;
}

OUTRIDER_API int32_t outrider_places(Chooser *chooser, const Places *places) {
    try {
        rank_places(*chooser, *places);
    } catch (const std::bad_alloc &) {
        return OUT_OF_MEMORY;
    }
    return 0;
}

// uniform[i] and gumbel[i] of token[i] at one position of a key.
OUTRIDER_API void outrider_noise(uint64_t seed, int64_t sample, int64_t position, const int64_t *token, int64_t count,
                                 double *uniform, double *gumbel) {
    const Words words = choice_words(seed, sample, position);
    for (int64_t i = 0; i < count; ++i) {
        uniform[i] = outrider::uniform(words, token[i]);
        gumbel[i] = outrider::gumbel(words, token[i]);
    }
}
