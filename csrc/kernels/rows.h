// What a layer does to its rows beside products and attention: quantise, norm, gate, add, softcap, rotate.
// All but the sums of `norm` is element by element, so a row's bits cannot depend on where it lies.
#pragma once

#include "math.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

OUTRIDER_INLINE F load_some(const float *from, int64_t count) {
    return count >= LANES ? load(from) : load_first(from, (int)count);
}
OUTRIDER_INLINE void store_some(float *to, F x, int64_t count) {
    if (count >= LANES)
        store(to, x);
    else
        store_first(to, x, (int)count);
}

// ---- eight bits a value ---------------------------------------------------------------------------------------------

OUTRIDER_INLINE I larger(I a, I b) {
    I r;
    OUTRIDER_PARTS(r.part[p] = a.part[p] < b.part[p] ? b.part[p] : a.part[p])
    return r;
}
OUTRIDER_INLINE I smaller(I a, I b) {
    I r;
    OUTRIDER_PARTS(r.part[p] = b.part[p] < a.part[p] ? b.part[p] : a.part[p])
    return r;
}
OUTRIDER_INLINE void store_bytes(int8_t *to, I x) {
    typedef int8_t bytes __attribute__((vector_size(PART_LANES)));
    OUTRIDER_PARTS(bytes narrow = __builtin_convertvector(x.part[p], bytes);
                   std::memcpy(to + p * PART_LANES, &narrow, sizeof narrow))
}

// Magnitudes are compared as integers: the order is the same, and not-a-number comes out largest, so that it stays
// visible in the scale. Below 2^-100 the reciprocal would overflow; there q is 0, as it is for infinity.
OUTRIDER_INLINE void quantise_group(const float *x, int group, InputBlock &to) {
    F first = load(x), second = load(x + LANES);
    I magnitude = larger(as_int(abs(first)), as_int(abs(second)));
    int32_t bits = largest_int(magnitude);
    float top;
    std::memcpy(&top, &bits, sizeof top);
    F inverse = splat(top >= 0x1p-100f ? 127.0f / top : 0.0f);
    I most = splat_int(127), least = splat_int(-127);
    I left = larger(smaller(round_to_int(first * inverse), most), least);
    I right = larger(smaller(round_to_int(second * inverse), most), least);
    store_bytes(to.q + group * 32, left);
    store_bytes(to.q + group * 32 + LANES, right);
    const int32_t sum[2] = {sum_int(left), sum_int(right)};
    to.scale[group] = top / 127.0f;
    to.lift[group] = to.scale[group] * (float)(sum[0] + sum[1]);
    for (int part = 0; part < 2; ++part) to.start[group * 2 + part] = -32 * sum[part];
}

static void quantise(const float *x, int32_t rows, int32_t inputs, QuantisedRows out) {
    constexpr int GROUPS = BLOCK_INPUTS / 32;
    for (int32_t row = 0; row < rows; ++row)
        for (int32_t group = 0; group < inputs / 32; ++group, x += 32)
            quantise_group(x, group % GROUPS, *out.at(group / GROUPS, row));
}

// ---- norm -----------------------------------------------------------------------------------------------------------

OUTRIDER_INLINE void norm_stretch(const float *x, int32_t size, const float *weight, float eps, float *y) {
    F square = zero();
    for (int32_t i = 0; i < size; i += LANES) {
        F part = load_some(x + i, size - i);
        square = fma(part, part, square);
    }
    F factor = splat(1.0f / __builtin_sqrtf(sum(square) / (float)size + eps));
    for (int32_t i = 0; i < size; i += LANES) {
        F part = load_some(x + i, size - i) * factor * load_some(weight + i, size - i);
        store_some(y + i, part, size - i);
    }
}

static void norm(const float *x, int32_t rows, int32_t groups, int32_t size, const float *weight, float eps, float *y) {
    int64_t stretches = (int64_t)rows * groups;
    for (int64_t i = 0; i < stretches; ++i) norm_stretch(x + i * size, size, weight, eps, y + i * size);
}

// ---- element by element ---------------------------------------------------------------------------------------------

