#include "attention.h"

#include "pool.h"

#include <algorithm>

namespace outrider {

void SharedAttention::expect(const AttentionCall &call) {
    int64_t pieces = 0, rows = 0;
    for (const SpanView *span = spans_; span < spans_ + num_spans_; ++span) {
        pieces += division(call, *span).pieces;
        rows = std::max<int64_t>(rows, span->begin + span->count);
        scratch_floats_ = std::max(scratch_floats_, kernels_.attention_scratch(call, *span));
    }
    pieces_ = std::max(pieces_, pieces);
    state_floats_ = std::max(state_floats_, rows * call.heads * ATTENTION_STATE);
}

void SharedAttention::open() {
    constexpr int64_t LINE = 16; // floats; threads share none
    const auto lines = [](int64_t floats) { return (floats + LINE - 1) / LINE * LINE; };
    scratch_floats_ = lines(scratch_floats_);
    memory_.resize(lines(state_floats_) + scratch_floats_ * threads_ + LINE);
    state_ = memory_.data() + (-(uintptr_t)memory_.data() / sizeof(float) & (LINE - 1));
    scratch_ = state_ + lines(state_floats_);
    added_.reset(new std::atomic<int32_t>[pieces_]);
    for (int64_t i = 0; i < pieces_; ++i) added_[i].store(0, std::memory_order_relaxed);
}

// Many queries in a piece, to share the loads of keys, but so few that no thread is idle: with one part each thread has
// a piece, with more each has some four parts of pieces.
SharedAttention::Division SharedAttention::division(const AttentionCall &call, const SpanView &span) const {
    constexpr int32_t MOST = 32, EACH = 4;
    const Parts parts = parts_of(call, span);
    const int32_t queries = span.count * (call.heads / call.groups);
    const int64_t share = ((int64_t)queries * call.groups + threads_ - 1) / threads_;
    const int64_t wanted = std::min<int64_t>({queries, std::max(share, share * parts.count() / EACH), MOST});
    const int32_t pieces = (queries + (int32_t)wanted - 1) / std::max<int32_t>(1, (int32_t)wanted);
    const int32_t size = pieces ? (queries + pieces - 1) / pieces : 1;
    return {queries, size, (queries + size - 1) / size * call.groups, parts};
}

void SharedAttention::work(AttentionCall call, int thread, std::atomic<int32_t> &next) {
    call.state = state_;
    float *scratch = scratch_ + scratch_floats_ * thread;
    std::atomic<int32_t> *added = added_.get();
    int32_t mine = next.fetch_add(1, std::memory_order_relaxed), passed = 0;
    for (const SpanView *span = spans_; span < spans_ + num_spans_; ++span) {
        const Division by = division(call, *span);
        const int32_t all = by.pieces * by.parts.count();
        for (; mine < passed + all; mine = next.fetch_add(1, std::memory_order_relaxed))
            attend(call, *span, by, mine - passed, added, scratch);
        passed += all;
        added += by.pieces;
    }
}

void SharedAttention::attend(const AttentionCall &call, const SpanView &span, const Division &by, int32_t index,
                             std::atomic<int32_t> *added, float *scratch) {
    const int32_t each = by.pieces / call.groups, number = index % by.pieces, before = index / by.pieces;
    const int32_t begin = number % each * by.size, part = by.parts.first + before;
    const AttentionPiece piece = {number / each, begin, std::min(begin + by.size, by.queries)};
    kernels_.attend(call, span, piece, part, scratch);
    wait_for(added[number], before);
    kernels_.merge(call, span, piece, part, scratch);
    added[number].store(part == by.parts.last ? 0 : before + 1, std::memory_order_release);
}

} // namespace outrider
