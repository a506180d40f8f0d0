"""`PassPrice`: the seconds that a pass of the target takes, measured once and corrected by every pass since.

    T(loads) = T0(rows of all loads) + sum over loads of context * slope(rows of the load)

    price of a grid point = step of that point + shift    shift: what every pass takes longer than it did at first
    slope                 = incline * slope               incline: attention against the rest

An observed pass moves the two steps around its rows by a little. What several passes in a row agree on is believed at
once, of all sizes: memory that is shared changes its speed by half within seconds, and plain and drafted rounds have to
be compared at the same speed. It is a shift and not a factor, because slow memory hides the work on further rows.
A single hiccup tells nothing. Where several passes in a row take less than half of what was measured, or more than
twice as long, it was another machine that was measured, or a busy one: all prices are scaled.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from outrider.policy.interface import Load

MAX_ROWS = 512
_SHORTEST_S, _LONGEST_S = 1e-9, 1e5  # what lies outside is damage
_RATE = 0.1
_QUICK, _REMEMBERED = 0.5, 3  # how far the shift follows, where so many surprises point the same way
_SURPRISE = 0.4  # a pass counts as this much slower or faster at most: hiccups are common and tell nothing
_MOST = 4.0  # times the measured price, and as many times less
_DEEPEST = 0.75  # of the smallest step, that the shift takes away at most
_STALE = 0.015
_WRONG = 2.0  # times the price or half of it: no correction but another price
_BEYOND = 0.5


@dataclass(frozen=True, slots=True)
class Curve:
    """A price by grid points: seconds of a pass by its rows, and of a token of context by the rows behind it.

    Raises: ValueError unless rows ascend and prices are finite, not negative and never fall; a pass has to cost.
    """

    rows_n: tuple[int, ...]
    base_n: tuple[float, ...]
    context_rows_n: tuple[int, ...]
    slope_n: tuple[float, ...]

    def __post_init__(self) -> None:
        _check("rows", self.rows_n, self.base_n)
        _check("context rows", self.context_rows_n, self.slope_n)
        if self.base_n[0] < _SHORTEST_S:
            raise ValueError("a pass that takes no time")


class PassPrice:
    """`base_s` is T0 by rows and `context_s` the slope by rows of a sequence, both with index 0 … MAX_ROWS.

    The lists stay the same objects; corrections write into them. `scale` is by what all prices were multiplied, and
    `on_wrong` is called where that is so little that a busy machine must have been measured.
    """

    def __init__(self, curve: Curve, on_wrong: Callable[[], None] = lambda: None) -> None:
        self._measured, self._on_wrong = curve, on_wrong
        self._last_ratios: list[float] = []  # of what passes took, to their prices
        self.scale = 1.0
        self._rows_n = list(curve.rows_n)
        self._step_n = list(curve.base_n)
        self._shift_s, self._incline = 0.0, 1.0
        self._surprises: list[float] = []  # the last ones
        self._shown_n, self._shown_incline = [0.0], 0.0  # what the lists were made of
        self._slope_s = _expanded(curve.context_rows_n, curve.slope_n)
        self.base_s: list[float] = []
        self.context_s: list[float] = []
        self._expand()

    @property
    def curve(self) -> Curve:
        """As corrected, for saving."""
        return Curve(self._measured.rows_n, tuple(self._shift_s + step for step in self._step_n),
                     self._measured.context_rows_n, tuple(self._incline * at for at in self._measured.slope_n))

    def seconds(self, loads: Sequence[Load]) -> float:
        """The price of a pass; none costs nothing."""
        rows, context_s, spent_s = 0, self.context_s, 0.0
        for load in loads:
            rows += load.rows
            spent_s += load.context * context_s[min(load.rows, MAX_ROWS)]
        if rows <= MAX_ROWS:
            return spent_s + self.base_s[rows]
        return spent_s + self.base_s[-1] + (rows - MAX_ROWS) * (self.base_s[-1] - self.base_s[-2])

    def observe(self, loads: Sequence[Load], seconds: float) -> None:
        """A pass took so long. Passes of more than MAX_ROWS rows tell nothing: those are prompts, without logits."""
        rows, slope_s, attention_s = 0, self._slope_s, 0.0
        for load in loads:
            rows += load.rows
            attention_s += load.context * slope_s[min(load.rows, MAX_ROWS)]
        if not 0 < rows <= MAX_ROWS or not 0.0 < seconds < _LONGEST_S:
            return
        below = max(0, bisect_right(self._rows_n, rows) - 1)
        above = min(below + 1, len(self._rows_n) - 1)
        weight = self._weight(below, above, rows)
        base_s = self._base(below, above, weight, rows)
        attention_s *= self._incline
        ratio = seconds / (base_s + attention_s)
        if self._is_wrong(ratio):
            return self._scale(min(self._last_ratios, key=lambda one: abs(math.log(one))))
        surprise = min(max(ratio - 1.0, -_SURPRISE), _SURPRISE)
        share = attention_s / (base_s + attention_s)
        self._correct(below, above, weight, _RATE * surprise * (1.0 - share))
        self._incline = _bounded(self._incline * (1.0 + _RATE * surprise * share))
        self._follow(surprise * (1.0 - share))
        self._refresh(below, above)

    def _is_wrong(self, ratio: float) -> bool:
        """Whether the last passes all took far less, or all far longer, than they should."""
        last = self._last_ratios = [*self._last_ratios[1 - _REMEMBERED :], ratio]
        return len(last) == _REMEMBERED and (min(last) > _WRONG or max(last) < 1.0 / _WRONG)

    def _scale(self, factor: float) -> None:
        """Prices of another machine, as it were: of the same shape, so many times as high."""
        self.scale *= factor
        base_n, slope_n = ([min(factor * at, _LONGEST_S) for at in values]
                           for values in (self.curve.base_n, self.curve.slope_n))
        self._measured = replace(self._measured, base_n=tuple(max(at, _SHORTEST_S) for at in base_n),
                                 slope_n=tuple(slope_n))
        self._step_n = list(self._measured.base_n)
        self._slope_s = _expanded(self._measured.context_rows_n, self._measured.slope_n)
        self._shift_s, self._incline, self._shown_incline = 0.0, 1.0, 0.0
        self._surprises, self._last_ratios = [], []
        self._expand()
        if self.scale < 1.0 / _WRONG:
            self._on_wrong()

    def _follow(self, surprise: float) -> None:
        """Moves the shift where the last surprises point the same way: by most of what the least of them says."""
        last = self._surprises = [*self._surprises[1 - _REMEMBERED :], surprise]
        if len(last) == _REMEMBERED and (min(last) > 0.0 or max(last) < 0.0):
            moved_s = self._shift_s + _QUICK * min(last, key=abs) * (self._shift_s + self._step_n[0])
            self._shift_s = min(moved_s, (_MOST - 1.0) * self._measured.base_n[0])
        self._shift_s = max(self._shift_s, -_DEEPEST * self._step_n[0])

    def _weight(self, below: int, above: int, rows: int) -> float:
        """How near to the upper one of two grid points."""
        if below == above or rows <= self._rows_n[below]:
            return 0.0
        return (rows - self._rows_n[below]) / (self._rows_n[above] - self._rows_n[below])

    def _base(self, below: int, above: int, weight: float, rows: int) -> float:
        """T0 of the steps as they are now; beyond the grid, that of the list."""
        step_s = self._shift_s + self._step_n[below]
        if below == above and rows > self._rows_n[below]:
            return step_s * self.base_s[rows] / self._shown_n[below]
        return step_s + weight * (self._step_n[above] - self._step_n[below])

    def _correct(self, below: int, above: int, weight: float, move: float) -> None:
        """Moves two steps by their share, and keeps order."""
        step_n, first_n = self._step_n, self._measured.base_n
        for point, part in ((below, 1.0 - weight), (above, weight)):
            factor = (step_n[point] + move * part * (self._shift_s + step_n[point])) / first_n[point]
            step_n[point] = first_n[point] * _bounded(factor)
        if move < 0.0:
            step_n[below] = min(step_n[below], step_n[above])
        else:
            step_n[above] = max(step_n[below], step_n[above])
        self._order(below, above)

    def _order(self, below: int, above: int) -> None:
        """Points that were not visited give way, so that more rows never cost less."""
        step_n = self._step_n
        for point in range(above + 1, len(step_n)):
            if step_n[point] >= step_n[point - 1]:
                break
            step_n[point] = step_n[point - 1]
        for point in range(below - 1, -1, -1):
            if step_n[point] <= step_n[point + 1]:
                break
            step_n[point] = step_n[point + 1]

    def _refresh(self, below: int, above: int) -> None:
        """Writes the lists anew once something in them has moved so far that it may matter."""
        moved = abs(self._incline - self._shown_incline) > _STALE * self._shown_incline
        for point in (below, above):
            shown = self._shown_n[point]
            moved = moved or abs(self._shift_s + self._step_n[point] - shown) > _STALE * shown
        if moved:
            self._expand()

    def _expand(self) -> None:
        self._shown_n = [self._shift_s + step for step in self._step_n]
        self.base_s[:] = _expanded(self._rows_n, self._shown_n, _BEYOND)
        if self._shown_incline != self._incline:
            self._shown_incline = self._incline
            self.context_s[:] = [self._incline * slope for slope in self._slope_s]


def _expanded(rows_n: Sequence[int], value_n: Sequence[float], beyond: float = 0.0) -> list[float]:
    """Values at 0 … MAX_ROWS: 0 first, straight lines between the points and on behind the last one.

    Below the first point the first value holds. A single point says nothing of others: every row costs as much. Where
    there was no time to measure large passes, the last points may lie on a plain that does not go on for ever: behind
    it a row costs `beyond` of the mean of those before at least.
    """
    last, mean = rows_n[-1], value_n[-1] / rows_n[-1]
    rise = mean if len(rows_n) == 1 else max(beyond * mean, (value_n[-1] - value_n[-2]) / (last - rows_n[-2]))
    at = np.arange(MAX_ROWS + 1)
    values = np.interp(at, rows_n, value_n) + rise * np.maximum(at - last, 0)
    values[0] = 0.0
    expanded: list[float] = np.maximum.accumulate(values).tolist()  # lines may err in the last bit
    return expanded


def _bounded(factor: float) -> float:
    return min(max(factor, 1.0 / _MOST), _MOST)


def _check(what: str, rows_n: Sequence[int], value_n: Sequence[float]) -> None:
    """Raises: ValueError."""
    if not rows_n or len(rows_n) != len(value_n):
        raise ValueError(f"{len(rows_n)} {what} with {len(value_n)} prices")
    if rows_n[0] < 1 or rows_n[-1] > MAX_ROWS or any(b <= a for a, b in pairwise(rows_n)):
        raise ValueError(f"{what} {list(rows_n)} do not ascend within 1 … {MAX_ROWS}")
    if not all(math.isfinite(value) and 0.0 <= value <= _LONGEST_S for value in value_n):
        raise ValueError(f"prices of {what} that are no durations")
    if any(b < a for a, b in pairwise(value_n)):
        raise ValueError(f"prices of {what} that fall")
