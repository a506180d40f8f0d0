"""The circumstances that must not show in a single token, and a few runs in which every two of them meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product


@dataclass(frozen=True, slots=True)
class Setting:
    """`batch` requests at once, prompts in chunks of `prefill` tokens, `threads` (0: as loaded); `warm` after the same
    requests have run once, so that prefixes come from the cache and drafters remember.
    """

    batch: int = 1
    prefill: int = 512
    threads: int = 0
    warm: bool = False

    def pairs(self) -> set[tuple[tuple[int, int], ...]]:
        """Every two of its choices, each with the place it stands in."""
        return set(combinations(enumerate((self.batch, self.prefill, self.threads, int(self.warm))), 2))


def covering(batch: Sequence[int], prefill: Sequence[int], threads: Sequence[int],
             warm: Sequence[bool]) -> list[Setting]:
    """Few settings in which every two choices meet at least once, found greedily; fewer than the whole product."""
    every = [Setting(*choices) for choices in product(batch, prefill, threads, warm)]
    missing = set().union(*(setting.pairs() for setting in every))
    found = []
    while missing:
        best = max(every, key=lambda setting: len(setting.pairs() & missing))
        missing -= best.pairs()
        found.append(best)
    return found
