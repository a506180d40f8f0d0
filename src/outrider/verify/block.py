"""Block verification, on request: the ratio rule for chains that looks at the whole chain before it gives any up.

A token that p likes less than q can be made up for by one before it that p likes more. With survivals

    w₀ = 1        w_i = min(1, w_{i−1} · p(x_i | x_{<i}) / q(x_i | x_{<i}))        i = 1 … n

the chain is cut at the longest i whose coin falls well: chance w_n at the end, else S_i / (S_i + 1 − w_i) with
S_i = Σ (w_i · p(·|x_{≤i}) − q(·|x_{≤i}))₊. The token behind is drawn from norm[(w_i · p − q)₊], or from p at the end.
Among rules for one chain none accepts more. A chain may end where it likes, if that is decided before the next draw.

Source: Sun et al. 2403.10444, algorithm 2; `specblock_eagle_verification_languages` notes §3.5.
"""

from __future__ import annotations

from torch import Tensor

from outrider.core.commit import Verdict
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR
from outrider.verify.dice import Dice
from outrider.verify.ratio import Law
from outrider.verify.siblings import residual


def walk_block(tree: DrawnTree, law: Law, dice: Dice) -> Verdict:
    """One chain, node i its i-th token. Raises: AssertionError for a tree with branches."""
    assert all(parent == node - 1 for node, parent in enumerate(tree.parent_N)), "block verification takes chains"
    size = len(tree)
    p_MV = [law(node) for node in range(ANCHOR, size)]  # place i: after i tokens
    weight_M = _survivals(tree, p_MV)
    kept = size
    while kept and not dice.accepts(kept - 1, _chance(tree, p_MV[kept], weight_M[kept], kept)):
        kept -= 1
    p_V = p_MV[size] if kept == size else residual(weight_M[kept] * p_MV[kept], tree.q_NV[kept])
    return Verdict(tuple(range(kept)), dice.token(p_V))


def _survivals(tree: DrawnTree, p_MV: list[Tensor]) -> list[float]:
    weight_M = [1.0]
    for token, p_V, q_V in zip(tree.token_N, p_MV, tree.q_NV, strict=False):
        weight_M.append(min(1.0, weight_M[-1] * float(p_V[token] / q_V[token])))
    return weight_M


def _chance(tree: DrawnTree, p_V: Tensor, weight: float, kept: int) -> float:
    """That the chain is cut behind `kept` tokens, given that it was not cut further down."""
    if kept == len(tree):
        return weight
    missing = float((weight * p_V - tree.q_NV[kept]).clamp_(min=0.0).sum())
    return missing / (missing + 1.0 - weight) if missing > 0.0 or weight < 1.0 else 1.0
