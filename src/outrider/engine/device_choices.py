"""Choices on a CUDA device: every row's choice in one launch, then the walk, with nothing read back in between.

Rows that the walk never reaches are chosen from too: they cost less than asking the device, depth by depth, which
sequences still live. Penalties depend on the branch, so a round with any of them goes the readable way.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.distribution import scores
from outrider.core.noise import Words
from outrider.core.sampling import Sampling
from outrider.core.tree import DraftBatch
from outrider.engine.choices import ReferenceChooser
from outrider.engine.sequence import Sequence
from outrider.ops.cuda.choose import RowNoise, best_tokens
from outrider.verify.match import walk


class DeviceChooser(ReferenceChooser):
    """See `choices.Chooser`."""

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        if any(sequence.history is not None for sequence in sequences):
            return super().verdicts(logits_RV, draft, sequences, first_row_B, position_B)
        noises = [RowNoise()] * len(logits_RV)
        for sequence, tree, row, position in zip(sequences, draft.trees, first_row_B, position_B, strict=True):
            noises[row : row + 1 + len(tree)] = _noises(sequence, position, [0, *tree.depths()])
        choice_R = best_tokens(_filtered(logits_RV, draft, sequences, first_row_B), noises)
        anchor_B = torch.tensor(first_row_B, dtype=torch.int64, device=logits_RV.device)
        return walk(draft, lambda node_B, _alive_B, _depth: choice_R[anchor_B + node_B + 1])


def _noises(sequence: Sequence, position: int, depths: Seq[int]) -> list[RowNoise]:
    """How the rows of one sequence are chosen from, its anchor's first."""
    sampling = sequence.sampling
    if sampling.is_greedy:
        return [RowNoise()] * len(depths)
    temperature = 1.0 if _has_filters(sampling) else sampling.temperature  # `scores` has divided by it already
    words: dict[int, Words] = {depth: sequence.key.words(position + depth) for depth in set(depths)}
    return [RowNoise(temperature, words[depth]) for depth in depths]


def _filtered(logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence], first_row_B: Seq[int]) -> Tensor:
    """The logits, and scores in the rows of sequences that bias or filter them."""
    filtered = [index for index, sequence in enumerate(sequences) if _has_filters(sequence.sampling)]
    if not filtered:
        return logits_RV
    score_RV = logits_RV.to(torch.float64)
    for index in filtered:
        for row in range(first_row_B[index], first_row_B[index] + 1 + len(draft.trees[index])):
            score_RV[row] = scores(logits_RV[row], sequences[index].sampling)
    return score_RV


def _has_filters(sampling: Sampling) -> bool:
    return bool(sampling.logit_bias or sampling.top_k or sampling.top_p < 1.0 or sampling.min_p > 0.0)
