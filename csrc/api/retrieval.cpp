// The retrieval drafters `ngram_hash`, `prompt_lookup` and `suffix`: what they know, their sequences, and rounds over many of these.
//
// Handles are pointers that `…_new`, `…_start` and `…_fork` make (null where memory ran out) and `…_free` and `…_end`
// give back. A round is two calls: propose for all sequences, ingest for all commits. One thread at a time a handle.
#include "api.h"

#include "../retrieval/lookups.h"
#include "../retrieval/ngrams.h"
#include "../retrieval/suffixes.h"

#include <algorithm>
#include <cstring>
#include <new>

using namespace outrider::retrieval;

namespace {

constexpr int32_t DONE = 0, OUT_OF_MEMORY = -1;

// Nothing may be thrown through a C interface.
template <class Work> int32_t guarded(Work work) {
    try {
        work();
        return DONE;
    } catch (...) {
        return OUT_OF_MEMORY;
    }
}

template <class Make> auto made(Make make) -> decltype(make()) {
    try {
        return make();
    } catch (...) {
        return nullptr;
    }
}

// One tree behind the other; a sequence that asks for nothing is not looked at.
template <class Drafts> int32_t propose(Drafts &drafts, const Ask *asks, int64_t num_asks, const Reply &reply) {
    return guarded([&] {
        int64_t used = 0;
        for (int64_t i = 0; i < num_asks; ++i) {
            DraftWriter out(reply, used);
            const int64_t count = asks[i].is_empty() ? 0 : drafts.propose(asks[i], out);
            reply.count[i] = static_cast<int32_t>(count);
            used += count;
        }
    });
}

} // namespace

// ---- ngram_hash -----------------------------------------------------------------------------------------------------

OUTRIDER_API Ngrams *outrider_ngrams_new(const NgramSettings *settings) {
    return made([&] { return new Ngrams(*settings); });
}

OUTRIDER_API void outrider_ngrams_free(Ngrams *ngrams) { delete ngrams; }

// The pool's words, which stay the caller's and have to live until others are bound: 2 ** (64 - index_shift) of them.
OUTRIDER_API void outrider_ngrams_bind(Ngrams *ngrams, void *words, int32_t is_narrow, int32_t index_shift) {
    ngrams->bind(words, is_narrow != 0, index_shift);
}

OUTRIDER_API NgramSequence *outrider_ngrams_start(const Ngrams *ngrams, int32_t token, const int32_t *prediction,
                                                  int64_t num_prediction, const char *scope, int64_t scope_bytes,
                                                  int64_t) {
    return made([&] {
        auto sequence = std::make_unique<NgramSequence>(ngrams->sizes(), std::string(scope, scope_bytes));
        Trail expected(ngrams->sizes()[0]);
        sequence->remember(expected, prediction, num_prediction);
        sequence->trail.extend(token);
        return sequence.release();
    });
}

OUTRIDER_API NgramSequence *outrider_ngrams_fork(const NgramSequence *sequence) {
    return made([&] { return new NgramSequence(*sequence); });
}

OUTRIDER_API void outrider_ngrams_end(NgramSequence *sequence) { delete sequence; }

OUTRIDER_API int32_t outrider_ngrams_ingest(Ngrams *ngrams, const Gain *gains, int64_t num_gains, const int32_t *tokens,
                                            int32_t is_frozen) {
    return guarded([&] {
        for (int64_t i = 0; i < num_gains; tokens += gains[i++].count)
            ngrams->ingest(*static_cast<NgramSequence *>(gains[i].sequence), tokens, gains[i].count, is_frozen != 0);
    });
}

OUTRIDER_API int32_t outrider_ngrams_propose(Ngrams *ngrams, const Ask *asks, int64_t num_asks, const Reply *reply) {
    return propose(*ngrams, asks, num_asks, *reply);
}

// ---- prompt_lookup --------------------------------------------------------------------------------------------------

OUTRIDER_API Lookups *outrider_lookups_new(const LookupSettings *settings) {
    return made([&] { return new Lookups(*settings); });
}

OUTRIDER_API void outrider_lookups_free(Lookups *lookups) { delete lookups; }

// Scopes are for what sequences share, which is nothing here.
OUTRIDER_API LookupSequence *outrider_lookups_start(const Lookups *lookups, int32_t token, const int32_t *prediction,
                                                    int64_t num_prediction, const char *, int64_t, int64_t) {
    return made([&] {
        auto sequence = std::make_unique<LookupSequence>(lookups->levels()[0].size);
        sequence->expected.extend(prediction, num_prediction, lookups->levels());
        sequence->text.extend(&token, 1, lookups->levels());
        return sequence.release();
    });
}

OUTRIDER_API LookupSequence *outrider_lookups_fork(const LookupSequence *sequence) {
    return made([&] { return new LookupSequence(*sequence); });
}

OUTRIDER_API void outrider_lookups_end(LookupSequence *sequence) { delete sequence; }

OUTRIDER_API int32_t outrider_lookups_ingest(const Lookups *lookups, const Gain *gains, int64_t num_gains,
                                             const int32_t *tokens) {
    return guarded([&] {
        for (int64_t i = 0; i < num_gains; tokens += gains[i++].count)
            static_cast<LookupSequence *>(gains[i].sequence)->text.extend(tokens, gains[i].count, lookups->levels());
    });
}

OUTRIDER_API int32_t outrider_lookups_propose(const Lookups *lookups, const Ask *asks, int64_t num_asks,
                                              const Reply *reply) {
    return propose(*lookups, asks, num_asks, *reply);
}

// ---- suffix ---------------------------------------------------------------------------------------------------------

