"""The price of a pass from what `outrider bench cost --json` printed, perhaps on another machine."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

from outrider.errors import ConfigError, UnknownReferenceError
from outrider.policy.pass_price import Curve


def read_curve(path: Path) -> Curve:
    """The price in a file whose last line is that document. Raises: UnknownReferenceError, ConfigError."""
    path = path.expanduser()
    if not path.is_file():
        raise UnknownReferenceError(f"--curve: no file at '{path}'; expected what 'outrider bench cost --json' prints")
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        return _curve({(int(row["context"]), int(row["n"])): 1e-3 * float(row["ms"])
                       for row in json.loads(lines[-1])["rows"]})
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise ConfigError(f"--curve: '{path}' does not end with what 'outrider bench cost --json' prints") from None


def _curve(seconds: dict[tuple[int, int], float]) -> Curve:
    """Straight lines between the shortest and the longest context. Raises: ValueError for times that are none."""
    contexts = sorted({context for context, _ in seconds})
    near, far = contexts[0], contexts[-1]
    sizes = sorted(n for context, n in seconds if context == near and (far, n) in seconds)
    slopes = [0.0] * len(sizes) if near == far else \
        [max(0.0, seconds[far, n] - seconds[near, n]) / (far - near) for n in sizes]
    base = [seconds[near, n] - near * slope for n, slope in zip(sizes, slopes, strict=True)]
    return Curve(tuple(sizes), _rising(base), tuple(sizes), _rising(slopes))


def _rising(value_n: list[float]) -> tuple[float, ...]:
    """Prices that fall are noise: the one before holds."""
    return tuple(accumulate(value_n, max))
