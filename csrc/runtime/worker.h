// What one thread does of a program: instruction by instruction, its own rows or whatever piece comes next.
#pragma once

#include "program.h"
#include "refinement.h"

#include <algorithm>

namespace outrider {

constexpr int64_t ALIGNMENT = 64;

static inline uint8_t *aligned(uint8_t *start) {
    return start + (ALIGNMENT - (uintptr_t)start % ALIGNMENT) % ALIGNMENT;
}

// Rows of a table go by token or by place in a block.
static inline const int64_t *embedded(const Instruction &one, const Run &run) {
    return one.size[0] ? run.place : run.token;
}

// One thread's way through the program.
class Worker {
  public:
    Worker(Program &program, const Kernels &kernels, Pool &pool, const Run &run, int thread, float *scratch)
        : program_(program), kernels_(kernels), pool_(pool), run_(run), thread_(thread), scratch_(scratch) {}

    void work() {
        for (size_t i = 0; i < program_.instructions_.size(); ++i) {
            if (program_.barrier_before_[i]) pool_.barrier().wait();
            step(program_.instructions_[i], program_.next_[i]);
        }
    }

  private:
    struct Range {
        int32_t begin, end;
        int32_t size() const { return end - begin; }
    };

    int32_t rows_of(int value) const { return program_.values_[value].picked ? run_.picked : run_.rows; }
    int64_t width_of(int value) const { return program_.values_[value].width; }

    // The rows that are this thread's in every instruction that is divided by rows.
    Range own_rows(int value) const {
        const int64_t rows = rows_of(value), threads = pool_.size();
        return {(int32_t)(rows * thread_ / threads), (int32_t)(rows * (thread_ + 1) / threads)};
    }

    uint8_t *base(int value) const {
        return aligned(program_.slots_[program_.values_[value].slot].get());
    }

    float *floats(int value, int64_t row = 0) const {
        if (value < 0) return nullptr;
        const Value &one = program_.values_[value];
        float *start = one.place == Place::OUTSIDE ? run_.outside[one.slot] : (float *)base(value);
        return start + row * one.width;
    }

    QuantisedRows quantised(int value, int64_t row = 0) const {
        return {(InputBlock *)base(value) + row, program_.reserved_rows_};
    }

    void step(const Instruction &one, std::atomic<int32_t> &next) {
        switch (one.code) {
        case Code::EMBED: return embed(one);
        case Code::QUANTISE: return quantise(one);
        case Code::LINEAR: return linear(one, next);
        case Code::GATED_LINEAR: return gated_linear(one, next);
        case Code::SCREEN: return screen(one, next);
        case Code::PEAK: return peak(one);
        case Code::REFINE: return refine(one, next);
        case Code::NORM: return norm(one);
        case Code::GATE: return gate(one);
        case Code::ADD: return add(one);
        case Code::PICK: return pick(one);
        case Code::PLACE: return place(one);
        case Code::ROTATE: return rotate(one);
        case Code::ATTEND: return attend(one, next);
        case Code::SOFTCAP: return softcap(one);
        case Code::PREVIOUS: return previous(one);
        case Code::CONVOLVE: return convolve(one);
        case Code::COUNT: return;
        }
    }

    // data: matrix; size: 0 by token, 1 by place; number: scale
    void embed(const Instruction &one) {
        const Range rows = own_rows(one.out);
        const Matrix &matrix = *(const Matrix *)one.data[0];
        const int64_t *index = embedded(one, run_) + rows.begin;
        if (rows.size()) kernels_.embed(matrix, index, rows.size(), one.number[0], floats(one.out, rows.begin));
    }

    void quantise(const Instruction &one) {
        const Range rows = own_rows(one.out);
        if (rows.size())
            kernels_.quantise(floats(one.in[0], rows.begin), rows.size(), (int32_t)width_of(one.in[0]),
                              quantised(one.out, rows.begin));
    }

    // in: x, a value to add or -1; data: matrix, bias or null
    void linear(const Instruction &one, std::atomic<int32_t> &next) {
        LinearCall call{};
        call.matrix = (const Matrix *)one.data[0];
        if (program_.values_[one.in[0]].place == Place::QUANTISED) call.x = quantised(one.in[0]);
        else call.x_float = floats(one.in[0]);
        call.rows = rows_of(one.out);
        call.bias = (const float *)one.data[1];
        call.add = floats(one.in[1]);
        call.y = floats(one.out);
        call.stride = width_of(one.out);
        if (!call.rows) return;
        const int tiles = num_tiles(*call.matrix);
        for (Range mine; (mine = take_share(next, tiles, 2)).size();) kernels_.linear(call, mine.begin, mine.end);
    }

