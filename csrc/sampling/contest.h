// The best by score + noise in float64, ties to the lowest id, looking exactly only at those that may be among them.
#pragma once

#include "../kernels/table.h"
#include "leaders.h"
#include "noise.h"

namespace outrider {

constexpr double BAR_SLACK = 1e-3; // more than contender() loses to rounding

// A factor that makes float32 scores of (x - best) / temperature a little larger than true ones: closer to zero by
// 2^-20, where the roundings of factor, difference and product are 2^-22 together. Bounded, so that 0 * it is 0.
inline float shrink_of(double temperature) {
    const double inverse = 1.0 / temperature;
    return (float)((inverse < 1e30 ? inverse : 1e30) * (1.0 - 0x1p-20));
}

// `first` is any entrant, best an early good one; exact(id) is the score in float64.
template <class Exact>
int64_t race(const Kernels &kernels, const Field &field, const Words &words, int64_t first, Exact exact) {
    int64_t winner = first;
    double best = exact(first) + gumbel(words, first);
    for (int64_t id = 0;; ++id) {
        id = kernels.contender(field, id, (float)(best - BAR_SLACK));
        if (id >= field.count) return winner;
        const double reached = exact(id) + gumbel(words, id);
        if (reached > best || (reached == best && id < winner)) {
            winner = id;
            best = reached;
        }
    }
}

// Fills `leaders`, starting with a few who are likely to be among them; exact(id) is -inf for who is not in the race.
template <class Exact>
void race_for_places(const Kernels &kernels, const Field &field, const Words &words,
                     const std::vector<Ranked> &favourites, Leaders &leaders, Exact exact) {
    for (const Ranked &one : favourites) leaders.offer({exact(one.id) + gumbel(words, one.id), one.id});
    for (int64_t id = 0;; ++id) {
        id = kernels.contender(field, id, (float)(leaders.bar() - BAR_SLACK));
        if (id >= field.count) return;
        if (!leaders.has(id)) leaders.offer({exact(id) + gumbel(words, id), id});
    }
}

} // namespace outrider
