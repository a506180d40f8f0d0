// Reading memory for its own sake: what the weights' bytes cost at least.
#include "api.h"

#include <cstdint>

// The bits of all words together. Several sums, so that the next load never waits for the one before.
OUTRIDER_API int32_t outrider_read(const uint64_t *words, int64_t count, uint64_t *bits) {
    constexpr int SUMS = 16;
    uint64_t sum[SUMS] = {};
    int64_t at = 0;
    for (; at + SUMS <= count; at += SUMS)
        for (int i = 0; i < SUMS; ++i) sum[i] |= words[at + i];
    for (; at < count; ++at) sum[0] |= words[at];
    *bits = 0;
    for (int i = 0; i < SUMS; ++i) *bits |= sum[i];
    return 0;
}
