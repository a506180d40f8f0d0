"""A journal of rounds: what was drafted, by whom, why that much, what was accepted, what it cost.

The policy gives the reason of a draft, the engine what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from outrider.drafting.interface import Drafter
from outrider.drafting.merge import shifts
from outrider.engine.engine import Engine
from outrider.engine.limits import member_names
from outrider.engine.watch import Seen, Times
from outrider.policy.interface import Reason, Track


@dataclass(frozen=True, slots=True)
class Entry:
    """One round, behind `tokens` emitted ones: the policy's reason, the nodes verified and those accepted, also by
    member (several may share a node), the tokens it gave and the times of its pass.
    """

    tokens: int
    reason: Reason
    verified: int
    accepted: int
    accepted_by: tuple[int, ...]
    emitted: int
    times: Times


class Journal:
    """Rounds in order. `names` are those of the drafter's members."""

    def __init__(self, drafter: Drafter[Any]) -> None:
        self.names = tuple(member_names(drafter))
        self.entries: list[Entry] = []
        self._bits = [((1 << len(member.sources)) - 1) << shift
                      for member, shift in zip(drafter.members, shifts(drafter.members), strict=True)]
        self._reasons: dict[int, Reason] = {}

    def hear(self, track: Track, reason: Reason) -> None:
        """The policy has decided; the round may still be repeated after an interruption."""
        self._reasons[id(track)] = reason

    def see(self, seen: Seen) -> None:
        """A round is over."""
        reason = self._reasons.pop(id(seen.sequence.track))
        sources = [seen.tree.source(node) for node in seen.path]
        by_member = tuple(sum(1 for source in sources if source & bits) for bits in self._bits)
        self.entries.append(Entry(seen.sequence.num_output - seen.emitted, reason, len(seen.tree), len(seen.path),
                                  by_member, seen.emitted, seen.times))


@contextmanager
def journal_of(engine: Engine) -> Iterator[Journal]:
    """Kept while the context lasts. Looking costs a little time in every round."""
    journal = Journal(engine.drafter)
    engine.policy.explain(journal.hear)
    engine.watch(journal.see)
    try:
        yield journal
    finally:
        engine.policy.explain(None)
        engine.watch(None)
