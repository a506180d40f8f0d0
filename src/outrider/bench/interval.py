"""How sure a mean of few pairs is: the 95 % interval by Student's t, in closed form.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_SURE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a mean ratio, in the geometric sense."""

    low: float
    high: float


def ratio_interval(ratios: Sequence[float]) -> Interval | None:
    """Where the mean of the logarithms of what these were drawn from lies, as ratios; None for fewer than two."""
    if len(ratios) < 2 or min(ratios) <= 0.0:
        return None
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    half = student_t(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(math.exp(mean - half), math.exp(mean + half))


@cache
def student_t(freedom: int) -> float:
    """What |t| exceeds with a chance of 5 %, found by halving an interval."""
    low, high = 0.0, 16.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < _SURE else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """The chance of at most |t|."""
    angle = math.atan(t / math.sqrt(freedom))
    term = series = math.cos(angle) if freedom % 2 else 1.0
    for number in range(3 if freedom % 2 else 2, freedom, 2):
        term *= math.cos(angle) ** 2 * (number - 1) / number
        series += term
    if freedom % 2 == 0:
        return math.sin(angle) * series
    return 2.0 / math.pi * (angle + (math.sin(angle) * series if freedom > 1 else 0.0))
