"""Heads that score a row's candidates again, given the tokens before them.

    selector   logits(b) += <before[a] * (hidden @ h), after[b]>     for the `top_k` best only           (DFlash 2)
    markov     logits(b) += <mixed(a), after[b]>                     for every token b                   (DSpark)
               mixed: before[a], or gated by the hidden state, or an output of a recurrent state over the path

A confidence head foretells the chance that what a row proposes is accepted, and replaces what the guesses' own shares
say of it.

Source: "DSpark" (arXiv 2607.05147), §3, and its head types as the speculators library has them; DFlash 2's selector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from outrider.core.draft_spec import DFlashSpec
from outrider.drafting.guesses import Guess


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be corrected: for each of n nodes the logits of its row, its hidden state, its token.

    Shapes: logits_nV over the draft vocabulary, hidden_nD, token_n target ids; `state_nE` is what the correction of the
    node's parent left, None for anchors.
    """

    logits_nV: Tensor
    hidden_nD: Tensor
    token_n: Sequence[int]
    state_n: Sequence[Tensor | None]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Logits [n, V], -inf for what is no candidate, and what children go on from."""

    logits_nV: Tensor
    state_n: Sequence[Tensor | None]


class Correction(Protocol):
    """Such a head."""

    def applied(self, asked: Asked) -> Corrected: ...


class Bias(Protocol):
    """The product that makes a bias over the draft vocabulary [n, V] of mixed [n, rank]; runs where networks do."""

    def __call__(self, mixed_nE: Tensor) -> Tensor: ...


def correction_of(spec: DFlashSpec, weights: Mapping[str, Tensor], bias: Bias) -> Correction | None:
    """The head that a checkpoint has, if any."""
    if spec.selector is not None:
        return Selector(spec.selector.top_k, *(weights[f"selector.{name}.weight"].float()
                                               for name in ("before", "after", "hidden")))
    if not spec.markov_rank:
        return None
    before_VE = weights["markov.before.weight"]
    if spec.markov_kind == "gated":
        return GatedMarkov(before_VE, bias, weights["markov.gate.weight"].float(), weights["markov.gate.bias"].float())
    if spec.markov_kind == "rnn":
        return RecurrentMarkov(before_VE, bias, weights["markov.joint.weight"].float(),
                               weights["markov.joint.bias"].float())
    return Markov(before_VE, bias)


@dataclass(frozen=True, slots=True)
class Markov:
    """Shapes: before_VE [V, rank], by target id."""

    before_VE: Tensor
    bias: Bias

    def applied(self, asked: Asked) -> Corrected:
        mixed_nE = self.before_VE[list(asked.token_n)]
        return Corrected(asked.logits_nV + self.bias(mixed_nE.to(asked.hidden_nD.dtype)), asked.state_n)


@dataclass(frozen=True, slots=True)
class GatedMarkov:
    """The bias is let through as far as the hidden state wishes. Shapes: gate_EF [rank, D + rank]."""

    before_VE: Tensor
    bias: Bias
    gate_EF: Tensor
    gate_E: Tensor

    def applied(self, asked: Asked) -> Corrected:
        before_nE = self.before_VE[list(asked.token_n)].float()
        gate_nE = F.linear(torch.cat((asked.hidden_nD.float(), before_nE), -1), self.gate_EF, self.gate_E).sigmoid()
        bias_nV = self.bias((gate_nE * before_nE).to(asked.hidden_nD.dtype))
        return Corrected(asked.logits_nV + bias_nV, asked.state_n)


@dataclass(frozen=True, slots=True)
class RecurrentMarkov:
    """A state runs along the path. Shapes: joint_3EF [3 rank, 2 rank + D]: gate, candidate and output."""

    before_VE: Tensor
    bias: Bias
    joint_3EF: Tensor
    joint_3E: Tensor

    def applied(self, asked: Asked) -> Corrected:
        before_nE = self.before_VE[list(asked.token_n)].float()
        zero_E = torch.zeros_like(before_nE[0])
        state_nE = torch.stack([zero_E if state is None else state for state in asked.state_n])
        joint_n3E = F.linear(torch.cat((state_nE, before_nE, asked.hidden_nD.float()), -1), self.joint_3EF,
                             self.joint_3E)
        gate_nE, candidate_nE, output_nE = joint_n3E.chunk(3, -1)
        gate_nE = gate_nE.sigmoid()
        state_nE = gate_nE * state_nE + (1.0 - gate_nE) * candidate_nE.tanh()
        bias_nV = self.bias(output_nE.tanh().to(asked.hidden_nD.dtype))
        return Corrected(asked.logits_nV + bias_nV, list(state_nE))


@dataclass(frozen=True, slots=True)
class Selector:
    """Shapes: before_VE [V, rank], by target id; after_VE [draft vocabulary, rank]; hidden_ED [rank, D]."""

    top_k: int
    before_VE: Tensor
    after_VE: Tensor
    hidden_ED: Tensor

    def applied(self, asked: Asked) -> Corrected:
        best_nC = asked.logits_nV.topk(min(self.top_k, asked.logits_nV.shape[1]), dim=-1)
        gate_nE = self.before_VE[list(asked.token_n)] * (asked.hidden_nD.float() @ self.hidden_ED.T)
        bias_nC = torch.einsum("nce,ne->nc", self.after_VE[best_nC.indices], gate_nE)
        wide_nV = torch.full_like(asked.logits_nV, -torch.inf)
        return Corrected(wide_nV.scatter_(1, best_nC.indices, best_nC.values + bias_nC), asked.state_n)


@dataclass(frozen=True, slots=True)
class Confidence:
    """Shapes: weight_F [D] or [D + rank], before_VE [V, rank] in the second case."""

    weight_F: Tensor
    bias: float
    before_VE: Tensor | None

    def chances(self, asked: Asked) -> list[float]:
        """That the token proposed behind each node is the target's."""
        input_nF = asked.hidden_nD.float()
        if self.before_VE is not None:
            input_nF = torch.cat((input_nF, self.before_VE[list(asked.token_n)].float()), -1)
        found: list[float] = (input_nF @ self.weight_F + self.bias).sigmoid().tolist()
        return found


def assured(guesses: Sequence[Guess], chance: float) -> list[Guess]:
    """The best guess gets `chance`, the others divide the rest as before."""
    rest = 1.0 - guesses[0].share if guesses else 0.0
    scale = (1.0 - chance) / rest if rest > 0.0 else 0.0
    return [Guess(guess.token, guess.share * scale if index else chance) for index, guess in enumerate(guesses)]


def confidence_of(spec: DFlashSpec, weights: Mapping[str, Tensor]) -> Confidence | None:
    """The confidence head that a checkpoint has, if any."""
    if spec.confidence == "none":
        return None
    bias = weights.get("confidence.bias")
    before_VE = weights["markov.before.weight"] if spec.confidence == "hidden_markov" else None
    return Confidence(weights["confidence.weight"].float()[0], 0.0 if bias is None else float(bias), before_VE)
