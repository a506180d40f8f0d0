#include "automaton.h"

#include <stdexcept>

namespace outrider::retrieval {

constexpr int COUNT_DEPTH = 32;

void SuffixAutomaton::append(int32_t token) {
    grow(token);
    match_end_ = at(longest_seen_suffix()).newest;
    count_occurrence();
}

void SuffixAutomaton::separate() {
    grow(-++num_separators_);
    match_end_ = NONE;
}

Match SuffixAutomaton::settled(Match match) const {
    while (match.state != ROOT && length(link(match.state)) >= match.length) match.state = link(match.state);
    return match;
}

Match SuffixAutomaton::advanced(Match match, int32_t token) const {
    const Edge *edge;
    while (!(edge = edges_.find(at(match.state).edges, token))) {
        if (match.state == ROOT) return {};
        match.state = link(match.state);
        match.length = length(match.state);
    }
    return {edge->target, match.length + 1};
}

int32_t SuffixAutomaton::add_state(const State &state, int32_t count) {
    if (states_.size() >= INT32_MAX) throw std::length_error("states");
    states_.push_back(state);
    counts_.push_back(count);
    return static_cast<int32_t>(states_.size() - 1);
}

void SuffixAutomaton::grow(int32_t token) {
    int32_t state = last_;
    const int32_t current = last_ = add_state({ROOT, length(state) + 1, NONE, {}}, 0);
    ++num_tokens_;
    const Edge *edge = nullptr;
    while (state != NONE && !(edge = edges_.find(at(state).edges, token))) {
        edges_.add(at(state).edges, token, current);
        state = link(state);
    }
    if (state == NONE) return;
    const int32_t target = edge->target;
    const bool fits = length(target) == length(state) + 1;
    const int32_t suffix = fits ? target : split(state, token, target);
    at(current).link = suffix;
}

// Gives the shorter substrings of `target`, which from now on end at one place more, a state of their own.
int32_t SuffixAutomaton::split(int32_t state, int32_t token, int32_t target) {
    State shorter = at(target);
    shorter.length = length(state) + 1;
    shorter.edges = edges_.copy(shorter.edges);
    const int32_t clone = add_state(shorter, count(target));
    at(target).link = clone;
    while (state != NONE) {
        const Edge *edge = edges_.find(at(state).edges, token);
        if (!edge || edge->target != target) break;
        edges_.redirect(at(state).edges, token, clone);
        state = link(state);
    }
    return clone;
}

// Counts the new last place for the COUNT_DEPTH longest contexts of its token.
void SuffixAutomaton::count_occurrence() {
    int32_t state = last_;
    for (int depth = 0; depth < COUNT_DEPTH && state > ROOT; ++depth, state = link(state)) {
        ++counts_[static_cast<size_t>(state)];
        at(state).newest = num_tokens_ - 1;
    }
}

} // namespace outrider::retrieval
