"""The target's choices along the walk: one row a live sequence and depth, with the request's own sampling."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from outrider.core.distribution import History, noisy, scores
from outrider.engine.sequence import Sequence


class Choices:
    """`ChoiceBatch` of `verify.match` over the logits of one step.

    `first_row_B` is the logit row of each sequence's anchor; node i of its tree follows at row + 1 + i. Copies of the
    histories advance along the walk, so penalties are those of the branch that it is on; a sequence's own history
    counts what it is given, so that an interrupted round leaves nothing behind.
    """

    def __init__(self, logits_RV: Tensor, sequences: Seq[Sequence], first_row_B: Seq[int]) -> None:
        self.logits_RV, self.sequences = logits_RV, sequences
        self.first_row_B = torch.tensor(first_row_B, dtype=torch.int64, device=logits_RV.device)
        self._plain = all(sequence.sampling.is_plain_greedy for sequence in sequences)
        self._best_R = logits_RV.argmax(-1) if self._plain else None
        self._histories = [None if item.history is None else item.history.copy() for item in sequences]

    def __call__(self, node_B: Tensor, alive_B: Tensor, depth: int) -> Tensor:
        row_B = self.first_row_B + node_B + 1
        if self._best_R is not None:
            return self._best_R[row_B]
        live = alive_B.tolist()
        choice_B = torch.zeros_like(row_B)
        for index, sequence in enumerate(self.sequences):
            if live[index]:
                choice_B[index] = _choose(sequence, self._histories[index], self.logits_RV[row_B[index]], depth)
        return choice_B


def _choose(sequence: Sequence, history: History | None, logits_V: Tensor, depth: int) -> Tensor:
    score_V = scores(logits_V, sequence.sampling, history)
    choice = noisy(score_V, sequence.sampling, sequence.key, len(sequence.tokens) + depth).argmax()
    if history is not None:
        history.output_V[choice] += 1.0
    return choice
