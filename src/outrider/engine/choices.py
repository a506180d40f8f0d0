"""The target's choices along the walk: one row a live sequence and depth, with the request's own sampling."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from outrider.core.distribution import noisy, scores
from outrider.engine.sequence import Sequence


class Choices:
    """`ChoiceBatch` of `verify.match` over the logits of one step.

    `first_row_B` is the logit row of each sequence's anchor; node i of its tree follows at row + 1 + i. Histories
    advance with what is emitted, so penalties are those of the branch that the walk is on.
    """

    def __init__(self, logits_RV: Tensor, sequences: Seq[Sequence], first_row_B: Seq[int]) -> None:
        self.logits_RV, self.sequences = logits_RV, sequences
        self.first_row_B = torch.tensor(first_row_B, dtype=torch.int64, device=logits_RV.device)
        self._plain = all(sequence.sampling.is_plain_greedy for sequence in sequences)
        self._best_R = logits_RV.argmax(-1) if self._plain else None

    def __call__(self, node_B: Tensor, alive_B: Tensor, depth: int) -> Tensor:
        row_B = self.first_row_B + node_B + 1
        if self._best_R is not None:
            return self._best_R[row_B]
        live = alive_B.tolist()
        choice_B = torch.zeros_like(row_B)
        for index, sequence in enumerate(self.sequences):
            if live[index]:
                choice_B[index] = _choose(sequence, self.logits_RV[row_B[index]], depth)
        return choice_B


def _choose(sequence: Sequence, logits_V: Tensor, depth: int) -> Tensor:
    score_V = scores(logits_V, sequence.sampling, sequence.history)
    choice = noisy(score_V, sequence.sampling, sequence.key, len(sequence.tokens) + depth).argmax()
    if sequence.history is not None:
        sequence.history.output_V[choice] += 1.0
    return choice
