"""The policy that always drafts the same: all that the drafter has to say, up to so many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import Drafter
from outrider.policy.interface import Ask, Explain, Fate, Limits, Pass, Reason, Track

_NOTHING = Budget(0, 0)


class Fixed:
    """Learns nothing, measures nothing. A request may still allow less, or nothing."""

    def __init__(self, drafter: Drafter[Any], nodes: int) -> None:
        self._drafter, self._nodes = drafter, nodes
        self._listener: Explain | None = None

    def start(self, limits: Limits) -> Track:
        return Track(limits)

    def explain(self, listener: Explain | None) -> None:
        self._listener = listener

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        trees = list(self._drafter.propose([ask.state for ask in asks], [self._budget(ask) for ask in asks]).trees)
        if self._listener is not None:
            for ask, tree in zip(asks, trees, strict=True):
                self._listener(ask.track, Reason((len(tree),), len(tree), 0.0, 0.0, 0.0, "fixed"))
        return trees

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        pass

    def finish(self, track: Track) -> None:
        pass

    def _budget(self, ask: Ask) -> Budget:
        nodes = min(self._nodes, ask.room.nodes)
        if not ask.track.limits.members:
            return _NOTHING
        return replace(ask.room, nodes=nodes, depth=min(nodes, ask.room.depth))
