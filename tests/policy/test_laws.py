"""Policies under a ratio rule, by enumeration: several rounds of drafts that fall like dice, and lessons from each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from exact_laws import (
    Branching,
    Conditionals,
    Found,
    Growing,
    Prefix,
    conditionals,
    continued,
    emitted,
    law_along,
    outcomes,
)
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.interface import Drafter, SequenceContext
from outrider.policy.adaptive import Adaptive
from outrider.policy.interface import Ask, Explain, Fate, Limits, Load, Pass, Track
from outrider.policy.pass_price import Curve, PassPrice
from outrider.verify.ratio import walk_drawn
from scripted_policy import PLAIN_S, TARGET


@dataclass
class Text:
    """A sequence as the dice write it."""

    tokens: Prefix = ()


class Drawing(Drafter[Text]):
    """Chains drawn from q by dice, as deep as a budget asks; it pays for another level if q is sure enough there."""

    def __init__(self, q: Conditionals) -> None:
        super().__init__(None, TARGET)
        self.q, self.dice = q, Branching([])

    @property
    def read_bytes(self) -> int:
        return 100

    def start(self, context: SequenceContext) -> Text:
        return Text()

    def commit(self, states: Sequence[Text], commits: object) -> None:
        raise AssertionError("policies do not commit")

    def propose(self, states: Sequence[Text], budgets: Sequence[Budget]) -> DraftBatch:
        return DraftBatch(tuple(self._drawn(state, budget) for state, budget in zip(states, budgets, strict=True)),
                          torch.device("cpu"))

    def _drawn(self, state: Text, budget: Budget) -> DraftTree:
        growing, node, survival = Growing(), ANCHOR, 1.0
        for _ in range(min(2, budget.depth, budget.nodes)):
            q_V = self.q[(*state.tokens, *growing.prefix(node))]
            survival *= float(q_V.max())
            if survival < max(budget.min_survival, budget.min_step):
                break
            node = growing.add(self.dice.token(q_V), node, q_V)
        return growing.tree() if node != ANCHOR else EMPTY_TREE


class Fickle:
    """Deep after a good round, and not at all after a bad one."""

    def __init__(self, drafter: Drawing) -> None:
        self.drafter, self.depth = drafter, 1

    def start(self, limits: Limits) -> Track:
        return Track(limits)

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        budgets = [Budget(ask.room.nodes, min(self.depth, ask.room.depth)) for ask in asks]
        return list(self.drafter.propose([ask.state for ask in asks], budgets).trees)

    def settle(self, fates: Sequence[Fate], spent: Pass) -> None:
        self.depth = 2 if fates[0].path else 0 if len(fates[0].tree) else 1

    def finish(self, track: Track) -> None: ...

    def explain(self, listener: Explain | None) -> None: ...


class Picky(Fickle):
    """Wrong: leaves out what it does not like of what was drawn."""

    def draft(self, asks: Sequence[Ask], beside: int = 0) -> list[DraftTree]:
        return [tree if len(tree) and tree.token_N[0] else EMPTY_TREE for tree in super().draft(asks, beside)]


def warmed(drafter: Drawing, curve: Curve, gains: Sequence[int]) -> Adaptive:
    """An adaptive policy with a past."""
    policy = Adaptive(drafter, PassPrice(curve), lambda: 0.0)
    member, = policy._panel.members
    for gain in gains:
        member.settle(policy.start(Limits(draws=True)).past(member), gain, 2, 2)
        member.ran(0.1 * PLAIN_S, [2], 0, PLAIN_S)
    return policy


def enumerated(policy: Any, drafter: Drawing, p: Conditionals, count: int) -> tuple[Found, set[tuple[Prefix, int]]]:
    """Rounds until `count` tokens are there, for all falls of the dice; and what was drafted behind which text."""
    law: dict[Prefix, float] = defaultdict(float)
    drafted: set[tuple[Prefix, int]] = set()

    def play(dice: Branching) -> Prefix:
        own: Any = deepcopy(policy, {id(drafter): drafter})
        drafter.dice = dice
        text, track = Text(), own.start(Limits(draws=True))
        while (left := count - len(text.tokens)) > 0:
            depth = min(2, left - 1)
            tree, = own.draft([Ask(text, track, Budget(depth, depth) if depth else Budget(0, 0), 10, left)])
            drafted.add((text.tokens, len(tree)))
            shown = tree if isinstance(tree, DrawnTree) else DrawnTree()
            verdict = walk_drawn(shown, law_along(shown, p, text.tokens), dice)
            text.tokens += emitted(shown, verdict)
            own.settle([Fate(track, tree, verdict.path)], Pass((Load(1 + len(tree), 10),), PLAIN_S, 0.0, False))
        return text.tokens

    for tokens, chance in outcomes(play):
        for whole, factor in continued(p, tokens[:count], count):
            law[whole] += chance * factor
    return Found(dict(law), 0.0), drafted


def laws(vocab: int = 2, count: int = 5) -> tuple[Conditionals, Drawing]:
    generator = torch.Generator().manual_seed(3)
    return conditionals(vocab, count, generator), Drawing(conditionals(vocab, count, generator))


def depends_on_the_past(drafted: set[tuple[Prefix, int]]) -> bool:
    """Whether behind some text, with room for the same draft, different amounts were drawn."""
    return any(len({size for text, size in drafted if len(text) == behind}) > 1 for behind in (1, 2))


def test_a_policy_that_learns_from_every_round_leaves_the_law() -> None:
    p, drafter = laws()
    found, drafted = enumerated(Fickle(drafter), drafter, p, 5)
    assert found.error(p) < 1e-12 and depends_on_the_past(drafted)


def test_one_that_looks_at_what_was_drawn_does_not() -> None:
    p, drafter = laws()
    assert enumerated(Picky(drafter), drafter, p, 5)[0].error(p) > 1e-3


def test_the_adaptive_policy_leaves_the_law() -> None:
    """At prices around that at which it asks, so that one round decides whether the next has a draft."""
    p, drafter = laws()
    varied = False
    for row in (0.2, *(0.25 + 0.01 * step for step in range(9)), 0.5):
        curve = Curve((1, 4), (PLAIN_S, PLAIN_S * (1 + 3 * row)), (1,), (0.0,))
        found, drafted = enumerated(warmed(drafter, curve, [1]), drafter, p, 5)
        assert found.error(p) < 1e-12
        varied = varied or depends_on_the_past(drafted)
    assert varied, "what was drafted never depended on what had been accepted"