    // in: x; data: gate, up; size: the activation
    void gated_linear(const Instruction &one, std::atomic<int32_t> &next) {
        GatedCall call{};
        call.gate = (const Matrix *)one.data[0];
        call.up = (const Matrix *)one.data[1];
        call.x = quantised(one.in[0]);
        call.y = quantised(one.out);
        call.rows = rows_of(one.out);
        call.activation = (Activation)one.size[0];
        if (!call.rows) return;
        const int groups = num_tiles(*call.gate) / 2;
        for (Range mine; (mine = take_share(next, groups, 1)).size();)
            kernels_.gated_linear(call, mine.begin, mine.end);
    }

    // in: x, y; out: notes of each row; data: a matrix's copy, its slack; size: tiles in a stretch
    void screen(const Instruction &one, std::atomic<int32_t> &next) {
        const Refinement found = refinement(one, one.out);
        if (!found.rows) return;
        for (Range mine; (mine = take_share(next, found.stretches(), 1)).size();) found.screen(mine.begin, mine.end);
    }

    // in: x, y; out: the notes again; data: the matrix, its slack; size: as above
    void peak(const Instruction &one) {
        const Range rows = own_rows(one.out);
        for (int32_t row = rows.begin; row < rows.end; ++row) refinement(one, one.out).find_peak(row);
    }

    // in: x, y, notes; out: y again; data and size: as above
    void refine(const Instruction &one, std::atomic<int32_t> &next) {
        const Refinement found = refinement(one, one.in[2]);
        int64_t refined = 0;
        for (Range mine; (mine = take_share(next, found.stretches(), 1)).size();)
            refined += found.refine(mine.begin, mine.end);
        program_.refined_.fetch_add(refined, std::memory_order_relaxed);
    }

    Refinement refinement(const Instruction &one, int notes) const {
        return {kernels_, *(const Matrix *)one.data[0], (const float *)one.data[1], quantised(one.in[0]),
                rows_of(one.in[1]), one.size[0], floats(one.in[1]), floats(notes)};
    }

    // The next share of what is left: large ones first, for each share begins with weights that nobody has fetched;
    // then ever smaller ones, so that all threads end together. Multiples of `unit`: kernels multiply pairs of tiles.
    Range take_share(std::atomic<int32_t> &next, int32_t end, int32_t unit) const {
        int32_t begin = next.load(std::memory_order_relaxed), share;
        do {
            if (begin >= end) return {end, end};
            share = std::min(end - begin, std::max(unit, ((end - begin) / pool_.size() + unit / 2) / unit * unit));
        } while (!next.compare_exchange_weak(begin, begin + share, std::memory_order_relaxed));
        return {begin, begin + share};
    }

    // size: stretches in a row, values of a stretch; number: eps; data: weight
    void norm(const Instruction &one) {
        const Range rows = own_rows(one.out);
        if (rows.size())
            kernels_.norm(floats(one.in[0], rows.begin), rows.size(), one.size[0], one.size[1],
                          (const float *)one.data[0], one.number[0], floats(one.out, rows.begin));
    }

    // in: gate, up; size: the activation
    void gate(const Instruction &one) {
        const Range rows = own_rows(one.out);
        if (rows.size())
            kernels_.gate(floats(one.in[0], rows.begin), floats(one.in[1], rows.begin), rows.size(),
                          (int32_t)width_of(one.out), (Activation)one.size[0], floats(one.out, rows.begin));
    }

    void add(const Instruction &one) {
        const Range rows = own_rows(one.out);
        kernels_.add(floats(one.in[0], rows.begin), floats(one.in[1], rows.begin), rows.size() * width_of(one.out),
                     floats(one.out, rows.begin));
    }

    void pick(const Instruction &one) {
        const Range rows = own_rows(one.out);
        for (int row = rows.begin; row < rows.end; ++row)
            std::copy_n(floats(one.in[0], run_.pick[row]), width_of(one.out), floats(one.out, row));
    }

    // size: the first column of `out` that the rows of `in` go to
    void place(const Instruction &one) {
        const Range rows = own_rows(one.out);
        for (int row = rows.begin; row < rows.end; ++row)
            std::copy_n(floats(one.in[0], row), width_of(one.in[0]), floats(one.out, row) + one.size[0]);
    }

