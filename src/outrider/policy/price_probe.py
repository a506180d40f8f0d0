"""Measuring the price of a pass on a target as it stands: a second or so for models that answer at reading speed.

A long context is made up: nothing is computed for it, its entries are zeros, and they take as long to read as others.
Passes of all sizes and contexts take turns in a random order, each size the sooner and the oftener the smaller it is.
Noise only ever adds to a time, so the shortest counts, and what is left of the time goes to those that stick out.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from outrider.cache.kv import KVCache
from outrider.core.tree import DraftTree
from outrider.policy.pass_price import Curve
from outrider.target.interface import Target
from outrider.target.pack import Entry, pack

SIZES = (1, 2, 3, 4, 6, 8, 9, 12, 13, 16, 24, 32, 48, 64, 96)  # behind 8 and 12 kernels often need another tile
CONTEXT_SIZES = (1, 2, 4, 8, 16, 32, 64)
_CONTEXT = 2048
_ROOM = 128  # rows behind the context
_PASSES = 100  # of one row: the time that is enough, once every size had its turn,
_LEAST_S, _ENOUGH_S = 0.6, 1.4  # within these bounds
_MOST_S = 3.0  # after which sizes are left out
_MOST_TRIES = 4
_ODD = 0.03  # what sticks out by more than this share of its time was perhaps disturbed


@dataclass(frozen=True, slots=True)
class _Point:
    """A pass of `rows` behind `context` tokens."""

    rows: int
    context: int


def probe_context(target: Target) -> int:
    """Tokens of context behind which slopes are measured; 0 where they cannot be.

    Targets without trees may keep states instead of entries: they would have to compute a context that is made up.
    """
    return max(0, min(_CONTEXT, target.context - _ROOM)) if target.info.trees else 0


def measured(target: Target, clock: Callable[[], float] = time.perf_counter) -> Curve:
    """The price of a pass of this target. Nothing else should run on the machine meanwhile."""
    return _Probe(target, clock).curve()


class _Probe:
    def __init__(self, target: Target, clock: Callable[[], float]) -> None:
        self._target, self._clock = target, clock
        self._context = probe_context(target)
        most = min(_ROOM, target.context)
        self._sizes = [rows for rows in SIZES if rows <= most]
        self._context_sizes = [rows for rows in CONTEXT_SIZES if self._context]
        self._cache: KVCache[Any] = target.new_cache(self._context + 2 * _ROOM)
        self._rows: dict[int, int] = {}
        self._best: dict[_Point, float] = {}
        self._tries: Counter[_Point] = Counter()

    def curve(self) -> Curve:
        """Measures."""
        self._prepare()
        one = _Point(1, 0)
        for _ in range(2):
            self._time(one)
        begin_s = self._clock()
        self._take_turns(self._first_turns(), begin_s + _MOST_S)
        self._take_turns(self._more_turns(), begin_s + min(max(_PASSES * self._best[one], _LEAST_S), _ENOUGH_S))
        for row in self._rows.values():
            self._cache.release(row)
        return self._shaped()

    def _prepare(self) -> None:
        """Rows of the cache, and first passes, which set things up; on devices those of every size do."""
        self._rows[0] = self._cache.open()
        self._pass_s(_Point(1, 0))
        if self._context:
            self._rows[self._context] = _made_up(self._cache, self._context)
            self._pass_s(_Point(1, self._context))
        if self._target.device.type != "cpu":
            for point in self._points(1, _ROOM):
                self._pass_s(point)

    def _points(self, least: int, most: int) -> list[_Point]:
        """Those of so many rows."""
        points = [*(_Point(rows, 0) for rows in self._sizes),
                  *(_Point(rows, self._context) for rows in self._context_sizes)]
        return [point for point in points if least <= point.rows <= most]

    def _take_turns(self, points: Iterable[_Point], deadline: float) -> None:
        for point in points:
            if self._clock() + self._expected_s(point) <= deadline:
                self._time(point)
            else:
                self._tries[point] = _MOST_TRIES

    def _first_turns(self) -> Iterator[_Point]:
        for least, most in ((1, 8), (9, 32), (1, 8)):
            yield from self._shuffled(least, most)
        yield from self._points(64, 64)[:1]  # behind the context it would take as long as many others

    def _more_turns(self) -> Iterator[_Point]:
        while point := self._suspect():
            yield point
        for least, most in ((1, 8), (33, _ROOM), (1, _ROOM)):
            yield from self._shuffled(least, most)

    def _shuffled(self, least: int, most: int) -> list[_Point]:
        points = self._points(least, most)
        return random.Random(least).sample(points, len(points))

    def _suspect(self) -> _Point | None:
        """The point that lies farthest above the line through its two nearest neighbours."""
        odd: dict[_Point, float] = {}
        for context in self._rows:
            seen = sorted(point.rows for point in self._best if point.context == context)
            for index, rows in enumerate(seen if len(seen) > 2 else ()):
                first = min(max(index - 1, 0), len(seen) - 3)
                left, right = (_Point(near, context) for near in seen[first : first + 3] if near != rows)
                rise = (self._best[right] - self._best[left]) / (right.rows - left.rows)
                line_s = self._best[left] + rise * (rows - left.rows)
                odd[_Point(rows, context)] = 1.0 - line_s / self._best[_Point(rows, context)]
        odd = {point: share for point, share in odd.items() if share > _ODD and self._tries[point] < _MOST_TRIES}
        return max(odd, key=odd.__getitem__, default=None)

    def _expected_s(self, point: _Point) -> float:
        """As if every row cost what the rows of the nearest smaller pass did."""
        known = [(seen.rows, seconds) for seen, seconds in self._best.items() if seen.rows <= point.rows]
        rows, seconds = max(known)
        return seconds * point.rows / rows

    def _time(self, point: _Point) -> None:
        self._tries[point] += 1
        self._best[point] = min(self._pass_s(point), self._best.get(point, float("inf")))

    def _pass_s(self, point: _Point) -> float:
        """Time of one pass until a logit is at hand; the next one overwrites what it appends."""
        tokens = _text(self._target.vocab_size, point.rows)
        entry = Entry(self._rows[point.context], tokens[:1], DraftTree.chain(tokens[1:]))
        step = pack(self._cache, [entry], self._target.device)
        begin_s = self._clock()
        self._target.forward(step, self._cache).logits_RV[-1, 0].item()
        return self._clock() - begin_s

    def _shaped(self) -> Curve:
        sizes, base_n = self._cleaned(0)
        longer, seconds_n = self._cleaned(self._context) if self._context else ((), ())
        base = dict(zip(sizes, base_n, strict=True))
        both = [(rows, seconds - base[rows]) for rows, seconds in zip(longer, seconds_n, strict=True) if rows in base]
        slopes = _levelled([max(0.0, seconds) / self._context for _, seconds in both])
        return Curve(sizes, base_n, tuple(rows for rows, _ in both) or (1,), slopes or (0.0,))

    def _cleaned(self, context: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Sizes and their times behind a context."""
        sizes = tuple(sorted(point.rows for point in self._best if point.context == context))
        return sizes, _ascending([max(self._best[_Point(rows, context)], 1e-7) for rows in sizes])


