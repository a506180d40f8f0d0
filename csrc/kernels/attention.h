// Attention over the paged cache, with an online softmax over tiles of 64 positions.
//
//   position     0 … 63 | 64 … 127 | …                tiles, always at multiples of 64
//   tile         block | block | block | block        four pages of 16 positions, anywhere in memory
//   scores       lanes are the 16 positions of a block; a chain of fma over the head's elements
//   values       lanes are 16 elements of the head; a chain of fma over the positions, in order
//
// Each query (row and head) has chains of its own, so that its bits do not depend on the queries beside it; those are
// there only to share loads. What a query does not see is not computed with: its scores become -inf by selection, and
// its values are not read. Every 1024 positions make a part of their own, and parts are merged in order, so that work
// split over positions would give the same bits.
#pragma once

#include "branch.h"
#include "math.h"

namespace outrider::OUTRIDER_ISA {

constexpr int32_t TILE_BLOCKS = 4, TILE = TILE_BLOCKS * LANES;
constexpr int32_t PART_TILES = 16;
constexpr int32_t PASS = 128; // queries that walk through the cache together
#if defined(__AVX512F__)
constexpr int32_t BUNDLE = 8; // queries that share registers
#else
constexpr int32_t BUNDLE = 4;
#endif

// ---- a softmax under way --------------------------------------------------------------------------------------------

// The largest score so far, the sum of weights (by lane), the weighted sum of values.
struct Softmax {
    float *largest, *total, *values;
};

// In scratch, for each query of a pass: the softmax of a part and that of the whole. First come all the largest scores,
// side by side, so that those of a bundle's queries can be worked with as lanes.
OUTRIDER_INLINE int64_t softmax_floats(int64_t queries, int32_t head_size) {
    return 2 * PASS + 2 * queries * (LANES + head_size);
}
OUTRIDER_INLINE Softmax softmax_at(float *scratch, int32_t query, bool whole, int32_t head_size) {
    float *at = scratch + softmax_floats(query, head_size) + whole * (LANES + head_size);
    return {scratch + whole * PASS + query, at, at + LANES};
}

OUTRIDER_INLINE void reset(const Softmax &state, int32_t head_size) {
    *state.largest = -__builtin_inff();
    store(state.total, zero());
    for (int32_t i = 0; i < head_size; i += LANES) store(state.values + i, zero());
}

OUTRIDER_INLINE float exp_one(float x) { return exp(splat(x)).part[0][0]; }

// Adds a part to the whole and empties it. exp(0) is exactly 1 and exp(-inf) exactly 0: the first part is taken as is.
static void merge(const Softmax &whole, const Softmax &part, int32_t head_size) {
    float old = *whole.largest, other = *part.largest, now = old > other ? old : other;
    if (other == -__builtin_inff()) return;
    F keep = splat(exp_one(old - now)), take = splat(exp_one(other - now));
    *whole.largest = now;
    store(whole.total, fma(load(part.total), take, load(whole.total) * keep));
    for (int32_t i = 0; i < head_size; i += LANES)
        store(whole.values + i, fma(load(part.values + i), take, load(whole.values + i) * keep));
    reset(part, head_size);
}

static void finish(const Softmax &whole, int32_t head_size, float *out) {
    F total = splat(sum(load(whole.total)));
    for (int32_t i = 0; i < head_size; i += LANES) store(out + i, load(whole.values + i) / total);
}

// ---- one tile, several queries --------------------------------------------------------------------------------------

// The positions low … high - 1 of a tile are seen.
struct View {
    int32_t low, high;
    int32_t entry; // whose path it is, -1 where everything seen lies in position order
};
struct Blocks {
    const uint16_t *key[TILE_BLOCKS], *value[TILE_BLOCKS];
    const uint16_t *next[TILE_BLOCKS]; // keys of the next tile, to be fetched ahead; any address will do
};

template <int QUERIES> struct Bundle {
    const float *q[QUERIES];
    Softmax state[QUERIES];
    alignas(64) float weight[QUERIES][TILE]; // scores at first
    float decay[LANES];                      // what the softmax so far is worth beside this tile; by query
};

// Scores of WIDTH blocks from `block` on. A block's values and the next tile's keys are as long as its keys: they are
// fetched in step with them, since hardware does not guess where the next page is.
template <int QUERIES, int WIDTH>
OUTRIDER_INLINE void score(Bundle<QUERIES> &bundle, const Blocks &blocks, int32_t head_size, int block) {
    const uint16_t *const *key = blocks.key + block;
    F chain[QUERIES][WIDTH], lanes[WIDTH];
    for (int r = 0; r < QUERIES; ++r)
        for (int b = 0; b < WIDTH; ++b) chain[r][b] = zero();
    for (int32_t i = 0; i < head_size; ++i) {
        for (int b = 0; b < WIDTH; ++b) {
            lanes[b] = load_half(key[b] + i * LANES);
            if (i % 2 == 1) continue; // two elements share a line
            __builtin_prefetch(blocks.value[block + b] + i * LANES);
            __builtin_prefetch(blocks.next[block + b] + i * LANES);
        }
        for (int r = 0; r < QUERIES; ++r) {
            F x = splat(bundle.q[r][i]);
            for (int b = 0; b < WIDTH; ++b) chain[r][b] = fma(x, lanes[b], chain[r][b]);
        }
    }
    for (int r = 0; r < QUERIES; ++r)
        for (int b = 0; b < WIDTH; ++b) store(bundle.weight[r] + (block + b) * LANES, chain[r][b]);
}

OUTRIDER_INLINE F seen(const View &view, int32_t block, F x) {
    alignas(64) static const int32_t COUNT[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    I position = load_int(COUNT) + splat_int(block * LANES);
    F none = splat(-__builtin_inff());
    x = select(less_int(position, splat_int(view.low)), none, x);
    return select(less_int(position, splat_int(view.high)), x, none);
}

// What is compared: scaled, capped and masked. Returns the largest.
OUTRIDER_INLINE float prepare(const AttentionCall &call, const View &view, float *score) {
    F x[TILE_BLOCKS], top = splat(-__builtin_inff());
    for (int b = 0; b < TILE_BLOCKS; ++b) x[b] = load(score + b * LANES) * splat(call.scale);
    if (call.softcap > 0)
        for (int b = 0; b < TILE_BLOCKS; ++b) x[b] = splat(call.softcap) * tanh(x[b] / splat(call.softcap));
    if (view.low > 0 || view.high < TILE)
        for (int b = 0; b < TILE_BLOCKS; ++b) x[b] = seen(view, b, x[b]);
    for (int b = 0; b < TILE_BLOCKS; ++b) {
        store(score + b * LANES, x[b]);
        top = max(top, x[b]);
    }
    return largest(top);
}

// Scores to weights. What there is one of for each query is worked out for all of them at once, as lanes; the lanes of
// queries beyond the bundle keep the largest scores that they have.
template <int QUERIES>
OUTRIDER_INLINE void weigh(const AttentionCall &call, const View &view, Bundle<QUERIES> &bundle) {
    float top[LANES];
    store(top, splat(-__builtin_inff()));
    for (int r = 0; r < QUERIES; ++r) top[r] = prepare(call, view, bundle.weight[r]);
    F old = load(bundle.state[0].largest), now = max(old, load(top));
    store(bundle.state[0].largest, now);
    store(top, now);
    store(bundle.decay, select(less(old, now), exp(old - now), splat(1.0f)));
    for (int r = 0; r < QUERIES; ++r) {
        F x[TILE_BLOCKS];
        for (int b = 0; b < TILE_BLOCKS; ++b) {
            x[b] = exp(load(bundle.weight[r] + b * LANES) - splat(top[r]));
            store(bundle.weight[r] + b * LANES, x[b]);
        }
        float *total = bundle.state[r].total;
        store(total, fma(load(total), splat(bundle.decay[r]), (x[0] + x[1]) + (x[2] + x[3])));
    }
}

template <int QUERIES, int WIDTH>
OUTRIDER_INLINE void gather(const Bundle<QUERIES> &bundle, const Blocks &blocks, const View &view, int32_t head_size,
                            int32_t at) {
    F chain[QUERIES][WIDTH], lanes[WIDTH];
    for (int r = 0; r < QUERIES; ++r)
        for (int d = 0; d < WIDTH; ++d)
            chain[r][d] = load(bundle.state[r].values + at + d * LANES) * splat(bundle.decay[r]);
    for (int32_t position = view.low; position < view.high; ++position) {
        const uint16_t *value = blocks.value[position / LANES] + position % LANES * head_size + at;
        for (int d = 0; d < WIDTH; ++d) lanes[d] = load_half(value + d * LANES);
        for (int r = 0; r < QUERIES; ++r) {
            F x = splat(bundle.weight[r][position]);
            for (int d = 0; d < WIDTH; ++d) chain[r][d] = fma(x, lanes[d], chain[r][d]);
        }
    }
    for (int r = 0; r < QUERIES; ++r)
        for (int d = 0; d < WIDTH; ++d) store(bundle.state[r].values + at + d * LANES, chain[r][d]);
}

// ---- one call -------------------------------------------------------------------------------------------------------

// What attend() works with, once it has looked at its arguments.
struct Attention {
    const AttentionCall &call;
    const SpanView &span;
    HeadPages pages;
    int32_t share; // query heads of this key-value head
    int32_t stem;
    Branch branch;
    float *state;

    int64_t element(int32_t query) const { // of q and of out
        int64_t row = span.begin + query / share;
        return (row * call.heads + pages.group * share + query % share) * call.head_size;
    }
    Softmax part(int32_t index) const { return softmax_at(state, index, false, call.head_size); }
    Softmax whole(int32_t index) const { return softmax_at(state, index, true, call.head_size); }
};

struct Row {
    int32_t entry, depth;
    int32_t first, last; // positions seen
};

static Row row_at(const Attention &task, int32_t row) {
    int32_t entry = task.span.done + row, depth = depth_of(task.span, task.stem, entry);
    int32_t position = task.span.length + depth, window = task.call.window, first = task.span.first, last = position;
    if (window > 0 && position >= window && position - window + 1 > first) first = position - window + 1;
    if (task.call.both_ways) {
        last = task.span.length + appended(task.span) - 1;
        if (window > 0 && position + window - 1 < last) last = position + window - 1;
    }
    return {entry, depth, first, last};
}

static View view_of(const Attention &task, const Row &row, int32_t tile) {
    int32_t begin = tile * TILE, low = row.first - begin, high = row.last + 1 - begin;
    bool off = row.entry >= task.stem && begin + TILE > task.span.length;
    return {low < 0 ? 0 : low, high > TILE ? TILE : high, off ? row.entry : -1};
}

static Blocks blocks_of(const Attention &task, const Row &row, const View &view, int32_t tile) {
    if (view.entry >= 0) lay_out(task.span, task.pages, task.branch, row.entry, row.depth);
    Blocks blocks;
    int32_t low = view.low / LANES, high = (view.high - 1) / LANES, block_size = task.pages.size * LANES;
    for (int32_t b = low; b <= high; ++b) {
        int32_t block = tile * TILE_BLOCKS + b, copied = block - task.branch.first_block;
        int64_t slot = task.span.slot[block * LANES];
        bool own = view.entry >= 0 && copied >= 0;
        blocks.key[b] = own ? task.branch.key + copied * block_size : task.pages.key(slot);
        blocks.value[b] = own ? task.branch.value + copied * block_size : task.pages.value(slot);
    }
    for (int32_t b = 0; b < TILE_BLOCKS; ++b) {
        // Blocks that hold nothing seen are scored like the others, and then masked: any key will do.
        if (b < low || b > high) blocks.key[b] = blocks.key[low], blocks.value[b] = blocks.value[low];
        int32_t next = ((tile + 1) * TILE_BLOCKS + b) * LANES;
        blocks.next[b] = next <= row.last ? task.pages.key(task.span.slot[next]) : blocks.key[b];
    }
    return blocks;
}

template <int QUERIES>
static void attend_bundle(const Attention &task, const View &view, const Blocks &blocks, int32_t query, int32_t index) {
    constexpr int WIDTH = PARTS > 1 ? 1 : QUERIES > 6 ? 2 : 4; // what the registers hold
    int32_t size = task.call.head_size;
    Bundle<QUERIES> bundle;
    for (int r = 0; r < QUERIES; ++r) {
        bundle.q[r] = task.call.q + task.element(query + r);
        bundle.state[r] = task.part(index + r);
    }
    for (int b = 0; b < TILE_BLOCKS; b += WIDTH) score<QUERIES, WIDTH>(bundle, blocks, size, b);
    weigh(task.call, view, bundle);
    int32_t at = 0;
    for (; at + WIDTH * LANES <= size; at += WIDTH * LANES) gather<QUERIES, WIDTH>(bundle, blocks, view, size, at);
    for (; at < size; at += LANES) gather<QUERIES, 1>(bundle, blocks, view, size, at);
}

using AttendBundle = void (*)(const Attention &, const View &, const Blocks &, int32_t, int32_t);

static AttendBundle attend_by(int32_t queries) {
    switch (queries) {
    case 1: return attend_bundle<1>;
    case 2: return attend_bundle<2>;
    case 3: return attend_bundle<3>;
#if defined(__AVX512F__)
    case 5: return attend_bundle<5>;
    case 6: return attend_bundle<6>;
    case 7: return attend_bundle<7>;
    case 8: return attend_bundle<8>;
#endif
    default: return attend_bundle<4>;
    }
}

// Queries first … last - 1 of a pass see the same of a tile: bundles of nearly equal size, at most BUNDLE.
static void attend_run(const Attention &task, const View &view, const Blocks &blocks, int32_t begin, int32_t first,
                       int32_t last) {
    int32_t bundles = (last - first + BUNDLE - 1) / BUNDLE;
    for (; bundles > 0; --bundles) {
        int32_t queries = (last - first + bundles - 1) / bundles;
        attend_by(queries)(task, view, blocks, first, first - begin);
        first += queries;
    }
}

static bool same(const View &a, const View &b) { return a.low == b.low && a.high == b.high && a.entry == b.entry; }

static void attend_tile(const Attention &task, const Row *rows, int32_t tile, int32_t begin, int32_t end) {
    int32_t share = task.share, first_row = begin / share;
    for (int32_t query = begin; query < end;) {
        const Row &row = rows[query / share - first_row];
        View view = view_of(task, row, tile);
        int32_t last = query;
        do last = (last / share + 1) * share;
        while (last < end && same(view, view_of(task, rows[last / share - first_row], tile)));
        last = last < end ? last : end;
        if (view.low < view.high) attend_run(task, view, blocks_of(task, row, view, tile), begin, query, last);
        query = last;
    }
}

static void attend_pass(const Attention &task, int32_t begin, int32_t end) {
    Row rows[PASS];
    int32_t size = task.call.head_size, first = INT32_MAX, last = 0;
    for (int32_t r = begin / task.share; r <= (end - 1) / task.share; ++r) {
        Row row = rows[r - begin / task.share] = row_at(task, r);
        first = row.first < first ? row.first : first;
        last = row.last > last ? row.last : last;
    }
    for (int32_t i = 0; i < end - begin; ++i) reset(task.part(i), size), reset(task.whole(i), size);
    for (int32_t tile = first / TILE; tile <= last / TILE; ++tile) {
        attend_tile(task, rows, tile, begin, end);
        if (tile % PART_TILES == PART_TILES - 1 || tile == last / TILE)
            for (int32_t i = 0; i < end - begin; ++i) merge(task.whole(i), task.part(i), size);
    }
    for (int32_t query = begin; query < end; ++query)
        finish(task.whole(query - begin), size, task.call.out + task.element(query));
}

OUTRIDER_INLINE int64_t state_floats(const AttentionCall &call, const SpanView &span) {
    int64_t queries = (int64_t)span.count * (call.heads / call.groups);
    return softmax_floats(queries < PASS ? queries : PASS, call.head_size);
}

static int64_t attention_scratch(const AttentionCall &call, const SpanView &span) {
    return state_floats(call, span) + branch_scratch(span, stem_length(span), call.head_size);
}

static void attend(const AttentionCall &call, const SpanView &span, int32_t group, int32_t begin, int32_t end,
                   float *scratch) {
    Attention task = {call, span, {call.pages, call.groups, group, call.head_size}, call.heads / call.groups,
                      stem_length(span), {}, scratch};
    if (task.stem < appended(span))
        task.branch = open_branch(span, task.stem, task.pages, scratch + state_floats(call, span));
    for (; begin < end; begin += PASS) attend_pass(task, begin, end - begin < PASS ? end : begin + PASS);
}

} // namespace outrider::OUTRIDER_ISA
