// The drafter `prompt_lookup`, many sequences a call: the twin of drafting/lookup_index.py.
#pragma once

#include "draft.h"
#include "flat_map.h"
#include "rolling.h"

#include <vector>

namespace outrider::retrieval {

struct LookupSettings {
    int64_t max, num_sizes, num_trust;
    const int64_t *sizes; // longest first
    const double *trust;  // by how many tokens agree; more are trusted as the last one
};

// A text that knows where each of its grams last ended: `ends` maps a key to the position of the token after.
struct IndexedText {
    Trail trail;
    std::vector<int32_t> tokens;
    FlatMap ends;

    explicit IndexedText(int64_t reach) : trail(reach) {}
    void extend(const int32_t *token, int64_t count, const std::vector<Gram> &levels);
};

// The sequence so far and, apart from it, the text that the user expects.
struct LookupSequence {
    IndexedText text, expected;

    explicit LookupSequence(int64_t reach) : text(reach), expected(reach) {}
};

class Lookups {
  public:
    explicit Lookups(const LookupSettings &settings);

    const std::vector<Gram> &levels() const { return levels_; }
    int64_t propose(const Ask &ask, DraftWriter &out) const;

  private:
    struct Match { // where a copy may begin, and how many tokens agree before it
        const IndexedText *source;
        size_t position, length;
    };
    Match find(const LookupSequence &sequence) const;

    int64_t max_;
    std::vector<Gram> levels_;
    std::vector<double> trust_;
};

} // namespace outrider::retrieval
