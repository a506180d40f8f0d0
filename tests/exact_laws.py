"""Proof by enumeration for rules that throw dice: every branch of the randomness, probabilities multiplied.

A play is a function of `Branching` dice: it draws a draft, verifies it, draws on. `outcomes` plays it once for every
way in which the dice can fall. A rule is lossless if the joint law of the first tokens is the target's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

import torch
from torch import Tensor

from outrider.core.commit import Verdict
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR
from outrider.verify.ratio import Law, Rule
from outrider.verify.siblings import without

Prefix = tuple[int, ...]
Conditionals = dict[Prefix, Tensor]
JointLaw = dict[Prefix, float]
Result = TypeVar("Result")


@dataclass
class Branching:
    """Dice that fall as written in `script`, and as they first can behind its end."""

    script: list[int]
    falls: list[int] = field(default_factory=list)
    chance: float = 1.0
    open: list[list[int]] = field(default_factory=list)

    def pick(self, weights: list[float]) -> int:
        """An index, by its weight."""
        if len(self.falls) < len(self.script):
            fall = self.script[len(self.falls)]
        else:
            fall, *others = [index for index, weight in enumerate(weights) if weight > 0.0]
            self.open += [[*self.falls, other] for other in others]
        self.falls.append(fall)
        self.chance *= weights[fall]
        return fall

    def accepts(self, node: int, chance: float) -> bool:
        return bool(self.pick([1.0 - chance, chance]))

    def token(self, p_V: Tensor) -> int:
        return self.pick(p_V.tolist())


def outcomes(play: Callable[[Branching], Result]) -> Iterator[tuple[Result, float]]:
    """What the play comes to and how likely that is, for every way in which the dice can fall."""
    scripts: list[list[int]] = [[]]
    while scripts:
        dice = Branching(scripts.pop())
        result = play(dice)
        scripts += dice.open
        yield result, dice.chance


def conditionals(vocab: int, depth: int, generator: torch.Generator) -> Conditionals:
    """A random distribution behind every prefix of at most `depth` tokens."""
    found = {}
    for size in range(depth + 1):
        for prefix in product(range(vocab), repeat=size):
            weight_V = torch.rand(vocab, generator=generator, dtype=torch.float64) ** 2 + 1e-3
            found[prefix] = weight_V / weight_V.sum()
    return found


def joint(p: Conditionals, count: int) -> JointLaw:
    """The target's own law of its first `count` tokens."""
    law: JointLaw = {(): 1.0}
    for _ in range(count):
        law = {(*prefix, token): chance * float(p[prefix][token])
               for prefix, chance in law.items() for token in range(len(p[prefix]))}
    return law


Drafter = Callable[[Conditionals, Branching], DrawnTree]


@dataclass(frozen=True)
class Found:
    """What enumeration says of a rule: the joint law of the first tokens, and how many a round gives on average."""

    law: JointLaw
    tokens_per_round: float

    def error(self, p: Conditionals) -> float:
        """The largest difference to the target's law."""
        wanted = joint(p, len(next(iter(self.law))))
        return max(abs(self.law.get(text, 0.0) - chance) for text, chance in wanted.items())


def enumerated(p: Conditionals, q: Conditionals, draft: Drafter, rule: Rule, count: int = 3) -> Found:
    """One round for every draft and verdict; what it does not reach follows the target's law."""
    law: JointLaw = defaultdict(float)
    mean = 0.0
    for (tree, verdict), chance in outcomes(lambda dice: _round(p, q, draft, rule, dice)):
        text = emitted(tree, verdict)
        mean += chance * len(text)
        for whole, factor in continued(p, text[:count], count):
            law[whole] += chance * factor
    return Found(dict(law), mean)


def _round(p: Conditionals, q: Conditionals, draft: Drafter, rule: Rule, dice: Branching) -> tuple[DrawnTree, Verdict]:
    tree = draft(q, dice)
    return tree, rule(tree, law_along(tree, p), dice)


def law_along(tree: DrawnTree, p: Conditionals, before: Prefix = ()) -> Law:
    return lambda node: p[(*before, *tokens_to(tree, node))]


def tokens_to(tree: DrawnTree, node: int) -> Prefix:
    return tuple(tree.token_N[step] for step in tree.path_to(node))


def emitted(tree: DrawnTree, verdict: Verdict) -> Prefix:
    return (*(tree.token_N[node] for node in verdict.path), verdict.token)


def continued(p: Conditionals, text: Prefix, count: int) -> Iterator[tuple[Prefix, float]]:
    """`text` drawn on from the target, in every way."""
    if len(text) == count:
        yield text, 1.0
        return
    for token, chance in enumerate(p[text].tolist()):
        for whole, factor in continued(p, (*text, token), count):
            yield whole, chance * factor


@dataclass
class Growing:
    """A draft while it is drawn."""

    token_N: list[int] = field(default_factory=list)
    parent_N: list[int] = field(default_factory=list)
    q_NV: list[Tensor] = field(default_factory=list)

    def tree(self) -> DrawnTree:
        return DrawnTree(list(self.token_N), list(self.parent_N), q_NV=list(self.q_NV))

    def add(self, token: int, parent: int, q_V: Tensor) -> int:
        self.token_N.append(token)
        self.parent_N.append(parent)
        self.q_NV.append(q_V)
        return len(self.token_N) - 1

    def prefix(self, node: int) -> Prefix:
        return tokens_to(self.tree(), node)


def drawn(widths: tuple[int, ...], replaced: bool = False) -> Drafter:
    """Trees in which every node of depth d has `widths[d]` children; drawn with or without replacement."""
    def draft(q: Conditionals, dice: Branching) -> DrawnTree:
        growing, level = Growing(), [ANCHOR]
        for width in widths:
            level = [child for parent in level for child in siblings(growing, parent, q, dice, width, replaced)]
        return growing.tree()
    return draft


def siblings(growing: Growing, parent: int, q: Conditionals, dice: Branching, width: int, replaced: bool) -> list[int]:
    q_V = left_V = q[growing.prefix(parent)]
    found = []
    for _ in range(width):
        token = dice.token(left_V)
        found.append(growing.add(token, parent, q_V))
        left_V = q_V if replaced else without(left_V, token)
    return found
