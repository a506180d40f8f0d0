"""Paged attention of tiles of rows over committed entries and their own ancestors.

    entries of a sequence   first … length | appended 0 1 2 …
    a tile                  ├── seen by all, as far as its window ──┤├── chain: up to oneself; tree: by bits ──┤
    split 0, 1, 2 …         ├─ chunk ─┤├─ chunk ─┤├─ …      few rows: chunks in parallel, joined by `join_kernel`

One program: a tile of rows of one sequence times the query heads of one key head. Its rows are `row * REP + head`.
Softmax is taken online in WIDE: float32, or float64 where the queries are.

Source: Dao et al., "FlashAttention" (arXiv 2205.14135); splits over positions after FlashDecoding.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def attend_kernel(
    q_THK: tl.tensor, key_SGK: tl.tensor, value_SGK: tl.tensor, out_THK: tl.tensor, part: tl.tensor, stat: tl.tensor,
    slot_S: tl.tensor, tile_NF: tl.tensor, place_A: tl.tensor, seen_TW: tl.tensor, position_T: tl.tensor,
    window: int, chunk: int, words: int,
    GROUPS: tl.constexpr, REP: tl.constexpr, SIZE: tl.constexpr, FIELDS: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_K: tl.constexpr, SPLITS: tl.constexpr, BOTH_WAYS: tl.constexpr,
    WIDE: tl.constexpr, SCALE: tl.constexpr, CAP: tl.constexpr,
) -> None:
    """Grid: tiles, key heads, splits. `tile_NF` is `plan.Plan.tile_NF`; `part` and `stat` are for several splits."""
    tile = tile_NF + tl.program_id(0) * FIELDS
    row, rows = tl.load(tile), tl.load(tile + 1)
    if rows > 0:
        group, split = tl.program_id(1), tl.program_id(2)
        lane_M = tl.arange(0, BLOCK_M) // REP
        live_M = (lane_M < rows) & (lane_M < BLOCK_M // REP)
        k = tl.arange(0, BLOCK_K)
        head_M = ((row + lane_M) * GROUPS + group).to(tl.int64) * REP + tl.arange(0, BLOCK_M) % REP
        inside_MK = live_M[:, None] & (k < SIZE)[None, :]
        q_MK = tl.load(q_THK + head_M[:, None] * SIZE + k[None, :], mask=inside_MK, other=0.0)
        at_M = tl.load(position_T + row + lane_M, mask=live_M, other=0).to(tl.int32)
        top_M = tl.full((BLOCK_M,), float("-inf"), WIDE)
        sum_M = tl.zeros((BLOCK_M,), WIDE)
        acc_MK = tl.zeros((BLOCK_M, BLOCK_K), WIDE)
        nearest = tl.min(tl.where(live_M, at_M, 0x7FFFFFFF))
        for appended in tl.static_range(2):
            begin, end = _bounds(tile, nearest, split, window, chunk, BLOCK_L, BOTH_WAYS, appended)
            for entry in range(begin, end, BLOCK_L):
                ok_ML = _visible(tile, entry, end, at_M, lane_M, place_A, seen_TW, window, words, BLOCK_L, BOTH_WAYS,
                                 appended)
                top_M, sum_M, acc_MK = _fold(
                    q_MK, key_SGK, value_SGK, slot_S + tl.load(tile + 7), entry, end, tl.load(tile + 4), ok_ML, group,
                    top_M, sum_M, acc_MK, GROUPS, SIZE, BLOCK_L, BLOCK_K, WIDE, SCALE, CAP)
        _store(out_THK, part, stat, head_M, live_M, inside_MK, k, top_M, sum_M, acc_MK, split, SIZE, SPLITS)


@triton.jit
def _bounds(tile: tl.tensor, nearest: tl.tensor, split: tl.tensor, window: int, chunk: int, BLOCK_L: tl.constexpr,
            BOTH_WAYS: tl.constexpr, APPENDED: tl.constexpr) -> tl.tuple:
    """The entries of this split that rows of the tile may see: committed or appended ones."""
    rows, entry, length, first = tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3), tl.load(tile + 4)
    if APPENDED:
        behind = tl.load(tile + 5)
        if not BOTH_WAYS:
            behind = tl.where(tl.load(tile + 6) != 0, behind, entry + rows)
        begin = tl.maximum(split * chunk, length)
        end = tl.minimum(split * chunk + chunk, length + behind)
    else:
        low = tl.where(window > 0, tl.maximum(first, nearest - window + 1), first)
        begin = tl.maximum(split * chunk, low // BLOCK_L * BLOCK_L)
        end = tl.minimum(split * chunk + chunk, length)
    return begin, end


@triton.jit
def _visible(tile: tl.tensor, entry: tl.tensor, end: tl.tensor, at_M: tl.tensor, lane_M: tl.tensor, place_A: tl.tensor,
             seen_TW: tl.tensor, window: int, words: int, BLOCK_L: tl.constexpr, BOTH_WAYS: tl.constexpr,
             APPENDED: tl.constexpr) -> tl.tensor:
    """Which of the entries from `entry` on each row sees."""
    entry_L = entry + tl.arange(0, BLOCK_L)
    within_L = (entry_L >= tl.load(tile + 4)) & (entry_L < end)
    place_L = entry_L
    ok_ML = (lane_M >= 0)[:, None] & within_L[None, :]
    if APPENDED:
        index_L = entry_L - tl.load(tile + 3)
        place_L = tl.load(place_A + tl.load(tile + 8) + index_L, mask=within_L, other=0)
        if not BOTH_WAYS:
            if tl.load(tile + 6) != 0:
                live_M = lane_M < tl.load(tile + 1)
                word_ML = seen_TW + ((tl.load(tile) + lane_M) * words)[:, None] + (index_L // 32)[None, :]
                bits_ML = tl.load(word_ML, mask=ok_ML & live_M[:, None], other=0)
                ok_ML = ok_ML & (((bits_ML >> (index_L % 32)[None, :]) & 1) != 0)
            else:
                ok_ML = ok_ML & (index_L[None, :] <= (tl.load(tile + 2) + lane_M)[:, None])
    distance_ML = tl.abs(at_M[:, None] - place_L[None, :])
    return ok_ML & ((window <= 0) | (distance_ML < window))


@triton.jit
def _fold(q_MK: tl.tensor, key_SGK: tl.tensor, value_SGK: tl.tensor, slot_L: tl.tensor, entry: tl.tensor,
          end: tl.tensor, first: tl.tensor, ok_ML: tl.tensor, group: tl.tensor, top_M: tl.tensor, sum_M: tl.tensor,
          acc_MK: tl.tensor, GROUPS: tl.constexpr, SIZE: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_K: tl.constexpr,
          WIDE: tl.constexpr, SCALE: tl.constexpr, CAP: tl.constexpr) -> tl.tuple:
    """One block of entries into the running softmax."""
    entry_L, k = entry + tl.arange(0, BLOCK_L), tl.arange(0, BLOCK_K)
    there_L = (entry_L < end) & (entry_L >= first)
    slot = tl.load(slot_L + entry_L, mask=there_L, other=0)
    offset_LK = (slot * GROUPS + group)[:, None] * SIZE + k[None, :]
    inside_LK = there_L[:, None] & (k < SIZE)[None, :]
    key_LK = tl.load(key_SGK + offset_LK, mask=inside_LK, other=0.0)
    score_ML = tl.dot(q_MK, tl.trans(key_LK), input_precision="ieee", out_dtype=WIDE) * SCALE
    if CAP > 0:  # tanh(u) = 2 sigmoid(2 u) - 1
        score_ML = (2.0 * tl.sigmoid(score_ML * (2.0 / CAP)) - 1.0) * CAP
    score_ML = tl.where(ok_ML, score_ML, float("-inf"))
    new_M = tl.maximum(top_M, tl.max(score_ML, 1))
    base_M = tl.where(new_M == float("-inf"), 0.0, new_M)  # rows that have seen nothing so far
    weight_ML = tl.exp(score_ML - base_M[:, None])
    decay_M = tl.exp(top_M - base_M)
    value_LK = tl.load(value_SGK + offset_LK, mask=inside_LK, other=0.0)
    mixed_MK = tl.dot(weight_ML.to(value_LK.dtype), value_LK, input_precision="ieee", out_dtype=WIDE)
    return new_M, sum_M * decay_M + tl.sum(weight_ML, 1), acc_MK * decay_M[:, None] + mixed_MK


@triton.jit
def _store(out_THK: tl.tensor, part: tl.tensor, stat: tl.tensor, head_M: tl.tensor, live_M: tl.tensor,
           inside_MK: tl.tensor, k: tl.tensor, top_M: tl.tensor, sum_M: tl.tensor, acc_MK: tl.tensor,
           split: tl.tensor, SIZE: tl.constexpr, SPLITS: tl.constexpr) -> None:
    """The result, or this split's part of it."""
    if SPLITS == 1:
        y_MK = acc_MK / tl.where(sum_M > 0, sum_M, 1.0)[:, None]
        tl.store(out_THK + head_M[:, None] * SIZE + k[None, :], y_MK.to(out_THK.dtype.element_ty), mask=inside_MK)
    else:
        part_M = head_M * SPLITS + split
        tl.store(stat + part_M * 2, top_M, mask=live_M)
        tl.store(stat + part_M * 2 + 1, sum_M, mask=live_M)
        tl.store(part + part_M[:, None] * SIZE + k[None, :], acc_MK, mask=inside_MK)


