// The first half of a gated feed-forward: both products, the activation and the rounding, by groups of 32 outputs.
//
//   gate   tile tile ─┐
//   up     tile tile ─┴─ activation(gate) * up ── 8 bits, one scale         what lies between stays in the first cache
//
// Every operation is that of `linear`, `gate` and `quantise`, so that the bits are theirs.
#pragma once

#include "linear.h"
#include "rows.h"

namespace outrider::OUTRIDER_ISA {

constexpr int GROUP_OUTPUTS = 2 * TILE_ROWS;

// `groups` of outputs of up to CHUNK rows: [rows][groups * 32].
static void multiply_groups(const Matrix &matrix, const QuantisedRows &x, int rows, int group, int groups, float *y) {
    LinearCall call{};
    call.matrix = &matrix;
    call.x = x;
    call.rows = rows;
    call.y = y;
    call.stride = groups * GROUP_OUTPUTS;
    call.origin = group * GROUP_OUTPUTS;
    range_function(matrix.kind)(call, 2 * group, 2 * (group + groups), 0, rows);
}

// The fewer rows, the more outputs at once: what is read of either matrix then is one long stretch.
static void gated_linear(const GatedCall &call, int32_t group_begin, int32_t group_end) {
    constexpr int GROUPS = BLOCK_INPUTS / GROUP_OUTPUTS;
    alignas(64) float gates[CHUNK * GROUP_OUTPUTS], ups[CHUNK * GROUP_OUTPUTS];
    for (int begin = 0; begin < call.rows; begin += CHUNK) {
        const int rows = call.rows - begin < CHUNK ? call.rows - begin : CHUNK, most = CHUNK / rows;
        const QuantisedRows x = {call.x.block + begin, call.x.stride};
        for (int first = group_begin; first < group_end; first += most) {
            const int groups = group_end - first < most ? group_end - first : most;
            multiply_groups(*call.gate, x, rows, first, groups, gates);
            multiply_groups(*call.up, x, rows, first, groups, ups);
            gate(gates, ups, rows, groups * GROUP_OUTPUTS, call.activation, gates);
            for (int i = 0; i < rows * groups; ++i) {
                const int row = begin + i / groups, group = first + i % groups;
                quantise_group(gates + i * GROUP_OUTPUTS, group % GROUPS, *call.y.at(group / GROUPS, row));
            }
        }
    }
}

} // namespace outrider::OUTRIDER_ISA
