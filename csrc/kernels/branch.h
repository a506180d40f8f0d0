// Where the positions that a row sees lie in memory.
//
// The stem is the longest run of appended entries 0, 1, 2 … of which each follows the one before. It continues the
// committed prefix, so its positions lie in whole blocks, in order. An entry off the stem sees a path instead:
//
//   0 ─ 1 ─ 2 ─ 3        stem 0 1 2 3, in slots of positions length … length + 3
//        \─ 4 ─ 5        5 sees 0 1 4 5 as positions length … length + 3, but 4 and 5 are in slots of later positions
//
// For such entries the blocks from the first appended position on are laid out again in scratch, as if their path had
// been committed. What was laid out for one row stays for the next: in depth-first order few columns change.
#pragma once

#include "../simd/lanes.h"
#include "table.h"

namespace outrider::OUTRIDER_ISA {

OUTRIDER_INLINE int32_t appended(const SpanView &span) { return span.done + span.count; }

static int32_t stem_length(const SpanView &span) {
    int32_t stem = 0;
    while (stem < appended(span) && span.parent[stem] == stem - 1) ++stem;
    return stem;
}

// Appended ancestors of an entry.
OUTRIDER_INLINE int32_t depth_of(const SpanView &span, int32_t stem, int32_t entry) {
    int32_t steps = 0;
    for (; entry >= stem; entry = span.parent[entry]) ++steps;
    return entry + steps;
}

// One layer's pages as one key-value head sees them.
struct HeadPages {
    LayerPages pages;
    int32_t groups, group, size;

    uint16_t *key(int64_t slot) const { return pages.key + at(slot); }
    uint16_t *value(int64_t slot) const { return pages.value + at(slot); }
    int64_t at(int64_t slot) const { return (slot / LANES * groups + group) * size * LANES; }
};

struct Branch {
    int32_t first_block; // of positions: the one that holds position `length`
    uint16_t *key;       // [blocks][head_size][16]
    uint16_t *value;     // [blocks][16][head_size]
    int32_t *path;       // the entry laid out at position length + i
};

OUTRIDER_INLINE int32_t branch_blocks(const SpanView &span) {
    return (span.length + appended(span) - 1) / LANES - span.length / LANES + 1;
}

// Floats of scratch: none without branches.
static int64_t branch_scratch(const SpanView &span, int32_t stem, int32_t head_size) {
    if (stem == appended(span)) return 0;
    return (int64_t)branch_blocks(span) * head_size * LANES + appended(span);
}

// The stem's own layout, to begin with.
static Branch open_branch(const SpanView &span, int32_t stem, const HeadPages &pages, float *scratch) {
    int64_t block_size = pages.size * LANES;
    Branch branch;
    branch.first_block = span.length / LANES;
    branch.key = (uint16_t *)scratch;
    branch.value = branch.key + branch_blocks(span) * block_size;
    branch.path = (int32_t *)(branch.value + branch_blocks(span) * block_size);
    for (int32_t i = 0; i < appended(span); ++i) branch.path[i] = i < stem ? i : -1;
    for (int32_t block = branch.first_block; block * LANES < span.length + stem; ++block) {
        int64_t from = span.slot[block * LANES], to = (block - branch.first_block) * block_size;
        std::memcpy(branch.key + to, pages.key(from), block_size * sizeof(uint16_t));
        std::memcpy(branch.value + to, pages.value(from), block_size * sizeof(uint16_t));
    }
    return branch;
}

OUTRIDER_INLINE void copy_entry(const HeadPages &pages, int64_t slot, const Branch &branch, int32_t position) {
    int64_t to = (int64_t)(position / LANES - branch.first_block) * pages.size * LANES;
    int32_t lane = position % LANES, from_lane = (int32_t)(slot % LANES);
    const uint16_t *key = pages.key(slot) + from_lane;
    uint16_t *column = branch.key + to + lane;
    for (int32_t i = 0; i < pages.size; ++i) column[i * LANES] = key[i * LANES];
    std::memcpy(branch.value + to + lane * pages.size, pages.value(slot) + from_lane * pages.size,
                pages.size * sizeof(uint16_t));
}

// Brings an entry's whole path into position order. Later columns may keep another path's entries; nobody reads them.
static void lay_out(const SpanView &span, const HeadPages &pages, const Branch &branch, int32_t entry, int32_t depth) {
    for (; entry >= 0; entry = span.parent[entry], --depth) {
        if (branch.path[depth] == entry) continue;
        copy_entry(pages, span.slot[span.length + entry], branch, span.length + depth);
        branch.path[depth] = entry;
    }
}

} // namespace outrider::OUTRIDER_ISA
