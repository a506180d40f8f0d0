"""Heads that score a row's candidates again, given the token before them.

    markov     logits(b) += <before[a], after[b]>                    for every token b           (DSpark)
    selector   logits(b) += <before[a] * (hidden @ h), after[b]>     for the `top_k` best only   (DFlash 2)

A confidence head foretells the chance that what a row proposes is accepted, and replaces what the guesses' own shares
say of it.

Source: "DSpark" (arXiv 2607.05147), §3; DFlash 2's candidate selector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from outrider.core.draft_spec import DFlashSpec
from outrider.drafting.guesses import Guess


class Corrected(Protocol):
    """The rows of one block, to be asked along any path."""

    def logits(self, row: int, before: int) -> Tensor:
        """Logits, [1, draft vocabulary], of a row behind the token `before`; -inf for what is no candidate."""


class Correction(Protocol):
    """Such a head."""

    def over(self, logits_RV: Tensor, hidden_RD: Tensor) -> Corrected: ...


def correction_of(spec: DFlashSpec, weights: Mapping[str, Tensor]) -> Correction | None:
    """The head that a checkpoint has, if any."""
    if spec.selector is not None:
        return Selector(spec.selector.top_k, *(weights[f"selector.{name}.weight"].float()
                                               for name in ("before", "after", "hidden")))
    if spec.markov_rank:
        return Markov(*(weights[f"markov.{name}.weight"].float() for name in ("before", "after")))
    return None


@dataclass(frozen=True, slots=True)
class Markov:
    """Shapes: before_VE [V, rank], by target id; after_VE [draft vocabulary, rank]."""

    before_VE: Tensor
    after_VE: Tensor

    def over(self, logits_RV: Tensor, hidden_RD: Tensor) -> Corrected:
        return _MarkovRows(self, logits_RV)


@dataclass(frozen=True, slots=True)
class _MarkovRows:
    head: Markov
    logits_RV: Tensor

    def logits(self, row: int, before: int) -> Tensor:
        return self.logits_RV[row : row + 1] + self.head.before_VE[before : before + 1] @ self.head.after_VE.T


@dataclass(frozen=True, slots=True)
class Selector:
    """Shapes: before_VE [V, rank], by target id; after_VE [draft vocabulary, rank]; hidden_ED [rank, D]."""

    top_k: int
    before_VE: Tensor
    after_VE: Tensor
    hidden_ED: Tensor

    def over(self, logits_RV: Tensor, hidden_RD: Tensor) -> Corrected:
        best_RC = logits_RV.topk(min(self.top_k, logits_RV.shape[1]), dim=-1)
        gate_RE = hidden_RD.float() @ self.hidden_ED.T
        return _SelectorRows(self, best_RC.indices, best_RC.values, gate_RE, logits_RV.shape[1])


@dataclass(frozen=True, slots=True)
class _SelectorRows:
    head: Selector
    token_RC: Tensor
    logits_RC: Tensor
    gate_RE: Tensor
    vocab_size: int

    def logits(self, row: int, before: int) -> Tensor:
        token_C = self.token_RC[row]
        after_CE = self.head.after_VE[token_C]
        score_C = self.logits_RC[row] + after_CE @ (self.head.before_VE[before] * self.gate_RE[row])
        wide_1V = score_C.new_full((1, self.vocab_size), -torch.inf)
        wide_1V[0, token_C] = score_C
        return wide_1V


@dataclass(frozen=True, slots=True)
class Confidence:
    """Shapes: weight_F [D] or [D + rank], before_VE [V, rank] in the second case."""

    weight_F: Tensor
    bias: float
    before_VE: Tensor | None

    def chance(self, hidden_D: Tensor, before: int) -> float:
        """That the token proposed behind `before` is the target's."""
        hidden_D = hidden_D.to(self.weight_F.dtype)
        input_F = hidden_D if self.before_VE is None else torch.cat((hidden_D, self.before_VE[before]))
        return float(torch.sigmoid(self.weight_F @ input_F + self.bias))

    def applied(self, guesses: Sequence[Guess], chance: float) -> list[Guess]:
        """The best guess gets `chance`, the others divide the rest as before."""
        rest = sum(guess.share for guess in guesses[1:])
        scale = (1.0 - chance) / max(rest, 1.0 - guesses[0].share, 1e-9) if guesses else 0.0
        return [Guess(guess.token, chance if index == 0 else guess.share * scale)
                for index, guess in enumerate(guesses)]


def confidence_of(spec: DFlashSpec, weights: Mapping[str, Tensor]) -> Confidence | None:
    """The confidence head that a checkpoint has, if any."""
    if spec.confidence == "none":
        return None
    bias = weights.get("confidence.bias")
    before_VE = weights["markov.before.weight"].float() if spec.confidence == "hidden_markov" else None
    return Confidence(weights["confidence.weight"].float()[0], 0.0 if bias is None else float(bias), before_VE)
