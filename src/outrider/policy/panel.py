"""Asking the members of a drafter, each by itself, and putting together what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import Drafter
from outrider.drafting.merge import merge, shifts
from outrider.policy.interface import Ask
from outrider.policy.members import Member


@dataclass(slots=True)
class Proposals:
    """What the members said so far, by ask: the merged tree, and how many nodes each of them offered."""

    trees: list[DraftTree]
    offered: list[dict[int, int]] = field(default_factory=list)

    @classmethod
    def none(cls, count: int) -> Proposals:
        return cls([EMPTY_TREE] * count, [{} for _ in range(count)])


class Panel:
    """The members of a drafter. `clock` gives seconds."""

    def __init__(self, drafter: Drafter[Any], clock: Callable[[], float]) -> None:
        self._drafter, self._clock = drafter, clock
        weight_bytes = max(1, drafter.target.weight_bytes)
        self.members = tuple(Member(index, member, shift, member.read_bytes / weight_bytes) for index, (member, shift)
                             in enumerate(zip(drafter.members, shifts(drafter.members), strict=True)))

    def debt(self, member: Member, ask: Ask) -> int:
        """Tokens that a member has to read before it can propose."""
        return member.drafter.debt(self._drafter.part(ask.state, member.index))

    def hear(self, member: Member, asks: Sequence[Ask], chosen: Sequence[int], budget: Budget, found: Proposals,
             plain_s: float) -> float:
        """Asks a member for the chosen asks and merges its trees into `found`; returns the seconds that it took."""
        states = [self._drafter.part(asks[index].state, member.index) for index in chosen]
        budgets = [_within(budget, asks[index].room) for index in chosen]
        debt = sum(map(member.drafter.debt, states)) if member.has_network else 0
        begin_s = self._clock()
        trees = member.drafter.propose(states, budgets).trees
        seconds = self._clock() - begin_s
        for index, tree in zip(chosen, trees, strict=True):
            found.offered[index][member.index] = len(tree)
            if len(tree):
                own = _marked(tree, member.shift)
                found.trees[index] = merge([found.trees[index], own], [0, 0], asks[index].room.nodes) \
                    if len(found.trees[index]) else own
        depths = [max(tree.depths(), default=0) for tree in trees] if member.has_network else [0] * len(trees)
        member.asked(seconds, depths, debt, plain_s)
        return seconds


def _within(budget: Budget, room: Budget) -> Budget:
    return Budget(room.nodes, room.depth, budget.min_survival, budget.min_step)


def _marked(tree: DraftTree, shift: int) -> DraftTree:
    """With sources at their place among those of all members."""
    if not shift:
        return tree
    return replace(tree, source_N=[tree.source(node) << shift for node in range(len(tree))])