// gelu's tanh form, x / 2 * (1 + tanh(z / 2)), is x / (1 + exp(-z)), as silu is with z = x.
OUTRIDER_INLINE F silu_exponent(F x) { return -x; }
OUTRIDER_INLINE F gelu_exponent(F x) {
    constexpr float SLOPE = -1.5957691216f; // -2 * sqrt(2 / pi)
    F cube = x * x * x;
    return fma(cube, splat(0.044715f), x) * splat(SLOPE);
}

template <F (*EXPONENT)(F)> static void gate_by(const float *gate, const float *up, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i += LANES) {
        F x = load_some(gate + i, count - i);
        F active = x / (splat(1.0f) + exp(EXPONENT(x)));
        store_some(y + i, active * load_some(up + i, count - i), count - i);
    }
}

static void gate(const float *gate, const float *up, int32_t rows, int32_t size, Activation activation, float *y) {
    int64_t count = (int64_t)rows * size;
    if (activation == Activation::SILU)
        gate_by<silu_exponent>(gate, up, count, y);
    else
        gate_by<gelu_exponent>(gate, up, count, y);
}

static void add(const float *a, const float *b, int64_t count, float *y) {
    for (int64_t i = 0; i < count; i += LANES)
        store_some(y + i, load_some(a + i, count - i) + load_some(b + i, count - i), count - i);
}

static void softcap(float *x, int64_t count, float cap) {
    for (int64_t i = 0; i < count; i += LANES)
        store_some(x + i, splat(cap) * tanh(load_some(x + i, count - i) / splat(cap)), count - i);
}

static void weigh(const float *x, const float *base, const float *kernel, int32_t size, int32_t group, bool more,
                  float *y) {
    alignas(64) float weight[LANES];
    for (int32_t i = 0; i < size; i += LANES) {
        for (int32_t lane = 0; lane < LANES && i + lane < size; ++lane) weight[lane] = kernel[(i + lane) / group];
        F product = (load_some(base + i, size - i) + load_some(weight, size - i)) * load_some(x + i, size - i);
        store_some(y + i, more ? load_some(y + i, size - i) + product : product, size - i);
    }
}

// ---- rotate ---------------------------------------------------------------------------------------------------------

// Half-split layout: element i turns with element i + half.
OUTRIDER_INLINE void rotate_head(const float *x, const float *cos, const float *sin, int32_t half, float *y) {
    for (int32_t i = 0; i < half; i += LANES) {
        int32_t left_over = half - i;
        F left = load_some(x + i, left_over), right = load_some(x + half + i, left_over);
        F c = load_some(cos + i, left_over), s = load_some(sin + i, left_over);
        store_some(y + i, fnma(right, s, left * c), left_over);
        store_some(y + half + i, fma(left, s, right * c), left_over);
    }
}

OUTRIDER_INLINE void write_key(const float *k, const float *cos, const float *sin, int32_t size, uint16_t *column) {
    float turned[MAX_HEAD_SIZE];
    uint16_t half[MAX_HEAD_SIZE];
    rotate_head(k, cos, sin, size / 2, turned);
    for (int32_t i = 0; i < size; i += LANES) store_half(half + i, load(turned + i));
    for (int32_t i = 0; i < size; ++i) column[i * LANES] = half[i];
}

static void rotate(const RotateCall &call, int32_t row_begin, int32_t row_end) {
    int32_t size = call.head_size;
    for (int64_t row = row_begin; row < row_end; ++row) {
        int64_t angle = call.position[row] * (size / 2);
        const float *cos = call.cos + angle, *sin = call.sin + angle;
        float *q = call.q + row * call.heads * size;
        for (int32_t head = 0; head < call.heads; ++head, q += size) rotate_head(q, cos, sin, size / 2, q);
        int64_t block = call.slot[row] / LANES, lane = call.slot[row] % LANES;
        for (int32_t group = 0; group < call.groups; ++group) {
            int64_t from = (row * call.groups + group) * size, page = (block * call.groups + group) * size * LANES;
            write_key(call.k + from, cos, sin, size, call.pages.key + page + lane);
            uint16_t *value = call.pages.value + page + lane * size;
            for (int32_t i = 0; i < size; i += LANES) store_half(value + i, load(call.v + from + i));
        }
    }
}

} // namespace outrider::OUTRIDER_ISA
