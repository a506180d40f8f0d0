"""What the target chose, for every draft of a round: the readable way over torch, one native call on the CPU, and one
launch on a CUDA device (`device_choices`).

All give the same tokens. Which one an engine uses is decided once, by `chooser_for`; a sequence's own request decides
all the rest, so that company never changes how a row is read.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import cached_property
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.distribution import History, noisy, scores
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from outrider.core.tree import DraftBatch
from outrider.engine.sequence import Sequence
from outrider.ops.cuda.available import missing
from outrider.ops.native import choose, library
from outrider.ops.native.places import Ranker
from outrider.target.interface import TargetInfo
from outrider.verify.match import walk


class Chooser(Protocol):
    """Walks the drafts of a round by the target's choices."""

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        """`first_row_B` is the logit row of each sequence's anchor; node i of its tree follows at row + 1 + i.

        `position_B` is where the first token that is chosen will stand. A round may be walked before the one before
        it is resolved: then the sequences' own tokens are behind, so that their number says nothing here.
        """

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        """The `count` tokens with the best logits of every row, best first, for drafters that want them."""


def chooser_for(info: TargetInfo, device: torch.device | None = None) -> Chooser:
    """Native for an exact target, whose bits would be worth nothing to a choice that depends on place and shape.

    Raises: NativeLibraryError if the library is not of this version.
    """
    if device is not None and device.type == "cuda" and not missing():
        from outrider.engine.device_choices import DeviceChooser  # needs Triton

        return DeviceChooser()
    found = library.load() if info.exact else None
    return ReferenceChooser() if found is None else NativeChooser(found)


class ReferenceChooser:
    """Torch, on any device."""

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        return walk(draft, Choices(logits_RV, sequences, first_row_B, position_B))

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        return logits_RV.topk(count).indices.tolist()


class NativeChooser:
    """One native call a round. Each sequence's request is handed over once, and moved from then on."""

    def __init__(self, found: library.Library) -> None:
        self._library, self._native = found, choose.Chooser(found)
        self._asker: WeakKeyDictionary[Sequence, choose.Asker] = WeakKeyDictionary()

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        requests = [self._asked(sequence).at(row, position)
                    for sequence, row, position in zip(sequences, first_row_B, position_B, strict=True)]
        return self._native.walk(logits_RV, draft, requests)

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        asker = choose.Asker(Sampling(), NoiseKey(0))  # greedy: the logits themselves
        requests = [asker.apart(row, 0) for row in range(len(logits_RV))]
        return [one.token_K for one in self._ranker.best(logits_RV, requests, count, logits_RV.shape[-1])]

    @cached_property
    def _ranker(self) -> Ranker:
        return Ranker(self._library)

    def _asked(self, sequence: Sequence) -> choose.Asker:
        if sequence not in self._asker:
            self._asker[sequence] = choose.Asker(sequence.sampling, sequence.key, sequence.history)
        return self._asker[sequence]


class Choices:
    """`ChoiceBatch` of `verify.match` over the logits of one step, one row a live sequence and depth.

    Copies of the histories advance along the walk, so penalties are those of the branch that it is on; a sequence's own
    history counts what it is given, so that an interrupted round leaves nothing behind.
    """

    def __init__(self, logits_RV: Tensor, sequences: Seq[Sequence], first_row_B: Seq[int],
                 position_B: Seq[int]) -> None:
        self.logits_RV, self.sequences, self.position_B = logits_RV, sequences, position_B
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
                choice_B[index] = _choose(sequence, self._histories[index], self.logits_RV[row_B[index]],
                                          self.position_B[index] + depth)
        return choice_B


def _choose(sequence: Sequence, history: History | None, logits_V: Tensor, position: int) -> Tensor:
    score_V = scores(logits_V, sequence.sampling, history)
    choice = noisy(score_V, sequence.sampling, sequence.key, position).argmax()
    if history is not None:
        history.output_V[choice] += 1.0
    return choice
