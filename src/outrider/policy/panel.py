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
    """What the members said so far: the merged tree of every ask, and each member's own answers."""

    trees: list[DraftTree]
    answers: list[Answer] = field(default_factory=list)
    is_empty: bool = True

    def offered(self, ask: int, member: int) -> int:
        """How many nodes a member offered for an ask; -1 where it was not asked."""
        return next((len(answer.trees[answer.chosen.index(ask)]) for answer in self.answers
                     if answer.member.index == member and ask in answer.chosen), -1)


@dataclass(slots=True)
class Answer:
    """A member's trees for the asks it was chosen for."""

    member: Member
    chosen: Sequence[int]
    trees: Sequence[DraftTree]


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

    def look_up(self, member: Member, asks: Sequence[Ask], chosen: Sequence[int], budgets: Sequence[Budget],
                found: Proposals) -> Answer:
        """Asks a member for the chosen asks, and merges its trees into `found`."""
        states = [self._drafter.part(asks[index].state, member.index) for index in chosen]
        begin_s = self._clock()
        trees = member.drafter.propose(states, [budgets[index] for index in chosen]).trees
        member.looked_up((self._clock() - begin_s) / len(chosen))
        return _merged(Answer(member, chosen, trees), asks, found)

    def run(self, member: Member, asks: Sequence[Ask], chosen: Sequence[int], budgets: Sequence[Budget],
            found: Proposals, plain_s: float) -> float:
        """The same of a member with a network; returns the seconds that it took."""
        states = [self._drafter.part(asks[index].state, member.index) for index in chosen]
        debt = sum(map(member.drafter.debt, states))
        begin_s = self._clock()
        trees = member.drafter.propose(states, [budgets[index] for index in chosen]).trees
        seconds = self._clock() - begin_s
        member.ran(seconds, [max(tree.depths(), default=0) for tree in trees], debt, plain_s)
        _merged(Answer(member, chosen, trees), asks, found)
        return seconds


def _merged(answer: Answer, asks: Sequence[Ask], found: Proposals) -> Answer:
    found.answers.append(answer)
    for index, tree in zip(answer.chosen, answer.trees, strict=True):
        if tree is not EMPTY_TREE and len(tree):
            found.is_empty = False
            known, own = found.trees[index], _marked(tree, answer.member.shift)
            found.trees[index] = merge([known, own], [0, 0], asks[index].room.nodes) if len(known) else own
    return answer


def _marked(tree: DraftTree, shift: int) -> DraftTree:
    """With sources at their place among those of all members."""
    if not shift:
        return tree
    return replace(tree, source_N=[tree.source(node) << shift for node in range(len(tree))])
