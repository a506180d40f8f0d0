#include "alignment.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr int32_t FIRM_MATCH = 8, FIRM_FRESH_MATCH = 4, BACK = 8, AHEAD = 32, MAX_ELAPSED = 24, LONGEST = 16, AGREED = 2;
constexpr int32_t MOST_FIRST = 2, FIRST_MATCH = 16; // times that the prompt has the output's first token, and its worth

static int32_t common_suffix(const std::vector<int32_t> &tokens, int32_t one, int32_t other) {
    const int32_t *text = tokens.data();
    const int32_t longest = std::min(LONGEST, one + 1);
    int32_t length = 1;
    while (length < longest && text[one - length] == text[other - length]) ++length;
    return length;
}

void Alignment::observe(const std::vector<int32_t> &text, int32_t match_end, int32_t match_length) {
    const int32_t here = static_cast<int32_t>(text.size()) - 1;
    if (here == output_) stand(NONE, 0); // that the prompt's last tokens repeat others says nothing of the output
    fresh_ = find_fresh(text, match_end, match_length);
    if (is_copying()) {
        if (text[static_cast<size_t>(at_)] == text.back()) {
            edits_.passed(text, at_);
            stand(at_ + 1, run_ + 1);
        } else {
            begun_ = here;
        }
    }
    if (is_changing()) change(text, here);
    const bool is_fresh = fresh_.position != NONE;
    const Source found = is_fresh ? fresh_ : Source{match_end + 1, match_length};
    if (found.length < (is_copying() ? run_ + FIRM_MATCH : is_fresh ? FIRM_FRESH_MATCH : FIRM_MATCH)) return;
    if (found.position != at_) edits_.move_on();
    stand(found.position, found.length);
}

// The last place that agrees, if it lies before the output; for the output's first token, the first place.
Source Alignment::find_fresh(const std::vector<int32_t> &text, int32_t match_end, int32_t match_length) const {
    const int32_t here = static_cast<int32_t>(text.size()) - 1;
    if (match_end < 0 || match_end >= output_ || output_ > here) return {};
    const auto begin = text.begin(), end = begin + output_;
    if (here == output_ && std::count(begin, end, text.back()) <= MOST_FIRST)
        return {static_cast<int32_t>(std::find(begin, end, text.back()) - begin) + 1, FIRST_MATCH};
    return match_length >= AGREED ? Source{match_end + 1, match_length} : Source{};
}

void Alignment::change(const std::vector<int32_t> &text, int32_t here) {
    const Source found = resume(text);
    if (found.length >= AGREED) {
        const int32_t agreed = std::min(found.length, here + 1 - begun_);
        if (found.position - agreed >= at_) edits_.learn(text, {at_, found.position - agreed, begun_, here + 1 - agreed});
        stand(found.position, found.length);
    } else if (here - begun_ >= MAX_ELAPSED) {
        stand(NONE, 0);
    }
}

Source Alignment::resume(const std::vector<int32_t> &text) const {
    const int32_t here = static_cast<int32_t>(text.size()) - 1;
    const int32_t stop = std::min(at_ + here - begun_ + 1 + AHEAD, here);
    Source best;
    for (int32_t end = std::max(at_ - BACK, 0); end < stop; ++end) {
        if (text[static_cast<size_t>(end)] != text.back()) continue;
        const Source found = {end + 1, common_suffix(text, end, here)};
        if (is_better(found, best)) best = found;
    }
    return best;
}

const Edit *Alignment::begun_edit(const std::vector<int32_t> &text) const {
    for (const Edit &edit : edits_.known()) {
        if (!edit.fits(text, at_) || static_cast<size_t>(done(text)) > edit.new_n.size()) continue;
        if (std::equal(text.begin() + begun_, text.end(), edit.new_n.begin())) return &edit;
    }
    return nullptr;
}

// The longest match wins, then one that goes on behind the place, then the first.
bool Alignment::is_better(Source source, Source than) const {
    if (than.position == NONE || source.length != than.length) return source.length > than.length;
    return source.position > at_ && than.position <= at_;
}

} // namespace outrider::retrieval