@triton.jit
def join_kernel(part: tl.tensor, stat: tl.tensor, out_THK: tl.tensor, SIZE: tl.constexpr, BLOCK_K: tl.constexpr,
                SPLITS: tl.constexpr, BLOCK_S: tl.constexpr) -> None:
    """One row's head from its splits. Grid: rows times query heads."""
    head = tl.program_id(0).to(tl.int64)
    split_S, k = tl.arange(0, BLOCK_S), tl.arange(0, BLOCK_K)
    part_S = head * SPLITS + split_S
    sum_S = tl.load(stat + part_S * 2 + 1, mask=split_S < SPLITS, other=0.0)
    seen_S = sum_S > 0
    top_S = tl.load(stat + part_S * 2, mask=seen_S, other=float("-inf"))
    weight_S = tl.where(seen_S, tl.exp(top_S - tl.max(top_S)), 0.0)
    inside_SK = seen_S[:, None] & (k < SIZE)[None, :]
    acc_SK = tl.load(part + part_S[:, None] * SIZE + k[None, :], mask=inside_SK, other=0.0)
    y_K = tl.sum(weight_S[:, None] * acc_SK, 0) / tl.sum(weight_S * sum_S)
    tl.store(out_THK + head * SIZE + k, y_K.to(out_THK.dtype.element_ty), mask=k < SIZE)