    void softcap(const Instruction &one) {
        const Range rows = own_rows(one.out);
        kernels_.softcap(floats(one.out, rows.begin), rows.size() * width_of(one.out), one.number[0]);
    }

    // The row before each in its block; the first of a block gets itself.
    void previous(const Instruction &one) {
        const Range rows = own_rows(one.out);
        for (int row = rows.begin; row < rows.end; ++row) {
            const int64_t before = run_.previous[row];
            std::copy_n(floats(one.in[0], before < 0 ? row : before), width_of(one.out), floats(one.out, row));
        }
    }

    // in: x, weights by row; size: side, taps, features a weight; data: weights of all rows
    void convolve(const Instruction &one) {
        const Range rows = own_rows(one.out);
        const int32_t width = (int32_t)width_of(one.out), taps = one.size[1];
        const int64_t groups = (int64_t)taps * (width / one.size[2]);
        for (int row = rows.begin; row < rows.end; ++row) {
            const float *kernel = floats(one.in[1], row) + one.size[0] * groups;
            const float *base = (const float *)one.data[0] + (int64_t)one.size[0] * taps * width;
            int64_t from = row;
            for (int tap = 0; tap < taps && from >= 0; ++tap, from = run_.previous[from])
                kernels_.weigh(floats(one.in[0], from), base + (int64_t)tap * width,
                               kernel + tap * (width / one.size[2]), width, one.size[2], tap > 0, floats(one.out, row));
        }
    }

    // out: q, in place, or -1; in: q or -1, k, v; size: layer, which rotary table, heads, groups, head size
    void rotate(const Instruction &one) {
        const Range rows = own_rows(one.in[1]);
        RotateCall call{};
        call.q = floats(one.in[0]);
        call.k = floats(one.in[1]);
        call.v = floats(one.in[2]);
        call.cos = run_.cos[one.size[1]];
        call.sin = run_.sin[one.size[1]];
        call.position = run_.position;
        call.slot = run_.slot;
        call.pages = run_.pages[one.size[0]];
        call.heads = one.size[2];
        call.groups = one.size[3];
        call.head_size = one.size[4];
        if (rows.size()) kernels_.rotate(call, rows.begin, rows.end);
    }

    // in: q; size: layer, window, heads, groups, head size, both ways; number: scale, softcap or 0
    void attend(const Instruction &one, std::atomic<int32_t> &next) {
        const AttentionCall call = attention_call(one);
        int32_t mine = next.fetch_add(1, std::memory_order_relaxed), passed = 0;
        for (int s = 0; s < run_.spans; ++s) {
            const SpanView &span = run_.span[s];
            const int32_t queries = span.count * (call.heads / call.groups), piece = piece_of(queries, call);
            const int32_t pieces = (queries + piece - 1) / piece, all = pieces * call.groups;
            for (; mine < passed + all; mine = next.fetch_add(1, std::memory_order_relaxed)) {
                const int32_t group = (mine - passed) / pieces, begin = (mine - passed) % pieces * piece;
                kernels_.attend(call, span, group, begin, std::min(begin + piece, queries), scratch_);
            }
            passed += all;
        }
    }

    // Queries a thread takes at once: equal pieces, as many as let threads end together, but few, since each has the
    // keys and values to load, which takes as long as to attend with LOAD queries more.
    int32_t piece_of(int32_t queries, const AttentionCall &call) const {
        constexpr int32_t MOST = 64, LOAD = 8;
        const int32_t fewest = (queries + MOST - 1) / MOST, threads = pool_.size();
        int32_t best = queries, least = INT32_MAX;
        for (int32_t pieces = fewest; pieces <= fewest + threads; ++pieces) {
            const int32_t piece = (queries + pieces - 1) / pieces;
            const int32_t longest = (pieces * call.groups + threads - 1) / threads * (piece + LOAD);
            if (longest < least) best = piece, least = longest;
        }
        return best;
    }

  public:
    AttentionCall attention_call(const Instruction &one) const {
        AttentionCall call{};
        call.q = floats(one.in[0]);
        call.pages = run_.pages[one.size[0]];
        call.out = floats(one.out);
        call.window = one.size[1];
        call.heads = one.size[2];
        call.groups = one.size[3];
        call.head_size = one.size[4];
        call.scale = one.number[0];
        call.softcap = one.number[1];
        call.both_ways = one.size[5];
        return call;
    }

  private:
    Program &program_;
    const Kernels &kernels_;
    Pool &pool_;
    const Run &run_;
    const int thread_;
    float *scratch_;
};

} // namespace outrider