def _made_up(cache: KVCache[Any], context: int) -> int:
    """A row with `context` entries that nothing was computed for.

    They are moved by one slot: memory that was never written to is not there, and would be read in no time.
    """
    row = cache.open()
    cache.reserve(row, context + 1)
    cache.keep(row, _text(1 << 30, context), range(1, context + 1))
    return row


def _text(vocab_size: int, count: int) -> list[int]:
    """Tokens of no meaning: the time does not depend on what they are."""
    return [(7919 * index + 11) % vocab_size for index in range(count)]


def _ascending(value_n: Sequence[float]) -> tuple[float, ...]:
    """A time above that of a larger pass is noise: the larger one's is nearer to the truth."""
    ascending: list[float] = []
    for value in reversed(value_n):
        ascending.append(min([value, *ascending[-1:]]))
    return tuple(reversed(ascending))


def _levelled(value_n: Sequence[float]) -> tuple[float, ...]:
    """Differences err both ways: those that fall get their mean.

    Source: pool adjacent violators; Ayer et al., An Empirical Distribution Function for Sampling with Incomplete
    Information, 1955.
    """
    pools: list[list[float]] = []
    for value in value_n:
        pools.append([value])
        while len(pools) > 1 and fmean(pools[-2]) >= fmean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    return tuple(fmean(pool) for pool in pools for _ in pool)
