"""Time that may be spent on finding out, as a share of all time.

What is spent on a guess that seems bad comes out of an account into which every round pays. Where tries are judged, the
share falls by half with each that confirms the guess, down to an eighth, and is whole again after one that refutes it.
"""

from __future__ import annotations

_LEAST = 0.125
_FULL_S = 2.0  # more is not saved up


class Allowance:
    """`share` of all time goes in."""

    def __init__(self, share: float) -> None:
        self._share, self._part = share, 1.0
        self._saved_s = self._wanted_s = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether there is enough for what was last found too dear; asked before a price is worked out."""
        return self._saved_s > self._wanted_s

    def earn(self, seconds: float) -> None:
        """A round took so long."""
        self._saved_s = min(_FULL_S, self._saved_s + self._share * self._part * seconds)

    def spend(self, seconds: float) -> bool:
        """Takes so much out if it is there; otherwise waits until it is."""
        if seconds > self._saved_s:
            self._wanted_s = seconds
            return False
        self._saved_s -= seconds
        self._wanted_s = seconds / 2
        return True

    def judge(self, was_good: bool) -> None:
        """What became of the last try."""
        self._part = 1.0 if was_good else max(_LEAST, self._part / 2)
