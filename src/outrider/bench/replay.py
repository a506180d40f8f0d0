"""A drafter that says again what was recorded, on a clock that only the replay moves.

Its members are stand-ins for those of the recorded drafter: `propose` gives what the member said at the sequence's
place in its answer, cut to the budget, and moves the clock by what that costs.

    lookups    the seconds that were recorded, hiccups left out
    networks   passes of the network, at the price of one, and the tokens that it has to read before, at theirs
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import cast

import torch

from outrider.bench.recording import Answer, Proposal, Recording, Seat
from outrider.core.commit import CommitBatch
from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.interface import Drafter, SequenceContext, TargetView
from outrider.drafting.merge import joined
from outrider.policy.decision import pruned
from outrider.policy.pass_price import PassPrice

_SMALL_DEBT = 2  # tokens, which a level's price covers
_LARGE_DEBT = 16  # tokens, from which on a debt shows in the time
_USUAL = 0.95  # share of the recorded times that are taken as they are


class VirtualClock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(slots=True)
class Place:
    """A sequence on its way through an answer: `at` counts the tokens behind the first one.

    `asked` says by member where it last proposed, and what.
    """

    answer: Answer
    at: int = 0
    asked: dict[int, Asked] = field(default_factory=dict)

    @property
    def ahead(self) -> Sequence[int]:
        """What the answer goes on with."""
        return self.answer.token_n[self.at + 1 :]

    @property
    def context(self) -> int:
        """Tokens in the target's cache."""
        return self.answer.num_prompt + self.at

    @property
    def remaining(self) -> int:
        return self.answer.remaining - self.at

    @property
    def is_over(self) -> bool:
        return self.at >= self.answer.num_rounds


@dataclass(frozen=True, slots=True)
class Asked:
    """A network's last proposal for a sequence, and where in the answer."""

    at: int
    tree: DraftTree


@dataclass(frozen=True, slots=True)
class NetworkPrice:
    """Seconds of a pass of a network and of a token that it has to read; its deepest draft that was recorded."""

    level_s: float
    debt_s: float
    deepest: int

    @classmethod
    def of(cls, recording: Recording, index: int, scale: float) -> NetworkPrice:
        """As recorded, times `scale`."""
        setting = recording.setting
        heard = [one for answer in recording.answers for one in answer.by_seat[index] if one.seconds]
        deepest = max((max(one.tree.depths(), default=0) for one in heard), default=0)
        price = PassPrice(setting.curve)
        share = setting.seats[index].read_bytes / max(1, setting.weight_bytes)
        unpriced = cls(share * price.base_s[1], share * (price.base_s[2] - price.base_s[1]), deepest)
        widest = Budget(setting.max_draft, setting.max_draft)
        free = [one.seconds / unpriced.passes(one.tree, widest) for one in heard if one.debt <= _SMALL_DEBT]
        level_s = median(free) if free else unpriced.level_s
        owing = [max(0.0, one.seconds - level_s * unpriced.passes(one.tree, widest)) / one.debt
                 for one in heard if one.debt > _LARGE_DEBT]
        return cls(scale * level_s, scale * (fmean(owing) if owing else unpriced.debt_s), deepest)

    def passes(self, tree: DraftTree, budget: Budget) -> int:
        """Passes that this draft took: one for each level, and another that found nothing, unless it was not allowed.
        """
        depth_N = tree.depths()
        depth = max(depth_N, default=0)
        if depth >= min(budget.depth, self.deepest) or len(tree) >= budget.nodes:
            return max(1, depth)
        best = max((tree.score(node) for node, level in enumerate(depth_N) if level == depth), default=1.0)
        return depth + 1 if best >= budget.min_step else depth


class _Recorded(Drafter[Place]):
    """What stand-ins have in common: the replay itself makes places, and moves them."""

    def __init__(self, weight_bytes: int) -> None:
        super().__init__()
        self.target = cast(TargetView, _View(weight_bytes, torch.device("cpu")))

    def start(self, context: SequenceContext) -> Place:
        raise NotImplementedError("a replay starts from an answer")

    def commit(self, states: Sequence[Place], commits: CommitBatch) -> None:
        """Places move by themselves."""


@dataclass(frozen=True, slots=True)
class _View:
    """As much of a target as policies look at."""

    weight_bytes: int
    device: torch.device


