// What a screen's outputs say of a matrix's: which cannot be ruled out as the largest.
#pragma once

#include "race.h"

namespace outrider::OUTRIDER_ISA {

static float most(const float *x, int64_t count) { return largest(largest_lanes(x, count)); }

// What is no number is in doubt, as every comparison with it fails. So is what lies behind the last output and is taken
// for zero, if that is not below the floor, which does no harm: a tile is computed for nothing.
static uint64_t doubtful(const DoubtCall &call, int32_t tile_begin, int32_t tile_end) {
    uint64_t found = 0;
    for (int32_t tile = tile_begin; tile < tile_end; ++tile) {
        const int32_t first = tile * TILE_ROWS, left = call.outputs - first;
        const bool whole = left >= TILE_ROWS;
        const F about = whole ? load(call.y + first) : load_first(call.y + first, left);
        const F slack = whole ? load(call.slack + first) : load_first(call.slack + first, left);
        const uint32_t below = lane_bits(less(fma(slack, splat(call.length), about), splat(call.floor)));
        found |= (uint64_t)(below != (1u << TILE_ROWS) - 1) << (tile - tile_begin);
    }
    return found;
}

} // namespace outrider::OUTRIDER_ISA
