// The target's choice after one row of logits: core/distribution.py's `choose`, the same token.
#pragma once

#include "cut.h"
#include "leaders.h"
#include "noise.h"

namespace outrider {

// Holds room for one row of scores, so it serves one thread at a time.
//
//   plain request     logits ───────────────────────────────────────────── argmax, or race ── token
//   any other         logits ── bias, penalties ── temperature ── cut ──── argmax, or race ── token
//
// Which of the two depends on the request alone. A logit that is no number counts as -inf; where the best is infinite
// its lowest id is the choice.
class Chooser {
  public:
    explicit Chooser(const Kernels &kernels) : kernels_(kernels) {}
    int64_t choose(const float *logits, int64_t vocab, const Request &request, const Words &words, Emitted emitted);
    // Fills empty `leaders` with the best by score + noise, so the choice comes first. Nothing emitted is counted.
    void lead(const float *logits, int64_t vocab, const Request &request, const Words &words, Leaders &leaders);

  private:
    int64_t choose_plainly(const float *logits, int64_t vocab, const Request &request, const Words &words) const;
    void weigh(const float *logits, const Request &request, Emitted emitted);
    template <class Number> void temper(const Number *from, double top, double temperature);
    void filter(const Request &request);
    Field contest(const float *logits, double top, const Request &request, const Words &words);

    const Kernels &kernels_;
    Ranking ranking_;
    std::vector<double> score_;
    std::vector<float> coarse_; // the same in float32; -inf: filtered out
    std::vector<Ranked> favourite_;
};

} // namespace outrider
