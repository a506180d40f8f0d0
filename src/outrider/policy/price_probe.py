"""Measuring the price of a pass on a target as it stands: a second or so for models that answer at reading speed.

A long context is made up: nothing is computed for it, its entries are zeros, and they take as long to read as others.
Passes of all sizes and contexts take turns in a random order, each size the sooner and the oftener the smaller it is,
until the time is spent. Noise only ever adds to a time, so the shortest counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from outrider.cache.kv import KVCache
from outrider.core.tree import DraftTree
from outrider.policy.pass_price import Curve
from outrider.target.interface import Target
from outrider.target.pack import Entry, pack

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
CONTEXT_SIZES = (1, 2, 4, 8, 16, 32, 64)
_CONTEXT = 2048
_ROOM = 128  # rows behind the context
_PASSES = 70  # of one row: the time that may be spent
_MOST_S = 3.0


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

    def curve(self) -> Curve:
        """Measures."""
        self._prepare()
        one = _Point(1, 0)
        self._time(one)
        deadline = self._clock() + min(_PASSES * self._best[one], _MOST_S)
        for point in self._turns():
            if self._clock() + self._expected_s(point) <= deadline:
                self._time(point)
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

    def _turns(self) -> Iterable[_Point]:
        draw = random.Random(0)
        for least, most in ((1, 16), (17, 64), (1, 16), (65, _ROOM), (1, 16), (17, _ROOM)):
            points = self._points(least, most)
            yield from draw.sample(points, len(points))

    def _expected_s(self, point: _Point) -> float:
        """As if every row cost what the rows of the nearest smaller pass did."""
        known = [(seen.rows, seconds) for seen, seconds in self._best.items() if seen.rows <= point.rows]
        rows, seconds = max(known)
        return seconds * point.rows / rows

    def _time(self, point: _Point) -> None:
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
        sizes = [rows for rows in self._sizes if _Point(rows, 0) in self._best]
        both = [rows for rows in self._context_sizes if rows in sizes and _Point(rows, self._context) in self._best]
        longer_s = [self._best[_Point(rows, self._context)] - self._best[_Point(rows, 0)] for rows in both]
        slopes = _ascending([max(0.0, seconds) / self._context for seconds in longer_s])
        base = _ascending([max(self._best[_Point(rows, 0)], 1e-7) for rows in sizes])
        return Curve(tuple(sizes), base, tuple(both or [1]), slopes or (0.0,))


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
