// A suffix automaton with counts: the twin of drafting/suffix_automaton.py, state for state.
//
// Source: Blumer et al., "The smallest automaton recognizing the subwords of a text" (1985), online construction.
#pragma once

#include "edges.h"

#include <cstdint>
#include <vector>

namespace outrider::retrieval {

constexpr int32_t ROOT = 0;

// A match: `length` tokens that lead from the root to `state`.
struct Match {
    int32_t state = ROOT, length = 0;
};

// Grows by one token in amortised constant time. Tokens below zero are separators that occur once each.
class SuffixAutomaton {
  public:
    SuffixAutomaton() : states_(1), counts_(1) {}

    void append(int32_t token);
    void separate(); // ends a text: no substring reaches from before into what comes next

    int64_t num_tokens() const { return num_tokens_; }
    int32_t match_end() const { return match_end_; } // where the longest suffix that occurs earlier ended there
    int32_t link(int32_t state) const { return at(state).link; }
    int32_t length(int32_t state) const { return at(state).length; }
    int32_t count(int32_t state) const { return counts_[static_cast<size_t>(state)]; }
    int32_t num_edges(int32_t state) const { return at(state).edges.size; }
    const Edge *edges(int32_t state) const { return edges_.begin(at(state).edges); } // oldest first

    // The state of the longest suffix of the text that also occurs earlier.
    int32_t longest_seen_suffix() const { return at(last_).link > ROOT ? at(last_).link : ROOT; }
    // The match that now stands for one found before the text grew, which may have split its state.
    Match settled(Match match) const;
    // The longest suffix of (match + token) that occurs in the text.
    Match advanced(Match match, int32_t token) const;

  private:
    struct State {
        int32_t link = NONE, length = 0, newest = NONE;
        Edges edges;
    };

    const State &at(int32_t state) const { return states_[static_cast<size_t>(state)]; }
    State &at(int32_t state) { return states_[static_cast<size_t>(state)]; }
    int32_t add_state(const State &state, int32_t count);
    void grow(int32_t token);
    int32_t split(int32_t state, int32_t token, int32_t target);
    void count_occurrence();

    std::vector<State> states_;
    std::vector<int32_t> counts_; // apart: where a text branches, those of all branches are added up
    EdgeStore edges_;
    int32_t last_ = ROOT, num_separators_ = 0, num_tokens_ = 0, match_end_ = NONE;
};

} // namespace outrider::retrieval
