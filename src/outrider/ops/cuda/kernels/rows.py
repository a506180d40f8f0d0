"""What happens to rows: rotation with the write to the cache, norm, gate, convolution along a block."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rotate_kernel(
    q_THK: tl.tensor, k_TGK: tl.tensor, v_TGK: tl.tensor, turned_THK: tl.tensor, key_SGK: tl.tensor,
    value_SGK: tl.tensor, cos_PK: tl.tensor, sin_PK: tl.tensor, position_T: tl.tensor, slot_T: tl.tensor,
    HEADS: tl.constexpr, GROUPS: tl.constexpr, SIZE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_K: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Rotated queries, and rotated keys and values in their slots; a slot below 0 is padding: nothing is written.

    Grid: rows, then blocks of query heads (none where there are no queries) and blocks of key heads behind them.
    """
    row, block = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    half: tl.constexpr = SIZE // 2
    position = tl.load(position_T + row)
    cos_K = tl.load(cos_PK + position * half + k, mask=k < half, other=0.0).to(WIDE)
    sin_K = tl.load(sin_PK + position * half + k, mask=k < half, other=0.0).to(WIDE)
    query_blocks: tl.constexpr = (HEADS + BLOCK_H - 1) // BLOCK_H
    lane_H = tl.arange(0, BLOCK_H)
    if block < query_blocks:
        head_H = block * BLOCK_H + lane_H
        inside_HK = (head_H < HEADS)[:, None] & (k < half)[None, :]
        offset_HK = (row * HEADS + head_H).to(tl.int64)[:, None] * SIZE + k[None, :]
        _turn(q_THK + offset_HK, turned_THK + offset_HK, cos_K, sin_K, inside_HK, half, WIDE)
    else:
        slot = tl.load(slot_T + row)
        head_H = (block - query_blocks) * BLOCK_H + lane_H
        inside_HK = (head_H < tl.where(slot >= 0, GROUPS, 0))[:, None] & (k < half)[None, :]
        source_HK = (row * GROUPS + head_H).to(tl.int64)[:, None] * SIZE + k[None, :]
        goal_HK = (slot * GROUPS + head_H)[:, None] * SIZE + k[None, :]
        _turn(k_TGK + source_HK, key_SGK + goal_HK, cos_K, sin_K, inside_HK, half, WIDE)
        for side in tl.static_range(2):
            v_HK = tl.load(v_TGK + source_HK + side * half, mask=inside_HK)
            tl.store(value_SGK + goal_HK + side * half, v_HK.to(value_SGK.dtype.element_ty), mask=inside_HK)


@triton.jit
def _turn(source_HK: tl.tensor, goal_HK: tl.tensor, cos_K: tl.tensor, sin_K: tl.tensor, inside_HK: tl.tensor,
          HALF: tl.constexpr, WIDE: tl.constexpr) -> None:
    left_HK = tl.load(source_HK, mask=inside_HK, other=0.0).to(WIDE)
    right_HK = tl.load(source_HK + HALF, mask=inside_HK, other=0.0).to(WIDE)
    cos_1K, sin_1K = cos_K[None, :], sin_K[None, :]
    kind: tl.constexpr = goal_HK.dtype.element_ty
    tl.store(goal_HK, (left_HK * cos_1K - right_HK * sin_1K).to(kind), mask=inside_HK)
    tl.store(goal_HK + HALF, (right_HK * cos_1K + left_HK * sin_1K).to(kind), mask=inside_HK)


@triton.jit
def norm_kernel(x: tl.tensor, weight_D: tl.tensor, out: tl.tensor, EPS: tl.constexpr, SIZE: tl.constexpr,
                BLOCK: tl.constexpr, WIDE: tl.constexpr) -> None:
    """Root-mean-square norm of one stretch of SIZE features. Grid: stretches."""
    at = tl.program_id(0).to(tl.int64) * SIZE
    d = tl.arange(0, BLOCK)
    x_D = tl.load(x + at + d, mask=d < SIZE, other=0.0).to(WIDE)
    factor = tl.rsqrt(tl.sum(x_D * x_D) / SIZE + EPS)
    y_D = x_D * factor * tl.load(weight_D + d, mask=d < SIZE, other=0.0).to(WIDE)
    tl.store(out + at + d, y_D.to(out.dtype.element_ty), mask=d < SIZE)


@triton.jit
def gate_kernel(gate: tl.tensor, up: tl.tensor, out: tl.tensor, count: int, SILU: tl.constexpr,
                BLOCK: tl.constexpr, WIDE: tl.constexpr) -> None:
    """activation(gate) * up, flat. Grid: blocks."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(gate + at, mask=at < count, other=0.0).to(WIDE)
    if SILU:
        active = x * tl.sigmoid(x)
    else:  # tanh(u) = 2 sigmoid(2 u) - 1, so the half of GELU's one plus tanh is sigmoid(2 u)
        active = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    y = active * tl.load(up + at, mask=at < count, other=0.0).to(WIDE)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=at < count)


@triton.jit
def convolve_kernel(x_TD: tl.tensor, kernel_TE: tl.tensor, base_2KD: tl.tensor, previous_T: tl.tensor,
                    out_TD: tl.tensor, SIDE: tl.constexpr, TAPS: tl.constexpr, SIZE: tl.constexpr,
                    GROUP: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr) -> None:
    """The row and those before it in its block, weighted. Grid: rows, blocks of features."""
    row, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    source = row
    y_D = tl.zeros((BLOCK,), WIDE)
    for tap in tl.static_range(TAPS):
        at = SIDE * TAPS + tap
        base_D = tl.load(base_2KD + at * SIZE + d, mask=d < SIZE, other=0.0).to(WIDE)
        number = (row * 2 * TAPS + at) * (SIZE // GROUP) + d // GROUP
        weight_D = base_D + tl.load(kernel_TE + number, mask=d < SIZE, other=0.0).to(WIDE)
        there_D = d < tl.where(source >= 0, SIZE, 0)
        y_D += weight_D * tl.load(x_TD + tl.maximum(source, 0) * SIZE + d, mask=there_D, other=0.0).to(WIDE)
        source = tl.where(source >= 0, tl.load(previous_T + tl.maximum(source, 0)), -1)
    tl.store(out_TD + row * SIZE + d, y_D.to(out_TD.dtype.element_ty), mask=d < SIZE)
