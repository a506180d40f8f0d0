// The drafter `suffix`, many sequences a call: the twin of drafting/suffix_state.py's drafting.
#pragma once

#include "draft.h"
#include "growth.h"
#include "outputs.h"
#include "suffix_sequence.h"

#include <vector>

namespace outrider::retrieval {

struct SuffixSettings {
    int64_t max, min_match, cheap, past;
    double floor, factor, offset;
    int64_t num_escape, num_copy_trust;
    const double *escape, *copy_trust;
};

class Suffixes {
  public:
    explicit Suffixes(const SuffixSettings &settings);

    OutputShelves past;

    int64_t propose(const Ask &ask, DraftWriter &out);

  private:
    void find_contexts(SuffixSequence &sequence);
    int32_t add_copies(const SuffixSequence &sequence);
    void add_linked(const SuffixAutomaton &automaton, Match match);

    SuffixSettings settings_;
    Growth growth_;
    std::vector<Context> contexts_; // the copy, then the longest first
};

} // namespace outrider::retrieval
