// How threads share one instruction of attention: by sequences, key-value heads, queries and parts of the positions.
//
//              positions 0 …    1024 …    2048 …
//   piece 0      0 ──────────── 3 ─────── 6          a piece: some queries of a key-value head
//   piece 1      1 ──────────── 4 ─────── 7          numbers: the order in which threads take what is to do
//   piece 2      2 ──────────── 5 ─────── 8
//
// Sums over a part are a thread's own; it adds them to the piece's when the parts before have been added, so that
// the order, and with it the bits, are always the same. Whoever a thread waits for has begun before it.
#pragma once

#include "../kernels/table.h"

#include <atomic>
#include <memory>
#include <vector>

namespace outrider {

class SharedAttention {
  public:
    SharedAttention(const Kernels &kernels, int threads, const SpanView *spans, int num_spans)
        : kernels_(kernels), threads_(threads), spans_(spans), num_spans_(num_spans) {}

    // Makes room for a call that will come. All of them first, then open().
    void expect(const AttentionCall &call);
    void open();

    // A thread's share of a call; `next` counts what has been taken, from 0.
    void work(AttentionCall call, int thread, std::atomic<int32_t> &next);

  private:
    struct Division {
        int32_t queries, size, pieces; // of a key-value head; of a piece; of all heads
        Parts parts;
    };

    Division division(const AttentionCall &call, const SpanView &span) const;
    void attend(const AttentionCall &call, const SpanView &span, const Division &by, int32_t index,
                std::atomic<int32_t> *added, float *scratch);

    const Kernels &kernels_;
    const int threads_;
    const SpanView *spans_;
    const int num_spans_;
    int64_t pieces_ = 0, state_floats_ = 0, scratch_floats_ = 0; // scratch: a thread
    std::unique_ptr<std::atomic<int32_t>[]> added_; // parts of each piece; 0 again after the last
    std::vector<float> memory_;
    float *state_ = nullptr, *scratch_ = nullptr;
};

} // namespace outrider
