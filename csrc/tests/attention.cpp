// Attention: lengths around the tiles, chains, trees and chunks, windows, soft caps, grouped heads. Whatever the span does
// not own is not a number.
#include "seeded.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace outrider::tests {
namespace {

constexpr uint16_t NAN_HALF = 0x7E00;
constexpr int32_t PAGE = 16;

enum class Tree { CHAIN, BUSH, TWO_BRANCHES };

struct Case {
    int32_t length, done, count;
    Tree tree;
    int32_t heads, groups, head_size, window;
    float softcap;
    int32_t first = 0, both_ways = 0;
};

int32_t parent_of(Tree tree, int32_t entry) {
    if (tree == Tree::CHAIN || entry < 2) return entry - 1;
    if (tree == Tree::BUSH) return (int32_t)(hashed(41, (uint64_t)entry) % (uint64_t)entry);
    return entry == 2 ? 0 : entry - 2; // 0 - 1 - 3 - 5 …, and 0 - 2 - 4 …
}

// A sequence whose pages are scattered, in reverse order, through a cache of NaN.
struct Sequence {
    Case of;
    int32_t num_entries, num_blocks;
    Array<uint16_t> key, value;
    Array<int64_t> slot;
    Array<int32_t> parent;

    explicit Sequence(const Case &chosen)
        : of(chosen), num_entries(of.length + of.done + of.count), num_blocks((num_entries + PAGE - 1) / PAGE * 2),
          key((int64_t)num_blocks * of.groups * of.head_size * PAGE), value(key.size()), slot(num_entries),
          parent(of.done + of.count) {
        for (int64_t i = 0; i < key.size(); ++i) key[i] = value[i] = NAN_HALF;
        for (int32_t p = 0; p < num_entries; ++p) slot[p] = (num_blocks - 1 - p / PAGE * 2) * PAGE + p % PAGE;
        for (int32_t i = 0; i < of.done + of.count; ++i) parent[i] = parent_of(of.tree, i);
        for (int32_t p = 0; p < num_entries; ++p) write(p);
    }
    void write(int32_t entry) {
        const int64_t block = slot[entry] / PAGE, lane = slot[entry] % PAGE;
        for (int32_t group = 0; group < of.groups; ++group)
            for (int32_t i = 0; i < of.head_size; ++i) {
                const int64_t page = (block * of.groups + group) * of.head_size * PAGE;
                const uint64_t bits = hashed(42, (uint64_t)((entry * of.groups + group) * of.head_size + i));
                key[page + i * PAGE + lane] = (uint16_t)(0x3000 + (bits & 0x8FFF)); // 2^-3 … 2, either sign
                value[page + lane * of.head_size + i] = (uint16_t)(0x3000 + (bits >> 16 & 0x8FFF));
            }
    }
    SpanView view() const { return {1, of.count, of.length, of.done, of.first, slot.data(), parent.data()}; }
};

void attend(const Kernels &kernels, const Case &of, Sums &sums) {
    Sequence sequence(of);
    const int32_t begin = sequence.view().begin, queries = of.count * of.heads / of.groups;
    Array<float> q((begin + of.count) * of.heads * of.head_size), out(q.size());
    fill(q, 43, 3.0f);
    const AttentionCall call{q.data(),  {sequence.key.data(), sequence.value.data()}, out.data(),
                             of.heads,  of.groups,  of.head_size,
                             0.125f,    of.softcap, of.window, of.both_ways};
    const SpanView span = sequence.view();
    for (int32_t group = 0; group < of.groups; ++group)
        for (auto [from, to] : {std::pair{queries / 3, queries}, std::pair{0, queries / 3}}) {
            Array<float> scratch(kernels.attention_scratch(call, span));
            kernels.attend(call, span, group, from, to, scratch.data());
        }
    sums.add("attend", out);
    if (!std::all_of(out.data(), out.data() + out.size(), [](float x) { return x == x; }))
        sums.add("attend: NaN has leaked", kernels.name, std::strlen(kernels.name));
}

} // namespace

void attention_cases(const Kernels &kernels, Sums &sums) {
    for (int32_t length : {0, 1, 15, 16, 63, 64, 100, 1030})
        for (Tree tree : {Tree::CHAIN, Tree::BUSH, Tree::TWO_BRANCHES})
            for (int32_t count : {1, 7, 18}) attend(kernels, {length, 0, count, tree, 4, 2, 64, 0, 0.0f}, sums);
    for (int32_t window : {0, 1, 20, 70})
        for (int32_t done : {0, 5}) {
            attend(kernels, {90, done, 6, Tree::BUSH, 6, 2, 32, window, 0.0f}, sums);
            attend(kernels, {90, done, 6, Tree::CHAIN, 3, 3, 128, window, 50.0f}, sums);
            attend(kernels, {130, done, 3, Tree::TWO_BRANCHES, 2, 1, 256, window, 0.0f}, sums);
        }
    for (int32_t window : {0, 5, 40})
        for (int32_t length : {0, 17, 100})
            for (int32_t first : {0, length / 2}) {
                attend(kernels, {length, 0, 16, Tree::CHAIN, 4, 2, 64, window, 0.0f, first, 1}, sums);
                attend(kernels, {length, 3, 9, Tree::BUSH, 4, 1, 32, window, 0.0f, first, 0}, sums);
            }
    attend(kernels, {20, 0, 70, Tree::CHAIN, 2, 2, 80, 0, 0.0f}, sums);
}

} // namespace outrider::tests
