#include "suffix_sequence.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr int64_t PLACING_TOKENS = 64;
constexpr int32_t SEPARATOR = -1;

void SuffixSequence::extend(const int32_t *token, int64_t count) {
    alignment_.edits().forget_news();
    num_known_ = static_cast<int32_t>(tokens_.size());
    for (int64_t i = 0; i < count; ++i) {
        own_.append(token[i]);
        tokens_.push_back(token[i]);
        alignment_.observe(tokens_, own_.match_end(), own_.length(own_.longest_seen_suffix()));
    }
    for (Cursor &cursor : cursors_) cursor.advance(token, count);
}

void SuffixSequence::separate() {
    own_.separate();
    tokens_.push_back(SEPARATOR);
}

void SuffixSequence::place_cursors(const OutputShelves &past) {
    static const std::vector<Generation> NOTHING;
    const Shelf *shelf = past.find(scope_);
    const std::vector<Generation> &generations = shelf ? shelf->generations : NOTHING;
    const auto same = [](const Cursor &cursor, const Generation &one) { return cursor.automaton == one.automaton; };
    if (std::equal(cursors_.begin(), cursors_.end(), generations.begin(), generations.end(), same)) return;
    std::vector<Cursor> cursors;
    for (const Generation &one : generations) {
        auto known = std::find_if(cursors_.begin(), cursors_.end(), [&](const Cursor &c) { return same(c, one); });
        cursors.push_back(known == cursors_.end() ? placed(one.automaton) : *known);
    }
    cursors_ = std::move(cursors);
}

Cursor SuffixSequence::placed(std::shared_ptr<const SuffixAutomaton> automaton) const {
    const int64_t count = std::min<int64_t>(PLACING_TOKENS, static_cast<int64_t>(tokens_.size()));
    const auto begin = tokens_.end() - count;
    const auto separator = std::find(begin, tokens_.end(), SEPARATOR);
    const auto first = separator == tokens_.end() ? begin : separator + 1;
    Cursor cursor{std::move(automaton), {}};
    cursor.advance(tokens_.data() + (first - tokens_.begin()), tokens_.end() - first);
    return cursor;
}

} // namespace outrider::retrieval
