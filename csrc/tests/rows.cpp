// Quantise, norm, gate, add, softcap, weigh, rotate.
#include "seeded.h"

#include "../formats/layout.h"

namespace outrider::tests {
namespace {

constexpr uint16_t NAN_HALF = 0x7E00;

void quantise_case(const Kernels &kernels, int32_t rows, int32_t inputs, Sums &sums) {
    Array<float> x(rows * inputs);
    Array<InputBlock> block(num_blocks(inputs) * rows);
    fill(x, 21);
    const float extremes[] = {0.0f, -0.0f, 1e-30f, 3e38f, -3e38f, 1e-42f, 127.5f, -127.5f};
    for (int64_t i = 0; i < x.size(); i += 5) x[i] = extremes[i / 32 % 8]; // several groups, one kind of extreme each
    kernels.quantise(x.data(), rows, inputs, {block.data(), rows});
    sums.add("quantise", block);
}

void norm_case(const Kernels &kernels, int32_t rows, int32_t groups, int32_t size, Sums &sums) {
    Array<float> x(rows * groups * size), weight(size), y(x.size());
    fill(x, 22, 30.0f);
    fill(weight, 23, 2.0f);
    kernels.norm(x.data(), rows, groups, size, weight.data(), 1e-6f, y.data());
    sums.add("norm", y);
    kernels.norm(x.data(), rows, groups, size, weight.data(), 1e-6f, x.data());
    sums.add("norm in place", x);
}

void elementwise_case(const Kernels &kernels, int32_t rows, int32_t size, Sums &sums) {
    Array<float> a(rows * size), b(rows * size), y(rows * size);
    fill(a, 24, 100.0f);
    fill(b, 25, 3.0f);
    for (int64_t i = 0; i < a.size(); i += 2) a[i] *= 0.01f;
    kernels.gate(a.data(), b.data(), rows, size, Activation::SILU, y.data());
    sums.add("gate silu", y);
    kernels.gate(a.data(), b.data(), rows, size, Activation::GELU_TANH, y.data());
    sums.add("gate gelu", y);
    kernels.add(a.data(), b.data(), a.size(), y.data());
    sums.add("add", y);
    kernels.softcap(a.data(), a.size(), 30.0f);
    sums.add("softcap", a);
}

void weigh_case(const Kernels &kernels, int32_t size, int32_t group, Sums &sums) {
    Array<float> x(size), base(size), kernel((size + group - 1) / group), y(size);
    fill(x, 26, 5.0f);
    fill(base, 27);
    fill(kernel, 28);
    for (bool more : {false, true})
        kernels.weigh(x.data(), base.data(), kernel.data(), size, group, more, y.data());
    sums.add("weigh", y);
}

void rotate_case(const Kernels &kernels, int32_t rows, int32_t size, Sums &sums) {
    constexpr int32_t HEADS = 3, GROUPS = 2, POSITIONS = 50, BLOCKS = 4;
    Array<float> q(rows * HEADS * size), k(rows * GROUPS * size), v(k.size());
    Array<float> cos(POSITIONS * size / 2), sin(cos.size());
    Array<int64_t> position(rows), slot(rows);
    Array<uint16_t> key(BLOCKS * GROUPS * size * 16), value(key.size());
    fill(q, 31, 4.0f);
    fill(k, 32, 70000.0f); // some too large for a half
    fill(v, 33, 1e-6f);    // some smaller than a normal half
    fill(cos, 34);
    fill(sin, 35);
    for (int64_t i = 0; i < key.size(); ++i) key[i] = value[i] = NAN_HALF;
    for (int64_t i = 0; i < rows; ++i) slot[i] = (i * 7 + 5) % (BLOCKS * 16), position[i] = (i * 11 + 3) % POSITIONS;
    const RotateCall call{q.data(),    k.data(),        v.data(),    cos.data(),
                          sin.data(),  position.data(), slot.data(), {key.data(), value.data()},
                          HEADS,       GROUPS,          size};
    kernels.rotate(call, 1, rows);
    kernels.rotate(call, 0, rows < 1 ? rows : 1);
    sums.add("rotate q", q);
    sums.add("rotate key", key);
    sums.add("rotate value", value);
}

} // namespace

void row_cases(const Kernels &kernels, Sums &sums) {
    for (int32_t rows : {0, 1, 3}) {
        for (int32_t inputs : {32, 64, 320}) quantise_case(kernels, rows, inputs, sums);
        for (int32_t size : {1, 16, 17, 63, 576}) norm_case(kernels, rows, 2, size, sums);
        for (int32_t size : {1, 15, 16, 33, 257}) elementwise_case(kernels, rows, size, sums);
    }
    for (int32_t size : {16, 48, 100})
        for (int32_t group : {1, 4, 16, 25}) weigh_case(kernels, size, group, sums);
    for (int32_t rows : {1, 2, 9})
        for (int32_t size : {32, 64, 80, 128, 256}) rotate_case(kernels, rows, size, sums);
}

} // namespace outrider::tests
