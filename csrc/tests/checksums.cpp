// Runs every kernel of every set of this machine over the same inputs and prints a sum for each; all sets have to agree.
// The output is the same on every machine, so that one can be compared with another, emulated ones included.
#include "seeded.h"

#include "../runtime/cpu.h"

using namespace outrider;
using namespace outrider::tests;

namespace {

Sums sums_of(const Kernels &kernels) {
    Sums sums;
    linear_cases(kernels, sums);
    row_cases(kernels, sums);
    attention_cases(kernels, sums);
    choice_cases(kernels, sums);
    retrieval_cases(sums);
    return sums;
}

int differences(const Sums &expected, const Sums &found, const char *set) {
    int count = 0;
    for (const auto &[name, sum] : expected.all()) {
        if (found.all().at(name) == sum) continue;
        std::fprintf(stderr, "%s: %s differs from portable\n", set, name.c_str());
        ++count;
    }
    return count;
}

} // namespace

int main(int count, char **argument) {
    const Kernels *set[MAX_SETS];
    const int num_sets = usable_sets(set);
    if (!num_sets) return std::fprintf(stderr, "no kernel set was compiled in\n"), 1;
    const Sums expected = sums_of(*set[num_sets - 1]);
    int wrong = 0;
    for (int i = 0; i + 1 < num_sets; ++i) wrong += differences(expected, sums_of(*set[i]), set[i]->name);
    for (const auto &[name, sum] : expected.all()) std::printf("%016llx  %s\n", (unsigned long long)sum, name.c_str());
    for (int i = 0; i < num_sets; ++i) std::fprintf(stderr, "%s ", set[i]->name);
    std::fprintf(stderr, "ran\n");
    // A caller that counts on a set names it: a machine that cannot run it must not pass for one that agrees.
    for (int i = 1; i < count; ++i) {
        bool ran = false;
        for (int j = 0; j < num_sets; ++j) ran |= !std::strcmp(set[j]->name, argument[i]);
        if (!ran) ++wrong, std::fprintf(stderr, "%s cannot run here\n", argument[i]);
    }
    return wrong ? 1 : 0;
}
