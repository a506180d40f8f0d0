"""What the engine asks of a policy, and what it tells it.

    start(limits) ──> track            a sequence begins
    draft(asks, beside) ──> trees      how much each decoding sequence verifies this round; empty is normal
    settle(fates, spent)               what became of it, and what the round took
    finish(track)                      the sequence is over
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from outrider.core.tree import Budget, DraftTree


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request allows: `members` is a bit set of the drafter's members (bit i: the i-th), `max_draft` nodes.

    A sequence that is verified by a ratio rule `draws`: how much of it is drafted has to be settled before anything is
    drawn.
    """

    members: int = -1
    max_draft: int = 1 << 30
    draws: bool = False


@dataclass(slots=True)
class Track:
    """What a policy remembers of one sequence; policies have kinds of their own."""

    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Ask:
    """A sequence that decodes this round: the drafter's state of it, the policy's track, what may be drafted at most.

    `context` tokens are in the cache; `remaining` may still be emitted.
    """

    state: Any
    track: Any
    room: Budget
    context: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Load:
    """A sequence's part of a pass: so many rows behind so many cached tokens."""

    rows: int
    context: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a draft: the accepted nodes, root to leaf."""

    track: Any
    tree: DraftTree
    path: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What a round took: the target's pass with its verification, and all else, in seconds.

    `loads` has every part of the pass, prompts included; `prefill` says whether there were any.
    """

    loads: tuple[Load, ...]
    target_s: float
    other_s: float
    prefill: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a sequence's draft is as large as it is.

    `offered` are nodes by member, -1 where it was not asked; of these `chosen` are verified. `tokens` are expected of
    the round, the target's own included, at a price of `seconds`; without a draft it would take `plain_seconds`.
    `why` is a few words.
    """

    offered: tuple[int, ...]
    chosen: int
    tokens: float
    seconds: float
    plain_seconds: float
    why: str


Explain = Callable[[Track, Reason], None]


class Policy(Protocol):
    """Decides, and learns."""

    def start(self, limits: Limits) -> Track:
        """A sequence begins."""

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        """A tree for every ask, within its room; `beside` rows of prompts are in the same pass."""

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        """The round is over; `fates` are those of its asks that chose tokens, in any order."""

    def finish(self, track: Any) -> None:
        """The sequence is over, at whatever point."""

    def explain(self, listener: Explain | None) -> None:
        """Tell a listener the reason of every draft, or nobody."""
