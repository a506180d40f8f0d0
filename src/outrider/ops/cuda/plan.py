"""A step as the attention kernel reads it: what programs there are, and what each row sees, in a few integers.

    tile_NF   one program each: rows of one sequence, whose query heads share a key head
    slot_S    the spans' slots, one after the other
    place_A   absolute positions of the spans' appended entries, one after the other
    seen_TW   32 appended entries a word, a bit each: what a row of a tree sees of them; a chain needs none

It is made once a step on the host, goes to the device in one copy, and serves every layer.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outrider.core.step import ROOT, Span, Step, ancestry

TILE_FIELDS = 12  # row, rows, entry, length, first, appended, is_tree, slot_begin, place_begin, three to fill up
MAX_TILE_BYTES = 32_768  # of queries in one program, as long as that is a row or more
MAX_TILE_ROWS = 64
MIN_TILE_ROWS = 16  # what tensor cores multiply at once
CHUNK = 256  # entries of a split, at least
MAX_SPLITS = 32
_WHOLE = 2**30
_ALIGNED = 4  # 32-bit numbers in what kernels load at once

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Heads:
    """How attention is cut: `rep` query heads for each of `groups` key heads, on so many processors.

    `head_bytes` is the size of a query.
    """

    rep: int
    groups: int
    head_bytes: int
    processors: int

    @property
    def most(self) -> int:
        """Rows times query heads that one program takes."""
        return max(min(MAX_TILE_ROWS, MAX_TILE_BYTES // _power(self.head_bytes)), _power(self.rep))


@dataclass(frozen=True, slots=True)
class Tiling:
    """What kernels are compiled and launched for: equal tilings make equal launches.

    Units: `slots`, `places` numbers, `words` a row of `seen`; `chunk` entries of a split.
    """

    block: int
    tiles: int
    splits: int
    chunk: int
    words: int
    slots: int
    places: int

    def padded(self) -> Tiling:
        """The bucket that this one fits in."""
        return replace(self, tiles=_power(self.tiles), words=_power(self.words),
                       slots=max(1024, _power(self.slots)), places=max(32, _power(self.places)))


@dataclass(frozen=True, slots=True, eq=False)
class HostPlan:
    """The numbers before they go to the device, in this order: tiles, places, bits."""

    tiling: Tiling
    tile_NF: Ints
    place_A: Ints
    seen_TW: Ints
    slots: tuple[Tensor, ...]

    def numbers(self, tiling: Tiling, num_rows: int) -> Tensor:
        """All of it in one row of int32, each part filled up with zeros to what `tiling` says."""
        tile_NF = np.zeros((tiling.tiles, TILE_FIELDS), np.int32)
        tile_NF[: len(self.tile_NF)] = self.tile_NF
        place_A = np.zeros(_rounded(tiling.places), np.int32)
        place_A[: len(self.place_A)] = self.place_A
        seen_TW = np.zeros((num_rows, tiling.words), np.int32)
        seen_TW[: len(self.seen_TW), : self.seen_TW.shape[1]] = self.seen_TW
        return torch.from_numpy(np.concatenate((tile_NF.ravel(), place_A, seen_TW.ravel())))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """On the device. Shapes: tile_NF int32 [N, 12], place_A int32 [A], seen_TW int32 [T, W], slot_S int64 [S]."""

    tiling: Tiling
    number_n: Tensor
    slot_S: Tensor

    @property
    def tile_NF(self) -> Tensor:
        return self.number_n[: self.tiling.tiles * TILE_FIELDS]

    @property
    def place_A(self) -> Tensor:
        return self.number_n[self.tiling.tiles * TILE_FIELDS :]

    @property
    def seen_TW(self) -> Tensor:
        return self.number_n[self.tiling.tiles * TILE_FIELDS + _rounded(self.tiling.places) :]

    def fill(self, host: HostPlan, num_rows: int) -> None:
        """Takes over a plan that fits, without a new address."""
        self.number_n.copy_(host.numbers(self.tiling, num_rows), non_blocking=True)
        slot_S = torch.cat(host.slots)
        self.slot_S[: len(slot_S)] = slot_S


@dataclass(frozen=True, slots=True)
class PlannedStep(Step):
    """A step that brings its plan: its tensors and the plan's keep their places from pass to pass."""

    plan: Plan | None = None


