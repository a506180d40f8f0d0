// Where a sequence is copying from, and what it changes on the way: the twin of drafting/alignment.py, which says why.
#pragma once

#include "automaton.h"
#include "edits.h"

#include <cstdint>
#include <vector>

namespace outrider::retrieval {

// The position of the next token to copy, and how many tokens agree before it; NONE where there is no such place.
struct Source {
    int32_t position = NONE, length = 0;
};

class Alignment {
  public:
    void expect_output(int32_t begin) { output_ = begin; }
    void observe(const std::vector<int32_t> &text, int32_t match_end, int32_t match_length);

    bool is_copying() const { return at_ != NONE && begun_ == NONE; }
    bool is_changing() const { return begun_ != NONE; }
    int32_t at() const { return at_; }
    int32_t run() const { return run_; }
    int32_t output() const { return output_; }
    const Edits &edits() const { return edits_; }
    Edits &edits() { return edits_; }
    const Source &fresh() const { return fresh_; } // a place before the output that was not put out yet, if there is one
    // While changing: how many tokens were changed so far; where to copy on; the known edit that it may be, or null.
    int32_t done(const std::vector<int32_t> &text) const { return static_cast<int32_t>(text.size()) - begun_; }
    Source resume(const std::vector<int32_t> &text) const;
    const Edit *begun_edit(const std::vector<int32_t> &text) const;

  private:
    Source find_fresh(const std::vector<int32_t> &text, int32_t match_end, int32_t match_length) const;
    void change(const std::vector<int32_t> &text, int32_t here);
    void stand(int32_t at, int32_t run) {
        at_ = at;
        run_ = run;
        begun_ = NONE;
    }
    bool is_better(Source source, Source than) const;

    int32_t at_ = NONE, run_ = 0, begun_ = NONE, output_ = NONE;
    Source fresh_;
    Edits edits_;
};

} // namespace outrider::retrieval
