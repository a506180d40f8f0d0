"""Where a sequence is copying from: edits copy a text in order, so after a change the copy goes on close by.

    source   … a b c d e f g h  x y  i j k …        earlier in the same text
                             ▲ place
    output   … a b c d e f g h  z    i              the newest token is `i`: of all its occurrences, the one near
                             ▲ since                `place` is the likely source, however short the match

Measured on edited files, the successor of a match of 2, 3 or 4 tokens was right 80, 91 and 92 times in 100 near the
last place, 32, 44 and 61 times elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRM_MATCH = 8
_BACK, _AHEAD, _MAX_ELAPSED = 8, 32, 24
_LONGEST = 16
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Source:
    """The position of the next token to copy, and how many tokens agree before it."""

    position: int
    length: int


@dataclass(slots=True)
class Alignment:
    """`place` is where the last firm match ended in the source, `since` where it ended in the sequence."""

    place: int = NOWHERE
    since: int = 0

    def observe(self, match_end: int, match_length: int, here: int) -> None:
        """After each token: the longest earlier match, and the position of that token."""
        if match_length >= FIRM_MATCH:
            self.place, self.since = match_end, here

    def resume(self, token_n: Sequence[int]) -> Source | None:
        """Where to copy on, near the last place, if the newest token is found there.

        The longest match wins, then one behind the place, then the first.
        """
        here = len(token_n) - 1
        elapsed = here - self.since
        if self.place == NOWHERE or elapsed > _MAX_ELAPSED:
            return None
        start, stop = max(self.place - _BACK, 0), min(self.place + elapsed + _AHEAD, here)
        best: Source | None = None
        for end in range(start, stop):
            if token_n[end] != token_n[here]:
                continue
            found = Source(end + 1, _common_suffix(token_n, end, here))
            if best is None or self._rank(found) > self._rank(best):
                best = found
        return best

    def _rank(self, source: Source) -> tuple[int, bool]:
        return source.length, source.position > self.place + 1

    def copy(self) -> Alignment:
        return Alignment(self.place, self.since)


def _common_suffix(token_n: Sequence[int], one: int, other: int) -> int:
    length = 1
    while length < min(_LONGEST, one + 1) and token_n[one - length] == token_n[other - length]:
        length += 1
    return length
