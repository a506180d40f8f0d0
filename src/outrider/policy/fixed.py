"""The policy that always drafts the same: all that the drafter has to say, up to so many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import Drafter
from outrider.drafting.merge import merge, shifts
from outrider.policy.interface import Ask, Explain, Fate, Limits, Pass, Reason, Track

_NOTHING = Budget(0, 0)


class Fixed:
    """Learns nothing, measures nothing. A request may still allow less, some of the members only, or nothing."""

    def __init__(self, drafter: Drafter[Any], nodes: int) -> None:
        self._drafter, self._nodes = drafter, nodes
        self._all = (1 << len(drafter.members)) - 1
        self._shifts = shifts(drafter.members)
        self._listener: Explain | None = None

    def start(self, limits: Limits) -> Track:
        return Track(limits)

    def explain(self, listener: Explain | None) -> None:
        self._listener = listener

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        some = [index for index, ask in enumerate(asks) if self._bits(ask) != self._all]
        budgets = [_NOTHING if self._bits(ask) != self._all else self._budget(ask) for ask in asks]
        trees = list(self._drafter.propose([ask.state for ask in asks], budgets).trees)
        if some:
            for index, tree in zip(some, self._of_some([asks[index] for index in some]), strict=True):
                trees[index] = tree
        if self._listener is not None:
            for ask, tree in zip(asks, trees, strict=True):
                self._listener(ask.track, Reason(self._offered(ask, tree), len(tree), 0.0, 0.0, 0.0, "fixed"))
        return trees

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        pass

    def finish(self, track: Track) -> None:
        pass

    def _bits(self, ask: Ask) -> int:
        """The members that the request allows."""
        allowed: int = ask.track.limits.members & self._all
        return allowed

    def _budget(self, ask: Ask) -> Budget:
        nodes = min(self._nodes, ask.room.nodes)
        return replace(ask.room, nodes=nodes, depth=min(nodes, ask.room.depth))

    def _of_some(self, asks: Sequence[Ask]) -> list[DraftTree]:
        """Trees of sequences that allow some of the members, or none: what those say, merged as a mixture does."""
        found: list[list[DraftTree]] = [[] for _ in asks]
        for index, member in enumerate(self._drafter.members):
            states = [self._drafter.part(ask.state, index) for ask in asks]
            budgets = [self._budget(ask) if self._bits(ask) >> index & 1 else _NOTHING for ask in asks]
            for trees, tree in zip(found, member.propose(states, budgets).trees, strict=True):
                trees.append(tree)
        return [merge(trees, self._shifts, self._budget(ask).nodes) for ask, trees in zip(asks, found, strict=True)]

    def _offered(self, ask: Ask, tree: DraftTree) -> tuple[int, ...]:
        """The nodes of each member, of those that were asked."""
        counts = []
        for index, (member, shift) in enumerate(zip(self._drafter.members, self._shifts, strict=True)):
            bits = ((1 << len(member.sources)) - 1) << shift
            own = sum(1 for node in range(len(tree)) if tree.source(node) & bits)
            counts.append(own if self._bits(ask) >> index & 1 else -1)
        return tuple(counts)
