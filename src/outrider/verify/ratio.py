"""Verification by ratio, on request: exact in law, but unlike `match` the tokens depend on the draft.

The walk goes down the tree, at each node trying its children in the order in which they were drawn. On a chain it is
the rule of Leviathan and of Chen: accept x_k with probability min(1, p(x_k)/q(x_k)), and draw from the residual at
the first refusal, or from the target behind the last node.

Exact only if drafts are drawn with noise of their own, and if whether a token is verified is decided before it is
drawn (notes §3.7): nothing drawn may be dropped or moved for what it is.

Source: Leviathan et al. 2211.17192, Chen et al. 2302.01318; `specblock_eagle_verification_languages` notes §3.2, §3.4.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from outrider.core.commit import Verdict
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR
from outrider.verify.dice import Dice
from outrider.verify.siblings import SiblingRule, without_replacement

Law = Callable[[int], Tensor]
"""The target's distribution [V], float64, of the token after a node (-1: after the anchor)."""

Rule = Callable[[DrawnTree, Law, Dice], Verdict]


def walk_drawn(tree: DrawnTree, law: Law, dice: Dice, rule: SiblingRule = without_replacement) -> Verdict:
    """One tree; `rule` says how siblings were drawn."""
    node, path = ANCHOR, list[int]()
    while True:
        p_V, children = law(node), tree.children(node)
        if children:
            tokens = [tree.token_N[child] for child in children]
            tried = rule(p_V, tree.q_NV[children[0]], tokens, _coin(dice, children))
            p_V = tried.p_V
            if tried.accepted is not None:
                node = children[tried.accepted]
                path.append(node)
                continue
        return Verdict(tuple(path), dice.token(p_V))


def _coin(dice: Dice, children: list[int]) -> Callable[[int, float], bool]:
    return lambda place, chance: dice.accepts(children[place], chance)
