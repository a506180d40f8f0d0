"""What an observer is told of every round, sequence by sequence, while the engine goes on as if nobody looked."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from outrider.core.tree import DraftTree
from outrider.engine.plan import Plan
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


def tell(observer: Observer, plan: Plan, settled: Seq[Settled], times: Times) -> None:
    """Of rounds only: what a prompt did is left out, its first token included."""
    for part, item in zip(plan.parts, settled, strict=True):
        verdict = item.commit.verdict
        if verdict is not None and len(part.token_P) == 1 and item.sequence.num_output > item.emitted:
            observer(Seen(item.sequence, part.tree, verdict.path, item.emitted, times))
