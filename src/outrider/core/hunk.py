"""What a sequence made of a text that it copied, in positions of its own tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hunk:
    """Tokens `start` to `stop` of the source became tokens `put` to `end` of the copy; either may be none."""

    start: int
    stop: int
    put: int
    end: int


@dataclass(frozen=True, slots=True)
class News:
    """What the last commit brought: `output` is where the output begins, if it did just then, or else below zero;
    `hunks` are changes that were not made before.
    """

    output: int
    hunks: tuple[Hunk, ...]
