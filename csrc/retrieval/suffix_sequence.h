// A sequence of the drafter `suffix`: the twin of SuffixState in drafting/suffix_state.py.
#pragma once

#include "alignment.h"
#include "automaton.h"
#include "outputs.h"

#include <memory>
#include <string>
#include <vector>

namespace outrider::retrieval {

// The longest match in one automaton of past outputs.
struct Cursor {
    std::shared_ptr<const SuffixAutomaton> automaton;
    Match match;

    void settle() { match = automaton->settled(match); } // past outputs may have grown since, and split the state
    void advance(const int32_t *token, int64_t count) {
        settle();
        for (int64_t i = 0; i < count; ++i) match = automaton->advanced(match, token[i]);
    }
};

// Its text (a prediction before it), what it put out, and where it stands in itself and in the past.
class SuffixSequence {
  public:
    explicit SuffixSequence(std::string scope) : scope_(std::move(scope)) {}

    void extend(const int32_t *token, int64_t count);
    void separate();
    // Of what came last: whether the output begins in it, or else edits were learnt.
    bool has_begun() const {
        return num_known_ <= alignment_.output() && alignment_.output() < static_cast<int32_t>(tokens_.size());
    }
    bool has_news() const { return has_begun() || !alignment_.edits().news().empty(); }
    void teach(Edit taught) { alignment_.edits().teach(std::move(taught)); }
    void emit(const int32_t *token, int64_t count) { output_.insert(output_.end(), token, token + count); }
    // The output begins behind so many tokens more, 0 where nobody knows.
    void expect_output(int64_t num_prompt) {
        if (num_prompt) alignment_.expect_output(static_cast<int32_t>(static_cast<int64_t>(tokens_.size()) + num_prompt));
    }
    // One cursor for each automaton of past outputs; one that came up meanwhile walks the last tokens first.
    void place_cursors(const OutputShelves &past);

    const std::string &scope() const { return scope_; }
    const SuffixAutomaton &own() const { return own_; }
    const std::vector<int32_t> &tokens() const { return tokens_; }
    const std::vector<int32_t> &output() const { return output_; }
    std::vector<Cursor> &cursors() { return cursors_; }
    const Alignment &alignment() const { return alignment_; }

  private:
    Cursor placed(std::shared_ptr<const SuffixAutomaton> automaton) const;

    std::string scope_;
    SuffixAutomaton own_;
    std::vector<int32_t> tokens_, output_;
    int32_t num_known_ = 0; // tokens before those that came last
    Alignment alignment_;
    std::vector<Cursor> cursors_;
};

} // namespace outrider::retrieval
