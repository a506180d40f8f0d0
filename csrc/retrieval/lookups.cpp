#include "lookups.h"

#include <algorithm>

namespace outrider::retrieval {

void IndexedText::extend(const int32_t *token, int64_t count, const std::vector<Gram> &levels) {
    for (int64_t i = 0; i < count; ++i) {
        const size_t here = tokens.size();
        for (const Gram &gram : levels)
            if (static_cast<size_t>(gram.size) <= here)
                ends.set(gram.key(trail.newest(), trail.before(gram.size)), static_cast<int32_t>(here));
        tokens.push_back(token[i]);
        trail.extend(token[i]);
    }
    trail.trim();
}

Lookups::Lookups(const LookupSettings &settings)
    : max_(settings.max), levels_(grams({settings.sizes, settings.sizes + settings.num_sizes}, "")),
      trust_(settings.trust, settings.trust + settings.num_trust) {}

int64_t Lookups::propose(const Ask &ask, DraftWriter &out) const {
    const Match match = find(*static_cast<const LookupSequence *>(ask.sequence));
    if (!match.source) return 0;
    const std::vector<int32_t> &tokens = match.source->tokens;
    const int64_t rest = static_cast<int64_t>(tokens.size() - match.position);
    const int64_t count = std::min({max_, ask.nodes, ask.depth, out.room(), rest});
    double survival = 1.0;
    for (int64_t depth = 0; depth < count; ++depth) {
        survival *= trust_[std::min(match.length + static_cast<size_t>(depth), trust_.size() - 1)];
        if (!(survival >= ask.min_survival)) break; // it only falls
        out.add(tokens[match.position + static_cast<size_t>(depth)], static_cast<int32_t>(depth) - 1, survival);
    }
    return out.size();
}

Lookups::Match Lookups::find(const LookupSequence &sequence) const {
    const IndexedText &text = sequence.text;
    for (const Gram &gram : levels_) {
        const size_t size = static_cast<size_t>(gram.size);
        if (size > text.tokens.size()) continue;
        const uint64_t key = gram.key(text.trail.newest(), text.trail.before(gram.size));
        for (const IndexedText *source : {&sequence.expected, &text}) {
            const int32_t end = source->ends.find(key);
            // The tokens are compared, so that not even a collision of 64 bits drafts nonsense.
            if (end != FlatMap::NONE && std::equal(text.tokens.end() - gram.size, text.tokens.end(),
                                                   source->tokens.begin() + (end - gram.size)))
                return {source, static_cast<size_t>(end), size};
        }
    }
    return {nullptr, 0, 0};
}

} // namespace outrider::retrieval