class Planner(threading.local):
    """Plans by step: a pass asks once a layer. Each thread remembers the last step."""

    def __init__(self) -> None:
        self._step: Step | None = None
        self._heads: Heads | None = None
        self._plan: Plan | None = None

    def plan(self, step: Step, heads: Heads) -> Plan:
        """Where the step brings one, that."""
        if isinstance(step, PlannedStep) and step.plan is not None:
            return step.plan
        if self._plan is None or step is not self._step or heads != self._heads:
            host = host_plan(step.spans, heads)
            self._plan = placed(host, host.tiling, len(step.token_T), step.slot_T.device)
            self._step, self._heads = step, heads
        return self._plan


def placed(host: HostPlan, tiling: Tiling, num_rows: int, device: torch.device) -> Plan:
    """A plan on the device with room for `tiling`, filled with `host`."""
    number_n = host.numbers(tiling, num_rows)
    if device.type == "cuda":
        number_n = number_n.pin_memory()
    slot_S = torch.zeros(max(1, tiling.slots), dtype=torch.int64, device=device)
    if host.slots:
        filled = torch.cat(host.slots)
        slot_S[: len(filled)] = filled
    return Plan(tiling, number_n.to(device, non_blocking=True), slot_S)


def host_plan(spans: Sequence[Span], heads: Heads) -> HostPlan:
    """What the spans of a step come to."""
    most = max((span.count for span in spans), default=1) * heads.rep
    block = min(max(_power(most), MIN_TILE_ROWS), heads.most)
    trees = [_is_tree(span) for span in spans]
    words = max((-(-len(span.parent_A) // 32) for span, tree in zip(spans, trees, strict=True) if tree), default=0)
    tile_NF, slot_begin, place_begin = [], 0, 0
    for span, tree in zip(spans, trees, strict=True):
        tile_NF += _tiles(span, tree, block // heads.rep, slot_begin, place_begin)
        slot_begin, place_begin = slot_begin + len(span.slot_L), place_begin + len(span.parent_A)
    longest = max((len(span.slot_L) for span in spans), default=0)
    chunk = _chunk(longest, len(tile_NF) * heads.groups, heads.processors)
    splits = _power(-(-longest // chunk)) if chunk < _WHOLE else 1  # a power: each number is another kernel
    tiling = Tiling(block, len(tile_NF), splits, chunk, words, slot_begin, place_begin)
    places = [place for span in spans for place in span.position_A]
    return HostPlan(tiling, np.array(tile_NF, np.int32).reshape(-1, TILE_FIELDS), np.array(places, np.int32),
                    _seen(spans, trees, words), tuple(span.slot_L for span in spans))


def _tiles(span: Span, tree: bool, rows: int, slot_begin: int, place_begin: int) -> list[list[int]]:
    fixed = [span.length, span.first, len(span.parent_A), int(tree), slot_begin, place_begin, 0, 0, 0]
    return [[span.begin + at, min(rows, span.count - at), span.done + at, *fixed] for at in range(0, span.count, rows)]


def _seen(spans: Sequence[Span], trees: Sequence[bool], words: int) -> Ints:
    seen_TW = np.zeros((max((span.begin + span.count for span in spans), default=0), words), np.int32)
    for span, tree in zip(spans, trees, strict=True):
        if not tree:
            continue
        packed = np.packbits(ancestry(span.parent_A).numpy()[span.done :], axis=1, bitorder="little")
        whole = np.zeros((span.count, words * 4), np.uint8)
        whole[:, : packed.shape[1]] = packed
        seen_TW[span.begin : span.begin + span.count] = whole.view("<i4")
    return seen_TW


def _chunk(longest: int, programs: int, processors: int) -> int:
    """Entries of a split: few programs share the entries among more, many take all there are."""
    if programs >= 2 * processors or longest <= CHUNK:
        return _WHOLE
    return max(CHUNK, _power(-(-longest // MAX_SPLITS)))


def _is_tree(span: Span) -> bool:
    return list(span.parent_A) != list(range(ROOT, len(span.parent_A) - 1))


def _power(count: int) -> int:
    """The next power of two; 0 for 0."""
    return 1 << (count - 1).bit_length() if count > 0 else 0


def _rounded(count: int) -> int:
    return -(-count // _ALIGNED) * _ALIGNED
