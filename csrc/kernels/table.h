// What an instruction set has to offer: one table of functions, filled by kernels.cpp, compiled once for each.
// None of them allocates, starts threads, or looks at anything but its arguments; each works on a range, so that the
// caller may divide work as it likes: a row's bits do not depend on the range it is computed in.
#pragma once

#include "../matrix.h"

namespace outrider {

enum class Activation : int32_t { SILU, GELU_TANH };

// y[row][tile_begin * 16 … tile_end * 16) = x @ matrix.T (+ bias) (+ add). y and add have `stride` floats a row.
struct LinearCall {
    const Matrix *matrix;
    QuantisedRows x;      // where the matrix is quantised
    const float *x_float; // where it is not; `inputs` floats a row, contiguous
    int32_t rows;
    const float *bias;    // or null; [matrix rows]
    const float *add;     // or null; may be y itself
    float *y;
    int64_t stride;
    int32_t origin; // the output that y begins with
};

// y = quantised(activation(x @ gate.T) * (x @ up.T)): two products of one shape, their outputs a multiple of 32.
struct GatedCall {
    const Matrix *gate, *up;
    QuantisedRows x, y;
    int32_t rows;
    Activation activation;
};

// A row of a screen's outputs (formats/screen.h), by how much each may be off for inputs of length 1, the length of the
// row's, and what the largest output is at least.
struct DoubtCall {
    const float *y, *slack; // [outputs]
    int32_t outputs;
    float length, floor;
};

// One layer of the paged cache, half precision: block b holds 16 consecutive positions of one sequence.
//   key   [blocks][groups][head_size][16]      sixteen positions side by side: lanes of a dot product
//   value [blocks][groups][16][head_size]
struct LayerPages {
    uint16_t *key;
    uint16_t *value;
};

// The rows of one sequence. Committed entries are positions 0 … length-1 in slots slot[0 … length-1], where
// slot[p] / 16 is the block and slot[p] % 16 = p % 16. Appended entries i = 0 … done + count - 1 have slot[length + i];
// parent[i] < i is the appended entry before it in its own branch, -1 the committed prefix. Row m (of `count`, packed
// from `begin` on) is appended entry done + m: it sees the committed entries, its ancestors and itself, and nothing
// else; its position is length + the number of its appended ancestors. Committed entries before `first` are not seen.
struct SpanView {
    int32_t begin, count, length, done, first;
    const int64_t *slot;
    const int32_t *parent;
};

struct AttentionCall {
    const float *q; // [rows][heads * head_size], rotated
    LayerPages pages;
    float *out;     // [rows][heads * head_size]
    int32_t heads, groups, head_size;
    float scale;
    float softcap;  // 0: none
    int32_t window;    // 0: sees everything; else positions p - window + 1 … p
    int32_t both_ways; // 1: appended entries, a chain, also see those behind them, up to p + window - 1
};

constexpr int32_t MAX_HEAD_SIZE = 512; // head sizes are multiples of 16

// Rotates q in place and k on its way into the cache (half-split layout), and writes v.
struct RotateCall {
    float *q;       // [rows][heads * head_size]
    const float *k; // [rows][groups * head_size]
    const float *v;
    const float *cos, *sin; // [positions][head_size / 2]
    const int64_t *position, *slot;
    LayerPages pages;
    int32_t heads, groups, head_size;
};

// Who may win a race of score plus keyed noise (sampling/contest.h). Entrant i has the score
//   shrink * (value[i] - best)   or a little more than the true one, never less; -inf: is not in the race.
struct Field {
    const float *value;
    int64_t count;
    float best, shrink;
    uint64_t a, b; // two of the position's three key words
};

struct Kernels {
    const char *name;
    void (*linear)(const LinearCall &, int32_t tile_begin, int32_t tile_end);
    void (*gated_linear)(const GatedCall &, int32_t group_begin, int32_t group_end); // of 32 outputs, two tiles
    // Bit i: an output of tile tile_begin + i (of at most 64) may be the largest.
    uint64_t (*doubtful)(const DoubtCall &, int32_t tile_begin, int32_t tile_end);
    // y[i] = scale * row token[i] of the matrix
    void (*embed)(const Matrix &, const int64_t *token, int32_t count, float scale, float *y);
    void (*quantise)(const float *x, int32_t rows, int32_t inputs, QuantisedRows out); // from row 0 on
    // Root-mean-square norm of each of `groups` stretches of `size` in a row; y may be x.
    void (*norm)(const float *x, int32_t rows, int32_t groups, int32_t size, const float *weight, float eps, float *y);
    // y = activation(gate) * up
    void (*gate)(const float *gate, const float *up, int32_t rows, int32_t size, Activation, float *y);
    void (*add)(const float *a, const float *b, int64_t count, float *y);
    void (*softcap)(float *x, int64_t count, float cap);
    // y = (base + kernel[i / group]) * x, added to what y holds if there is something
    void (*weigh)(const float *x, const float *base, const float *kernel, int32_t size, int32_t group, bool more,
                  float *y);
    void (*rotate)(const RotateCall &, int32_t row_begin, int32_t row_end);
    // Queries `begin` … `end` of a key-value head: query i is row i / (heads / groups) of the span and query head
    // group * (heads / groups) + i % (heads / groups). `scratch` has attention_scratch() floats.
    void (*attend)(const AttentionCall &, const SpanView &, int32_t group, int32_t begin, int32_t end, float *scratch);
    int64_t (*attention_scratch)(const AttentionCall &, const SpanView &);
    // The largest of x, the first of equals; what is no number never is; 0 where nothing is above -inf.
    int64_t (*argmax)(const float *x, int64_t count);
    float (*most)(const float *x, int64_t count); // the largest, -inf where nothing is above that
    // The first entrant from `from` on whose score and noise may reach `bar`; the count where there is none.
    int64_t (*contender)(const Field &, int64_t from, float bar);
    // The sum of exp(x[i]), x[i] <= 0, in an order of its own that is the same in every set.
    double (*sum_exp)(const double *x, int64_t count);
};

const Kernels *portable_kernels();
const Kernels *avx2_kernels();      // null where not compiled in
const Kernels *avx2_vnni_kernels();
const Kernels *avx512_kernels();
const Kernels *neon_kernels();      // plain armv8-a
const Kernels *neon_dot_kernels();  // with __ARM_FEATURE_DOTPROD
const Kernels *neon_i8mm_kernels(); // and __ARM_FEATURE_MATMUL_INT8

} // namespace outrider
