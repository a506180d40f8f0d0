#include "ngrams.h"

namespace outrider::retrieval {

constexpr int MAX_CONFIDENCE = 7;
constexpr int OWN_CONFIDENCE = 2;
constexpr int64_t AHEAD = 16; // tokens whose places are fetched together: a pool is larger than any cache

template <class Word> bool WordTable<Word>::find(uint64_t key, int32_t &token, int &confidence) const {
    const Word word = *place(key);
    if (((word ^ static_cast<Word>(key)) & TAG) || !(word & CONFIDENCE)) return false;
    token = static_cast<int32_t>(word >> TOKEN_SHIFT);
    confidence = std::min<int>(word & CONFIDENCE, MAX_CONFIDENCE);
    return true;
}

template <class Word> void WordTable<Word>::update(uint64_t key, int32_t token) {
    Word &word = words[key >> index_shift];
    const Word confidence = word & CONFIDENCE;
    const Word fresh = (static_cast<Word>(token) << TOKEN_SHIFT) | (static_cast<Word>(key) & TAG);
    if (confidence && word - confidence == fresh)
        word = fresh | std::min<Word>(confidence + 1, MAX_CONFIDENCE);
    else
        word = confidence > 1 ? word - 1 : fresh | 1;
}

void NgramSequence::remember(Trail &on, const int32_t *tokens, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        for (const Gram &gram : levels)
            if (static_cast<size_t>(gram.size) < on.size()) own.set(gram.key(on.newest(), on.before(gram.size)), tokens[i]);
        on.extend(tokens[i]);
    }
}

Ngrams::Ngrams(const NgramSettings &settings)
    : settings_(settings), sizes_(settings.sizes, settings.sizes + settings.num_sizes),
      beliefs_(settings.beliefs, settings.beliefs + NUM_BELIEFS * settings.num_sizes) {}

void Ngrams::bind(void *words, bool narrow, int index_shift) {
    words_ = words;
    is_narrow_ = narrow;
    index_shift_ = index_shift;
}

void Ngrams::ingest(NgramSequence &sequence, const int32_t *tokens, int64_t count, bool frozen) {
    if (frozen)
        sequence.remember(sequence.trail, tokens, count);
    else if (is_narrow_)
        learn(WordTable<uint32_t>{static_cast<uint32_t *>(words_), index_shift_}, sequence, tokens, count);
    else
        learn(WordTable<uint64_t>{static_cast<uint64_t *>(words_), index_shift_}, sequence, tokens, count);
    sequence.trail.trim();
}

template <class Word>
void Ngrams::learn(WordTable<Word> table, NgramSequence &sequence, const int32_t *tokens, int64_t count) {
    Trail &trail = sequence.trail;
    for (int64_t start = 0; start < count; start += AHEAD) {
        updates_.clear();
        for (int64_t i = start; i < std::min(count, start + AHEAD); ++i) {
            for (const Gram &gram : sequence.levels) {
                if (static_cast<size_t>(gram.size) >= trail.size()) continue;
                updates_.push_back({gram.key(trail.newest(), trail.before(gram.size)), tokens[i]});
                __builtin_prefetch(table.place(updates_.back().key), 1);
            }
            trail.extend(tokens[i]);
        }
        for (const Update &update : updates_) table.update(update.key, update.token);
    }
}

int64_t Ngrams::propose(const Ask &ask, DraftWriter &out) {
    const int64_t limit = std::min({settings_.max, ask.nodes, ask.depth, out.room()});
    const Thrift thrift = Thrift::within(ask, settings_.floor, settings_.cheap);
    const NgramSequence &sequence = *static_cast<const NgramSequence *>(ask.sequence);
    if (is_narrow_)
        walk(WordTable<uint32_t>{static_cast<uint32_t *>(words_), index_shift_}, sequence, limit, thrift, out);
    else
        walk(WordTable<uint64_t>{static_cast<uint64_t *>(words_), index_shift_}, sequence, limit, thrift, out);
    if (out.size() < settings_.min) out.clear();
    return out.size();
}

template <class Word>
void Ngrams::walk(WordTable<Word> table, const NgramSequence &sequence, int64_t limit, Thrift thrift,
                  DraftWriter &out) {
    sequence.trail.copy_recent(recent_);
    double survival = 1.0, trust;
    int32_t token;
    while (out.size() < limit && successor(table, sequence, token, trust)) {
        survival *= trust;
        if (!thrift.allows(survival, out.size())) return;
        out.add(token, static_cast<int32_t>(out.size()) - 1, survival);
        recent_.push_back(extended(recent_.back(), token));
    }
}

// What the longest gram that is known, in the sequence's own map or in the pool, says comes next.
template <class Word>
bool Ngrams::successor(WordTable<Word> table, const NgramSequence &sequence, int32_t &token, double &trust) const {
    const double *belief = beliefs_.data();
    for (const Gram &gram : sequence.levels) {
        const size_t size = static_cast<size_t>(gram.size);
        if (size < recent_.size()) {
            const uint64_t key = gram.key(recent_.back(), recent_[recent_.size() - 1 - size]);
            int confidence = OWN_CONFIDENCE;
            token = sequence.own.find(key);
            if (token != FlatMap::NONE || table.find(key, token, confidence)) {
                trust = belief[confidence];
                return true;
            }
        }
        belief += NUM_BELIEFS;
    }
    return false;
}

} // namespace outrider::retrieval
