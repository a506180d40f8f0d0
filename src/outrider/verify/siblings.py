"""One node's children under the ratio rule: which of them, drawn in this order, stands for a draw from p?

A child x drawn from q is accepted with probability min(1, p(x)/q(x)). Refused, it leaves the residual: what is left
of p once the chances that x had are taken out, and the next child is tried against that. If none is accepted the
token is drawn from the last residual; whichever way it comes, its law is p.

    p ── x₁ accepted?  yes ──> x₁
     └─ no: p ← norm[(p − q)₊] ── x₂ accepted?  yes ──> x₂
                                   └─ no: … ──> a draw from what p has become

Drawn without replacement, a refused child also leaves q: what x₂ was drawn from. Drawn with replacement, q stays and
equal children must not be skipped. The engine draws without: it never proposes twice what was refused.

Source: `specblock_eagle_verification_languages` notes §3.4 (SpecInfer 2305.09781, §4.3; RSD 2402.14160; Sequoia).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

Accepts = Callable[[int, float], bool]


@dataclass(frozen=True, slots=True)
class Tried:
    """`accepted` is the place of the accepted sibling; None where the token has yet to be drawn from `p_V`."""

    accepted: int | None
    p_V: Tensor


SiblingRule = Callable[[Tensor, Tensor, Sequence[int], Accepts], Tried]


def without_replacement(p_V: Tensor, q_V: Tensor, token_K: Sequence[int], accepts: Accepts) -> Tried:
    """Siblings drawn from `q_V` one after the other, none twice. `accepts(place, chance)` is a coin of that chance.

    Shapes: p_V, q_V float64 [V]; token_K in the order drawn.
    """
    for place, token in enumerate(token_K):
        if accepts(place, acceptance(p_V, q_V, token)):
            return Tried(place, p_V)
        p_V, q_V = residual(p_V, q_V), without(q_V, token)
    return Tried(None, p_V)


def with_replacement(p_V: Tensor, q_V: Tensor, token_K: Sequence[int], accepts: Accepts) -> Tried:
    """Siblings drawn from `q_V` independently, so that some may be equal. Arguments as above."""
    for place, token in enumerate(token_K):
        if accepts(place, acceptance(p_V, q_V, token)):
            return Tried(place, p_V)
        p_V = residual(p_V, q_V)
    return Tried(None, p_V)


def acceptance(p_V: Tensor, q_V: Tensor, token: int) -> float:
    """min(1, p/q) of a token that was drawn from q."""
    return min(1.0, float(p_V[token] / q_V[token]))


def residual(p_V: Tensor, q_V: Tensor) -> Tensor:
    """norm[(p − q)₊]. Where nothing is left, refusal had no chance but that of a rounding: then p itself."""
    left_V = (p_V - q_V).clamp_(min=0.0)
    total = left_V.sum()
    return left_V / total if float(total) > 0.0 else p_V


def without(q_V: Tensor, token: int) -> Tensor:
    """q after a draw that is not put back; all zeros where nothing is left to draw."""
    left_V = q_V.clone()
    left_V[token] = 0.0
    total = left_V.sum()
    return left_V / total if float(total) > 0.0 else left_V