OUTRIDER_API Suffixes *outrider_suffixes_new(const SuffixSettings *settings) {
    return made([&] { return new Suffixes(*settings); });
}

OUTRIDER_API void outrider_suffixes_free(Suffixes *suffixes) { delete suffixes; }

OUTRIDER_API SuffixSequence *outrider_suffixes_start(const Suffixes *suffixes, int32_t token, const int32_t *prediction,
                                                     int64_t num_prediction, const char *scope, int64_t scope_bytes,
                                                     int64_t num_prompt) {
    return made([&] {
        auto sequence = std::make_unique<SuffixSequence>(std::string(scope, scope_bytes));
        sequence->extend(prediction, num_prediction);
        if (num_prediction) sequence->separate();
        sequence->place_cursors(suffixes->past);
        sequence->expect_output(num_prompt);
        sequence->extend(&token, 1);
        return sequence.release();
    });
}

OUTRIDER_API SuffixSequence *outrider_suffixes_fork(const SuffixSequence *sequence) {
    return made([&] { return new SuffixSequence(*sequence); });
}

OUTRIDER_API void outrider_suffixes_end(SuffixSequence *sequence) { delete sequence; }

// Gives how many of the sequences have news afterwards.
OUTRIDER_API int32_t outrider_suffixes_ingest(const Gain *gains, int64_t num_gains, const int32_t *tokens) {
    int32_t num_news = 0;
    const int32_t code = guarded([&] {
        for (int64_t i = 0; i < num_gains; tokens += gains[i++].count) {
            SuffixSequence &sequence = *static_cast<SuffixSequence *>(gains[i].sequence);
            sequence.extend(tokens, gains[i].count);
            sequence.emit(tokens + gains[i].count - gains[i].emitted, gains[i].emitted);
            num_news += sequence.has_news();
        }
    });
    return code == DONE ? num_news : code;
}

// Of the last ingest: where the output begins, if it did just then, or else -1, into `output`; then, where it is not
// null, the four numbers of each `Hunk` that was learnt. Gives their number.
OUTRIDER_API int64_t outrider_suffixes_news(const SuffixSequence *sequence, int64_t *output, int32_t *hunks) {
    const std::vector<Hunk> &news = sequence->alignment().edits().news();
    *output = sequence->has_begun() ? sequence->alignment().output() : -1;
    if (hunks && !news.empty()) std::memcpy(hunks, news.data(), news.size() * sizeof(Hunk));
    return static_cast<int64_t>(news.size());
}

// Tokens from `begin` on, at most `count`; gives how many there are.
OUTRIDER_API int64_t outrider_suffixes_text(const SuffixSequence *sequence, int64_t begin, int64_t count, int32_t *tokens) {
    const std::vector<int32_t> &text = sequence->tokens();
    const int64_t num_tokens = std::max<int64_t>(std::min(count, static_cast<int64_t>(text.size()) - begin), 0);
    if (num_tokens) std::copy_n(text.begin() + begin, num_tokens, tokens);
    return num_tokens;
}

// While the sequence copies, it may replace `num_old` of the tokens by the `num_new` behind them.
OUTRIDER_API int32_t outrider_suffixes_teach(SuffixSequence *sequence, const int32_t *tokens, int64_t num_old,
                                             int64_t num_new, int32_t is_told) {
    return guarded([&] {
        const int32_t *middle = tokens + num_old;
        sequence->teach({Mark::SPAN, {tokens, middle}, {middle, middle + num_new}, is_told != 0});
    });
}

OUTRIDER_API int32_t outrider_suffixes_propose(Suffixes *suffixes, const Ask *asks, int64_t num_asks,
                                               const Reply *reply) {
    return propose(*suffixes, asks, num_asks, *reply);
}

// A sequence that ended hands its output to those of the past.
OUTRIDER_API int32_t outrider_suffixes_finish(Suffixes *suffixes, const SuffixSequence *sequence) {
    return guarded([&] {
        const std::vector<int32_t> &output = sequence->output();
        suffixes->past.learn(output.data(), static_cast<int64_t>(output.size()), sequence->scope());
    });
}

OUTRIDER_API int32_t outrider_suffixes_learn(Suffixes *suffixes, const int32_t *tokens, int64_t count,
                                             const char *scope, int64_t scope_bytes) {
    return guarded([&] { suffixes->past.learn(tokens, count, std::string(scope, scope_bytes)); });
}

OUTRIDER_API int64_t outrider_suffixes_num_tokens(const Suffixes *suffixes) { return suffixes->past.num_tokens(); }

// The outputs of the empty scope, oldest first: their number, and tokens in all, into `num_2`; then, where they are
// not null, each output's size and all tokens.
OUTRIDER_API void outrider_suffixes_outputs(const Suffixes *suffixes, int64_t *num_2, int64_t *sizes,
                                            int32_t *tokens) {
    num_2[0] = num_2[1] = 0;
    const Shelf *shelf = suffixes->past.find("");
    if (!shelf) return;
    for (auto one = shelf->generations.rbegin(); one != shelf->generations.rend(); ++one) {
        if (sizes) std::copy(one->sizes.begin(), one->sizes.end(), sizes + num_2[0]);
        if (tokens) std::copy(one->tokens.begin(), one->tokens.end(), tokens + num_2[1]);
        num_2[0] += static_cast<int64_t>(one->sizes.size());
        num_2[1] += static_cast<int64_t>(one->tokens.size());
    }
}

OUTRIDER_API int32_t outrider_suffixes_restore(Suffixes *suffixes, const int64_t *sizes, int64_t num_outputs,
                                               const int32_t *tokens) {
    return guarded([&] { suffixes->past.restore(tokens, sizes, num_outputs, ""); });
}
