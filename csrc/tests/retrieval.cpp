// Retrieval drafters over a text that copies itself: trees and scores, with sequences that fork, end and are learnt.
#include "seeded.h"

#include "../retrieval/lookups.h"
#include "../retrieval/ngrams.h"
#include "../retrieval/suffixes.h"

#include <memory>

namespace outrider::tests {
namespace {

using namespace outrider::retrieval;

constexpr int64_t ROUNDS = 300, NODES = 48;

// Copies itself, and changes what it copies.
std::vector<int32_t> copying_text(uint64_t seed, int64_t vocab) {
    std::vector<int32_t> text(1, 0);
    uint64_t place = 0;
    for (uint64_t i = 0; text.size() < 4000; ++i) {
        const uint64_t dice = hashed(seed, i);
        const bool fresh = dice % 64 == 0 || place >= text.size();
        if (fresh) place = (dice >> 8) % text.size();
        const int32_t token = fresh ? (int32_t)((dice >> 32) % (uint64_t)vocab) : text[place++];
        if (token % 16 == 5) continue; // what a copy leaves out, changes and puts in, over and over
        text.push_back(token % 16 == 6 ? 7 : token);
        if (token % 16 == 8) text.insert(text.end(), {1, 2});
    }
    return text;
}

struct Trees {
    Array<int32_t> count{1}, token{NODES}, parent{NODES};
    Array<double> score{NODES};

    Reply reply() { return {count.data(), token.data(), parent.data(), score.data(), NODES}; }
    void sum(const std::string &name, int64_t nodes, Sums &sums) const {
        sums.add(name, &nodes, sizeof nodes);
        sums.add(name, token.data(), (size_t)nodes * sizeof(int32_t));
        sums.add(name, parent.data(), (size_t)nodes * sizeof(int32_t));
        sums.add(name, score.data(), (size_t)nodes * sizeof(double));
    }
};

template <class Drafts, class Sequence>
void draft(const std::string &name, Drafts &drafts, Sequence &sequence, int64_t round, Sums &sums) {
    Trees trees;
    const Ask ask = {&sequence, 1 + round % NODES, 1 + round % 40, round % 3 ? 0.0 : 0.1};
    DraftWriter out(trees.reply(), 0);
    trees.sum(name, drafts.propose(ask, out), sums);
}

template <class Word> void draft_ngrams(int64_t entries_log2, int64_t vocab, Sums &sums) {
    const int64_t sizes[] = {8, 3, 1};
    double beliefs[3 * NUM_BELIEFS];
    for (int i = 0; i < 3 * NUM_BELIEFS; ++i) beliefs[i] = 0.5 + i * 0x1p-6;
    Ngrams ngrams({40, 1, 4, 0.01, 3, sizes, beliefs});
    Array<Word> words(int64_t{1} << entries_log2);
    ngrams.bind(words.data(), sizeof(Word) == 4, (int)(64 - entries_log2));
    NgramSequence sequence(ngrams.sizes(), "scope"), quiet = sequence;
    const std::vector<int32_t> text = copying_text(61, vocab);
    for (int64_t round = 0; round < ROUNDS; ++round) {
        ngrams.ingest(sequence, &text[(size_t)round * 13], 1 + round % 13, false);
        ngrams.ingest(quiet, &text[(size_t)round * 11], round % 11, true);
        NgramSequence fork = round % 2 ? sequence : quiet;
        draft("ngrams", ngrams, fork, round, sums);
    }
    sums.add("pool", words);
}

void draft_lookups(int64_t vocab, Sums &sums) {
    const int64_t sizes[] = {5, 3, 2};
    const double trust[] = {0.25, 0.5, 0.75, 0.875, 0.9375, 1.0};
    Lookups lookups({40, 3, 6, sizes, trust});
    LookupSequence sequence(sizes[0]);
    const std::vector<int32_t> text = copying_text(63, vocab);
    sequence.expected.extend(&text[7], 100, lookups.levels());
    for (int64_t round = 0; round < ROUNDS; ++round) {
        sequence.text.extend(&text[(size_t)round * 13], 1 + round % 13, lookups.levels());
        LookupSequence fork = sequence;
        draft("lookups", lookups, fork, round, sums);
    }
}

void draft_suffixes(int64_t past, int64_t vocab, Sums &sums) {
    const double escape[] = {20.0, 4.0, 2.0, 1.0, 0.5, 0.25}, copy_trust[] = {0.1, 0.5, 0.75, 0.875};
    Suffixes suffixes({NODES, 1, 4, past, 0.02, 4.0, 4.0, 6, 4, escape, copy_trust});
    const std::vector<int32_t> text = copying_text(62, vocab);
    auto sequence = std::make_unique<SuffixSequence>("scope");
    sequence->extend(&text[7], 30);
    sequence->separate();
    sequence->expect_output(200);
    for (int64_t round = 0; round < ROUNDS; ++round) {
        const int32_t *gained = &text[(size_t)round * 13];
        sequence->extend(gained, 1 + round % 13);
        sequence->emit(gained, 1 + round % 13);
        for (const Hunk &hunk : std::vector<Hunk>(sequence->alignment().edits().news()))
            sequence->teach({Mark::SPAN, {sequence->tokens()[(size_t)hunk.start] + 1}, {1, 2}, round % 2 == 0});
        draft("suffixes", suffixes, *sequence, round, sums);
        SuffixSequence fork = *sequence;
        draft("suffixes", suffixes, fork, round + 1, sums);
        if (round % 50 != 49) continue;
        suffixes.past.learn(fork.output().data(), (int64_t)fork.output().size(), fork.scope());
        if (round % 100 != 99) continue;
        sequence = std::make_unique<SuffixSequence>("scope");
        sequence->expect_output(1 + round);
    }
    const int64_t num_tokens = suffixes.past.num_tokens();
    sums.add("suffixes", &num_tokens, sizeof num_tokens);
}

} // namespace

void retrieval_cases(Sums &sums) {
    draft_ngrams<uint32_t>(12, 100, sums);
    draft_ngrams<uint64_t>(6, 5000, sums);
    draft_lookups(60, sums);
    draft_suffixes(0, 3, sums);
    draft_suffixes(1000, 40, sums);
    draft_suffixes(4000, 3000, sums);
}

} // namespace outrider::tests
