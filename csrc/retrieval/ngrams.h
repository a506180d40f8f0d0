// The drafter `ngram_hash`, many sequences a call: the twin of drafting/ngram_walk.py and of NgramPool's updates.
//
// The pool's words are the caller's array (it is saved, loaded and counted there); nothing here owns a copy.
#pragma once

#include "draft.h"
#include "flat_map.h"
#include "rolling.h"

#include <vector>

namespace outrider::retrieval {

constexpr int NUM_BELIEFS = 8; // confidences 0 to 7

struct NgramSettings {
    int64_t max, min, cheap;
    double floor;
    int64_t num_sizes;
    const int64_t *sizes;  // longest first
    const double *beliefs; // NUM_BELIEFS a size
};

// One width of word: where its parts are.
template <class Word> struct WordTable {
    static constexpr bool NARROW = sizeof(Word) == 4;
    static constexpr Word CONFIDENCE = NARROW ? 7 : 0xFF;
    static constexpr Word TAG = (NARROW ? (1u << 14) - 1 : 0xFFFFFFFFu) ^ CONFIDENCE;
    static constexpr int TOKEN_SHIFT = NARROW ? 14 : 32;

    Word *words;
    int index_shift;

    const Word *place(uint64_t key) const { return words + (key >> index_shift); }
    bool find(uint64_t key, int32_t &token, int &confidence) const;
    void update(uint64_t key, int32_t token);
};

// Where a sequence stands. `own` holds what must not, or may not, go into the pool: key to successor.
struct NgramSequence {
    std::vector<Gram> levels;
    Trail trail;
    FlatMap own;

    NgramSequence(const std::vector<int64_t> &sizes, const std::string &scope)
        : levels(grams(sizes, scope)), trail(sizes[0]) {}

    // Learns for this sequence alone, the newest successor of a gram winning.
    void remember(Trail &on, const int32_t *tokens, int64_t count);
};

class Ngrams {
  public:
    explicit Ngrams(const NgramSettings &settings);

    void bind(void *words, bool narrow, int index_shift);
    const std::vector<int64_t> &sizes() const { return sizes_; }
    void ingest(NgramSequence &sequence, const int32_t *tokens, int64_t count, bool frozen);
    int64_t propose(const Ask &ask, DraftWriter &out);

  private:
    struct Update {
        uint64_t key;
        int32_t token;
    };
    template <class Word> void learn(WordTable<Word> table, NgramSequence &sequence, const int32_t *tokens,
                                     int64_t count);
    template <class Word> void walk(WordTable<Word> table, const NgramSequence &sequence, int64_t limit, Thrift thrift,
                                    DraftWriter &out);
    template <class Word> bool successor(WordTable<Word> table, const NgramSequence &sequence, int32_t &token,
                                         double &trust) const;

    NgramSettings settings_;
    std::vector<int64_t> sizes_;
    std::vector<double> beliefs_;
    void *words_ = nullptr;
    bool is_narrow_ = true;
    int index_shift_ = 64;
    std::vector<uint64_t> recent_; // of the walk
    std::vector<Update> updates_;  // of learning
};

} // namespace outrider::retrieval
