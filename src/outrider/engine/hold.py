"""What one sequence may say next, bit by bit, and rows of logits without the rest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outrider.core.constraint import ConstraintState
from outrider.engine.sequence import Sequence

Bits = NDArray[np.uint8]
Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hold:
    """One sequence's limits, `depth` tokens behind its anchor, its constraint standing there.

    None of `stops` may come before `missing` tokens have, unless nothing else can. Bits: token t is bit t % 8 of byte
    t // 8; `size` tokens.
    """

    constraint: ConstraintState | None
    stops: frozenset[int]
    missing: int
    size: int

    @classmethod
    def of(cls, sequence: Sequence, position: int, eos_ids: Collection[int], size: int) -> Hold:
        """`position` is where the token behind the anchor will stand."""
        stops = frozenset(token for token in sequence.stop_ids(eos_ids) if token < size)
        return cls(sequence.constraint, stops, sequence.sampling.min_tokens - (position - sequence.num_prompt), size)

    def may_say(self, token: int, depth: int) -> bool:
        """False where only the mask can tell."""
        if depth < self.missing and token in self.stops:
            return False
        return self.constraint is None or self.constraint.allows(token)

    def only(self) -> int | None:
        """The token that must come, if the constraint leaves but one."""
        forced = [] if self.constraint is None else self.constraint.forced()
        return forced[0] if forced else None

    def mask(self, depth: int) -> Bits:
        """What may be said, without asking the logits."""
        bits = all_of(self.size) if self.constraint is None else _fitted(self.constraint.mask(), self.size)
        if depth >= self.missing:
            return bits
        without = bits.copy()
        for token in self.stops:
            without[token // 8] &= ~np.uint8(1 << token % 8)
        return without if without.any() else bits


def all_of(size: int) -> Bits:
    """The mask that allows every token."""
    return np.packbits(np.ones(size, np.bool_), bitorder="little")


def _fitted(mask: bytes, size: int) -> Bits:
    bits = np.zeros((size + 7) // 8, np.uint8)
    given = np.frombuffer(mask, np.uint8)[: len(bits)]
    bits[: len(given)] = given
    if size % 8:
        bits[-1] &= (1 << size % 8) - 1
    return bits


def keep_only(kept_V: Row, logits_V: Row, bits: Bits) -> None:
    """Writes the logits of allowed tokens, -inf elsewhere: by the few that are allowed, or by the few that are not."""
    allowed_V = np.unpackbits(bits, count=len(logits_V), bitorder="little").view(np.bool_)
    if 2 * np.count_nonzero(allowed_V) < len(allowed_V):
        few = np.flatnonzero(allowed_V)
        kept_V.fill(-np.inf)
        kept_V[few] = logits_V[few]
    else:
        np.copyto(kept_V, logits_V)
        kept_V[np.flatnonzero(~allowed_V)] = -np.inf
