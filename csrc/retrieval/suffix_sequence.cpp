#include "suffix_sequence.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr int32_t BACK = 8, AHEAD = 32, MAX_ELAPSED = 24, LONGEST = 16;
constexpr int64_t PLACING_TOKENS = 64;
constexpr int32_t SEPARATOR = -1;

static int32_t common_suffix(const std::vector<int32_t> &tokens, int32_t one, int32_t other) {
    const int32_t *text = tokens.data();
    const int32_t longest = std::min(LONGEST, one + 1);
    int32_t length = 1;
    while (length < longest && text[one - length] == text[other - length]) ++length;
    return length;
}

Source Alignment::resume(const std::vector<int32_t> &tokens) const {
    const int32_t here = static_cast<int32_t>(tokens.size()) - 1;
    const int32_t elapsed = here - since_;
    if (place_ == NONE || elapsed > MAX_ELAPSED) return {};
    const int32_t stop = std::min(place_ + elapsed + AHEAD, here);
    const int32_t newest = tokens.back();
    Source best;
    for (int32_t end = std::max(place_ - BACK, 0); end < stop; ++end) {
        if (tokens[static_cast<size_t>(end)] != newest) continue;
        const Source found = {end + 1, common_suffix(tokens, end, here)};
        if (is_better(found, best)) best = found;
    }
    return best;
}

// The longest match wins, then one behind the place, then the first.
bool Alignment::is_better(Source source, Source than) const {
    if (than.position == NONE || source.length != than.length) return source.length > than.length;
    return source.position > place_ + 1 && than.position <= place_ + 1;
}

void SuffixSequence::extend(const int32_t *token, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        own_.append(token[i]);
        tokens_.push_back(token[i]);
        alignment_.observe(own_.match_end(), own_.length(own_.longest_seen_suffix()),
                           static_cast<int32_t>(tokens_.size()) - 1);
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
