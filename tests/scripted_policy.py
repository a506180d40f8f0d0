"""Policies at a made-up machine: drafters that say what a script says, a clock that only they move, invented prices.

Tokens below `WRONG` are true wherever they stand: a round accepts the path that follows them from the anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from outrider.core.commit import CommitBatch
from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafters.mix import MixDrafter
from outrider.drafting.interface import Drafter, SequenceContext
from outrider.policy.adaptive import Adaptive, AdaptiveTrack
from outrider.policy.interface import Ask, Fate, Limits, Load, Pass, Reason
from outrider.policy.pass_price import Curve, PassPrice

PLAIN_S = 0.01
WEIGHT_BYTES = 1000
WRONG = 50
TARGET: Any = SimpleNamespace(weight_bytes=WEIGHT_BYTES, device=torch.device("cpu"), vocab_size=100)

ROWS_FREE = Curve((1, 64), (PLAIN_S, PLAIN_S * 1.001), (1,), (0.0,))
ROWS_CHEAP = Curve((1, 2, 8, 64), (PLAIN_S, PLAIN_S * 1.05, PLAIN_S * 1.5, PLAIN_S * 6), (1,), (0.0,))
ROWS_DEAR = Curve((1, 64), (PLAIN_S, PLAIN_S * 64), (1,), (0.0,))
ROWS_IMPOSSIBLE = Curve(tuple(range(1, 8)), tuple(PLAIN_S * 10**row for row in range(7)), (1,), (0.0,))  # each tenfold
CONTEXT_DEAR = Curve((1, 64), (PLAIN_S, PLAIN_S * 1.5), (1, 2, 64), (1e-7, 1e-5, 1e-3))

Says = Callable[[Budget], DraftTree]


class Clock:
    """Seconds that pass only where somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def chain(*token_N: int, score: float = 0.9) -> DraftTree:
    return DraftTree.chain(list(token_N), [score ** (depth + 1) for depth in range(len(token_N))])


def within(tree: DraftTree, budget: Budget) -> DraftTree:
    """The front of a chain that a budget allows."""
    if not (size := min(len(tree), budget.nodes, budget.depth)):
        return EMPTY_TREE
    return DraftTree.chain(tree.token_N[:size], tree.score_N[:size])


def always(tree: DraftTree) -> Says:
    return lambda budget: within(tree, budget)


@dataclass
class Debtor:
    """A state: tokens that a network has not read."""

    debt: int = 0


class Scripted(Drafter[Debtor]):
    """Says what `says` says. With `network` it reads as much of what the target reads, and takes `seconds` a level."""

    def __init__(self, says: Says, clock: Clock, network: float = 0.0, seconds: float = 0.0, debt: int = 0,
                 debt_s: float = 0.0, name: str = "scripted") -> None:
        super().__init__(None, TARGET)
        self.says, self.clock, self.share, self.name = says, clock, network, name
        self.seconds, self.first_debt, self.debt_s = seconds, debt, debt_s
        self.calls: list[int] = []  # sequences, by call
        self.budgets: list[Budget] = []
        self.is_broken = False

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def read_bytes(self) -> int:
        return int(self.share * WEIGHT_BYTES)

    def debt(self, state: Debtor) -> int:
        return state.debt

    def start(self, context: SequenceContext) -> Debtor:
        return Debtor(self.first_debt)

    def commit(self, states: Sequence[Debtor], commits: CommitBatch) -> None:
        raise AssertionError("policies do not commit")

    def propose(self, states: Sequence[Debtor], budgets: Sequence[Budget]) -> DraftBatch:
        if self.is_broken:
            raise RuntimeError("broken")
        self.calls.append(len(states))
        self.budgets += budgets
        trees = [self.says(budget) for budget in budgets]
        levels = max((max(tree.depths(), default=0) for tree in trees), default=0) if self.share else 1
        self.clock.now_s += levels * self.seconds + sum(state.debt for state in states) * self.debt_s
        for state in states:
            state.debt = 0
        return DraftBatch.of(trees, self.target.device)


def mixed(*members: Scripted) -> Drafter[Any]:
    return members[0] if len(members) == 1 else MixDrafter(MixDrafter.Config(members), TARGET)


def true_path(tree: DraftTree) -> tuple[int, ...]:
    """The accepted nodes."""
    path: list[int] = []
    for node, parent in enumerate(tree.parent_N):
        if parent == (path[-1] if path else ANCHOR) and tree.token_N[node] < WRONG:
            path.append(node)
    return tuple(path)


@dataclass
class Table:
    """A policy and the sequences that it plays with. `trees` and `reasons` are those of the last round."""

    drafter: Drafter[Any]
    curve: Curve
    clock: Clock
    room: Budget = field(default_factory=lambda: Budget(32, 32))
    context: int = 100
    remaining: int = 400
    host_s: float = 0.0
    explained: bool = False
    trees: list[DraftTree] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    seats: list[tuple[Any, AdaptiveTrack]] = field(default_factory=list)
    verified: int = 0
    emitted: int = 0
    paths: Callable[[DraftTree], tuple[int, ...]] = true_path

    def __post_init__(self) -> None:
        self.price = PassPrice(self.curve)  # the machine's own, which nothing corrects
        self.policy = Adaptive(self.drafter, PassPrice(self.curve), self.clock)
        if self.explained:
            self.policy.explain(lambda track, reason: self.reasons.append(reason))

    def sit(self, count: int = 1, limits: Limits | None = None) -> Table:
        """Sequences begin."""
        for _ in range(count):
            self.seats.append((self.drafter.start(SequenceContext(0)), self.policy.start(limits or Limits())))
        return self

    def asks(self) -> list[Ask]:
        return [Ask(state, track, self.room, self.context, self.remaining) for state, track in self.seats]

    def round(self, beside: int = 0) -> list[DraftTree]:
        """One round of all that sit there; what the policy verifies has to be within its room."""
        self.reasons.clear()
        before_s = self.clock.now_s
        self.trees = self.policy.draft(self.asks(), beside)
        other_s = self.host_s + self.clock.now_s - before_s
        assert len(self.trees) == len(self.seats)
        for tree in self.trees:
            tree.check(self.room)
        fates = [Fate(track, tree, self.paths(tree)) for (_, track), tree in zip(self.seats, self.trees, strict=True)]
        loads = tuple(Load(1 + len(tree), self.context) for tree in self.trees)
        target_s = self.price.seconds(loads)
        self.policy.settle(fates, Pass(loads, target_s, other_s, beside > 0))
        self.clock.now_s += target_s + self.host_s
        self.verified += sum(map(len, self.trees))
        self.emitted += sum(len(fate.path) + 1 for fate in fates)
        return self.trees

    def rounds(self, count: int) -> list[int]:
        """So many of them; how many nodes each verified."""
        return [sum(map(len, self.round())) for _ in range(count)]


class Timed(Adaptive):
    """In an engine, but on invented time: rounds take what `curve` says, prompts little, all else nothing."""

    def __init__(self, drafter: Drafter[Any], curve: Curve) -> None:
        super().__init__(drafter, PassPrice(curve), lambda: 0.0)
        self._machine = PassPrice(curve)

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        seconds = PLAIN_S if spent.prefill else self._machine.seconds(spent.loads)
        super().settle(fates, Pass(spent.loads, seconds, 0.0, spent.prefill))
