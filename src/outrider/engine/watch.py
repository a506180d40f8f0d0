"""What an observer is told of every round, sequence by sequence, while the engine goes on as if nobody looked."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from outrider.core.tree import DraftTree
from outrider.engine.resolve import Settled
from outrider.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Times:
    """Where the seconds of a pass went, all of its sequences together."""

    draft_s: float
    target_s: float
    verify_s: float
    host_s: float

    @property
    def total_s(self) -> float:
        return self.draft_s + self.target_s + self.verify_s + self.host_s


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Sequences that run and that wait; tokens of the cache that are held, and how many there are."""

    running: int
    waiting: int
    cache_used: int
    cache_total: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One sequence's round: the nodes that were verified, those accepted (root to leaf), the tokens it gave."""

    sequence: Sequence
    tree: DraftTree
    path: tuple[int, ...]
    emitted: int
    times: Times


Observer = Callable[[Seen], None]


def tell(observer: Observer, settled: Seq[Settled], times: Times) -> None:
    """Of rounds only: what a prompt did is left out, its first token included."""
    for item in settled:
        verdict = item.commit.verdict
        if verdict is not None and item.part.is_round:
            observer(Seen(item.sequence, item.part.tree, verdict.path, item.emitted, times))
