// Growing a draft tree out of contexts, best first: the twin of drafting/suffix_growth.py, sum for sum.
#pragma once

#include "automaton.h"
#include "draft.h"
#include "edits.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace outrider::retrieval {

// A place in some text that the last tokens agree with. Of an automaton: all places of a state; else one place of the
// sequence's own text, a copy, which known edits may change, but for one that `is_plain`; or, from `put` to `end`, what
// such an edit puts there, behind which the copy goes on.
struct Context {
    const SuffixAutomaton *automaton;
    int32_t where; // a state, or a position
    int32_t length;
    const Edits *edits = nullptr;
    bool is_plain = false;
    const int32_t *put = nullptr, *end = nullptr;

    static Context copy(int32_t position, int32_t length, const Edits &edits, bool is_plain = false) {
        return {nullptr, position, length, &edits, is_plain};
    }
    // A known edit at a position of the source, of which `done` tokens are put out already.
    static Context change(const Edit &edit, int32_t position, const Edits &edits, int32_t done = 0) {
        const int32_t *put = edit.new_n.data();
        return {nullptr, position + edit.size(), AFTER_EDIT, &edits, true, put + done, put + edit.new_n.size()};
    }

    static constexpr int32_t AFTER_EDIT = 4; // tokens of agreement that a copy is worth right behind an edit
};

// Doubles by match length; longer matches take the last one. Python hands them over, so that they stand in one place.
struct Trust {
    std::vector<double> escape, copy;

    static double of(const std::vector<double> &table, int32_t length) {
        return table[std::min(static_cast<size_t>(length), table.size() - 1)];
    }
};

// Tokens already found, emptied in no time: a place counts only if its turn is the current one.
class TokenSet {
  public:
    void clear();
    bool insert(int32_t token); // whether it is new

  private:
    struct Place {
        int32_t token = 0;
        uint32_t turn = 0;
    };
    bool put(int32_t token);

    std::vector<Place> places_ = std::vector<Place>(64);
    uint32_t turn_ = 0;
    size_t size_ = 0;
};

// Keeps its room from draft to draft.
class Growth {
  public:
    explicit Growth(Trust trust) : trust_(std::move(trust)) {}

    // The likeliest nodes within the limits that `thrift` allows, parents before children.
    void grow(const std::vector<Context> &contexts, const std::vector<int32_t> &text, int64_t nodes, int64_t depth,
              Thrift thrift, DraftWriter &out);

  private:
    struct Guess {
        double chance;
        int32_t token;
        Context below;
    };
    struct Branch {
        double survival;
        int32_t order, token, parent, depth;
        Context below;
    };
    struct IsWorse { // the heap's order: the likelier first, among equals the one that came first
        bool operator()(const Branch &one, const Branch &other) const {
            return one.survival != other.survival ? one.survival < other.survival : one.order > other.order;
        }
    };

    void blend(const std::vector<Context> &contexts, const std::vector<int32_t> &text, double least);
    void guess(const Context &context, const std::vector<int32_t> &text, double least);
    void guess_copy(const Context &context, const std::vector<int32_t> &text, double least);
    double guess_edits(const Context &context, const std::vector<int32_t> &text, double left, double least);
    void guess_only(const Context &context, const Edge &edge, double least);
    void guess_several(const Context &context, double least);
    void add(const Guess &guess, double above, int32_t parent, int64_t depth);

    Trust trust_;
    std::vector<Branch> branches_; // a heap, once the anchor's are blended
    std::vector<Guess> guesses_;   // of the context asked last
    std::vector<int32_t> found_edits_; // their first tokens, at one place
    TokenSet found_;
    int32_t order_ = 0;
};

} // namespace outrider::retrieval
