"""Spans of a sequence in a paged cache that is NaN wherever the span owns nothing, and what attention makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from native_rows import Attention, Floats, Pages, RowKernels, Span, pointer

ROOT = -1
BLOCK = 16
NOWHERE = 2**40  # a slot that crashes whoever looks it up


@dataclass(frozen=True, slots=True)
class Shape:
    heads: int
    groups: int
    size: int
    softcap: float = 0.0
    window: int = 0
    both_ways: bool = False

    @property
    def scale(self) -> float:
        return float(np.float32(self.size**-0.5))


@dataclass(frozen=True, slots=True)
class Story:
    """Shapes: query [entries, heads, size]; key and value [length + entries, groups, size]; rows by entry."""

    shape: Shape
    length: int
    parent: tuple[int, ...]
    query: Floats
    key: NDArray[np.float16]
    value: NDArray[np.float16]
    first: int = 0

    def path(self, entry: int) -> list[int]:
        """Appended entries that one sees, itself last."""
        found = []
        while entry != ROOT:
            found.append(entry)
            entry = self.parent[entry]
        return found[::-1]

    def seen(self, entry: int) -> list[int]:
        """Rows of key and value that an entry sees, in order of position."""
        if self.shape.both_ways:  # a chain
            own, rows = self.length + entry, list(range(self.length + len(self.parent)))
        else:
            rows = [*range(self.length), *(self.length + one for one in self.path(entry))]
            own = len(rows) - 1
        window = self.shape.window or len(rows)
        return rows[max(own - window + 1, min(self.first, self.length), 0) : own + window]

    def renumbered(self, order: Sequence[int]) -> Story:
        """The same tree with its entries in another order, parents still before children."""
        rank = {old: new for new, old in enumerate(order)} | {ROOT: ROOT}
        rows = [*range(self.length), *(self.length + old for old in order)]
        return replace(self, parent=tuple(rank[self.parent[old]] for old in order), query=self.query[list(order)],
                       key=self.key[rows], value=self.value[rows])

    def committed(self, entry: int) -> Story:
        """That entry alone, its ancestors committed before it."""
        path = self.path(entry)
        rows = [*range(self.length), *(self.length + one for one in path)]
        return replace(self, length=self.length + len(path) - 1, parent=(ROOT,), query=self.query[[entry]],
                       key=self.key[rows], value=self.value[rows])


def random_sequence(shape: Shape, length: int, parent: Sequence[int], seed: int) -> Story:
    random = np.random.default_rng(seed)
    rows = length + len(parent)
    key, value = (np.float16(random.standard_normal((rows, shape.groups, shape.size))) for _ in range(2))
    query = np.float32(random.standard_normal((len(parent), shape.heads, shape.size)) * 1.5)
    return Story(shape, length, tuple(parent), query, key, value)


def expected(sequence: Story) -> np.ndarray:
    """Attention in float64, an entry and a head at a time."""
    shape = sequence.shape
    out = np.empty(sequence.query.shape)
    for entry, head in np.ndindex(len(sequence.parent), shape.heads):
        seen, group = sequence.seen(entry), head // (shape.heads // shape.groups)
        score = sequence.key[seen, group].astype(np.float64) @ sequence.query[entry, head] * shape.scale
        if shape.softcap:
            score = shape.softcap * np.tanh(score / shape.softcap)
        weight = np.exp(score - score.max())
        out[entry, head] = weight @ sequence.value[seen, group].astype(np.float64) / weight.sum()
    return out


@dataclass(frozen=True, slots=True)
class Cache:
    """A sequence's entries in pages of a shuffled order; everything else is NaN."""

    key: NDArray[np.float16]
    value: NDArray[np.float16]
    slot: NDArray[np.int64]


def paged(sequence: Story, seed: int, *, forget: int = 0) -> Cache:
    """Blocks that hold only positions below `forget` are given up: their slots lead nowhere."""
    shape, rows = sequence.shape, len(sequence.key)
    blocks = -(-rows // BLOCK)
    table = np.random.default_rng(seed).permutation(blocks + 3)[:blocks]
    at = np.arange(rows)
    slot = table[at // BLOCK] * BLOCK + at % BLOCK
    key = np.full((blocks + 3, shape.groups, shape.size, BLOCK), np.nan, np.float16)
    value = np.full((blocks + 3, shape.groups, BLOCK, shape.size), np.nan, np.float16)
    kept = at >= forget // BLOCK * BLOCK
    key[slot[kept] // BLOCK, :, :, slot[kept] % BLOCK] = sequence.key[kept]
    value[slot[kept] // BLOCK, :, slot[kept] % BLOCK] = sequence.value[kept]
    slot[~kept] = NOWHERE
    return Cache(key, value, slot)


def attended(kernels: RowKernels, sequence: Story, cache: Cache | None = None, *, done: int = 0,
             cuts: Sequence[int] = ()) -> Floats:
    """Rows done … of the sequence, [count, heads, size]; a head's queries by ranges that end at the cuts."""
    cache = cache or paged(sequence, 0)
    shape, count = sequence.shape, len(sequence.parent) - done
    query = np.ascontiguousarray(sequence.query[done:])
    out = np.full_like(query, np.nan)
    parent = np.array(sequence.parent, np.int32)
    call = Attention(pointer(query), Pages(pointer(cache.key), pointer(cache.value)), pointer(out), shape.heads,
                     shape.groups, shape.size, shape.scale, shape.softcap, shape.window, int(shape.both_ways))
    span = Span(0, count, sequence.length, done, sequence.first, pointer(cache.slot), pointer(parent))
    end = count * (shape.heads // shape.groups)
    edges = sorted({0, end, *(cut % (end + 1) for cut in cuts)})
    for group in range(shape.groups):
        for begin, last in pairwise(edges):
            kernels.attend(call, span, group, begin, last)
    return out