class StandIn(_Recorded):
    """One member. `price` is that of a pass of the target; asked for many sequences, a network slows down alike."""

    def __init__(self, recording: Recording, index: int, price: PassPrice, clock: VirtualClock) -> None:
        super().__init__(recording.setting.weight_bytes)
        self.index, self.seat = index, recording.setting.seats[index]
        self._clock, self._base_s = clock, list(price.base_s)
        scale = self._base_s[1] / recording.setting.curve.base_n[0]
        self._network = NetworkPrice.of(recording, index, scale) if self.seat.has_network else None
        self._most_s = _usual_s(recording, index)
        self.num_asked = 0

    @property
    def sources(self) -> tuple[str, ...]:
        return self.seat.sources

    @property
    def read_bytes(self) -> int:
        return self.seat.read_bytes

    def debt(self, state: Place) -> int:
        """Tokens since the last proposal, but for those of it that came true and were read while it was made."""
        if self._network is None:
            return 0
        last = state.asked.get(self.index)
        if last is None:
            return state.answer.num_prompt + state.at + 1
        came_true = len(true_path(last.tree, state.answer.token_n[last.at + 1 : state.at + 1]))
        deepest = max(last.tree.depths(), default=0)
        return state.at - last.at - min(came_true, max(0, deepest - 1))

    def propose(self, states: Sequence[Place], budgets: Sequence[Budget]) -> DraftBatch:
        trees: list[DraftTree] = []
        passes: list[int] = []
        seconds = 0.0
        for state, budget in zip(states, budgets, strict=True):
            if not budget:
                trees.append(EMPTY_TREE)
                continue
            proposal = state.answer.by_seat[self.index][state.at]
            trees.append(cut(proposal.tree, budget, by_level=self._network is not None))
            seconds += self._asked_s(state, proposal, trees[-1])
            passes.append(self._network.passes(trees[-1], budget) if self._network else 0)
        self.num_asked += len(passes)
        if self._network is not None and passes:
            slower = self._base_s[len(passes)] / self._base_s[1]
            seconds += max(passes) * self._network.level_s * slower
        self._clock.advance(seconds)
        return DraftBatch.of(trees, self.target.device)

    def _asked_s(self, state: Place, proposal: Proposal, tree: DraftTree) -> float:
        """What this sequence adds to the price of a proposal, a network's passes not counted."""
        if self._network is None:
            return min(proposal.seconds, self._most_s)
        debt = max(0, self.debt(state) - _SMALL_DEBT)
        state.asked[self.index] = Asked(state.at, tree)
        return debt * self._network.debt_s


class Replayed(_Recorded):
    """The recorded drafter, or some of its members, by their places."""

    def __init__(self, recording: Recording, price: PassPrice, clock: VirtualClock,
                 only: Collection[int] | None = None) -> None:
        super().__init__(recording.setting.weight_bytes)
        chosen = range(len(recording.setting.seats)) if only is None else sorted(only)
        self._members = tuple(StandIn(recording, index, price, clock) for index in chosen)

    @property
    def members(self) -> tuple[StandIn, ...]:
        return self._members

    @property
    def seats(self) -> tuple[Seat, ...]:
        return tuple(member.seat for member in self.members)

    @property
    def asked(self) -> Counter[str]:
        """How often each member was asked."""
        return Counter({member.seat.name: member.num_asked for member in self.members})

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.sources)

    @property
    def read_bytes(self) -> int:
        return sum(member.read_bytes for member in self.members)

    def debt(self, state: Place) -> int:
        return sum(member.debt(state) for member in self.members)

    def propose(self, states: Sequence[Place], budgets: Sequence[Budget]) -> DraftBatch:
        drafts = [member.propose(states, budgets).trees for member in self.members]
        if len(drafts) == 1:
            return DraftBatch.of(drafts[0], self.target.device)
        return DraftBatch.of(joined(self.members, drafts, budgets), self.target.device)


def cut(tree: DraftTree, budget: Budget, by_level: bool) -> DraftTree:
    """What the drafter would have said within a smaller budget.

    `by_level`: its levels cost passes, and none follows one whose best node falls below `min_step`.
    """
    depth_N = tree.depths()
    deepest = _last_level(tree, depth_N, budget) if by_level else budget.depth
    kept: list[int] = []
    reached = {ANCHOR}
    for node, parent in enumerate(tree.parent_N):
        if depth_N[node] <= deepest and tree.score(node) >= budget.min_survival and parent in reached:
            reached.add(node)
            kept.append(node)
    if len(kept) > budget.nodes:
        kept = sorted(sorted(kept, key=lambda node: (-tree.score(node), node))[: budget.nodes])
    return pruned(tree, kept)


def true_path(tree: DraftTree, token_n: Sequence[int]) -> tuple[int, ...]:
    """The nodes of the longest path that agrees with what comes."""
    child = {(parent, token): node
             for node, (parent, token) in enumerate(zip(tree.parent_N, tree.token_N, strict=True))}
    path: list[int] = []
    for token in token_n:
        node = child.get((path[-1] if path else ANCHOR, token))
        if node is None:
            break
        path.append(node)
    return tuple(path)


def _last_level(tree: DraftTree, depth_N: Sequence[int], budget: Budget) -> int:
    best: dict[int, float] = {}
    for node, depth in enumerate(depth_N):
        best[depth] = max(best.get(depth, 0.0), tree.score(node))
    for depth in range(1, budget.depth):
        if best.get(depth, 0.0) < budget.min_step:
            return depth
    return budget.depth


def _usual_s(recording: Recording, index: int) -> float:
    """The time that all but a few proposals of a member stay below."""
    seconds = sorted(one.seconds for answer in recording.answers for one in answer.by_seat[index])
    return seconds[int(_USUAL * (len(seconds) - 1))]
