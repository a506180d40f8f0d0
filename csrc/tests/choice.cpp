// What sampling asks of the kernels: argmax, contenders of a race, sums of exponentials.
#include "seeded.h"

namespace outrider::tests {
namespace {

void choose(const Kernels &kernels, int64_t count, Sums &sums) {
    Array<float> x(count);
    Array<double> wide(count);
    fill(x, 51, 20.0f);
    for (int64_t i = 3; i < count; i += 7) x[i] = i % 2 ? -INFINITY : NAN;
    if (count > 5) x[count - 1] = x[count / 2] = 21.0f; // a tie
    for (int64_t i = 0; i < count; ++i) wide[i] = -(double)(hashed(52, (uint64_t)i) >> 40) * 0x1p-19;
    if (count > 2) wide[1] = -INFINITY, wide[2] = 0.0;
    const int64_t best = kernels.argmax(x.data(), count);
    sums.add("argmax", &best, sizeof best);
    const double sum = kernels.sum_exp(wide.data(), count);
    sums.add("sum_exp", &sum, sizeof sum);

    for (int64_t i = 3; i < count; i += 7) x[i] = -INFINITY;
    const Field field{x.data(), count, 21.0f, 0.8f, 0x1234567890ABCDEFu, 0xFEDCBA0987654321u};
    for (float bar : {-3.0f, 0.0f, 4.0f})
        for (int64_t at = 0; at <= count; ++at) {
            at = kernels.contender(field, at, bar);
            sums.add("contender", &at, sizeof at);
        }
}

} // namespace

void choice_cases(const Kernels &kernels, Sums &sums) {
    for (int64_t count : {1, 2, 15, 16, 17, 100, 1000, 4099}) choose(kernels, count, sums);
}

} // namespace outrider::tests
