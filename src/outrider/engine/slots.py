"""The newest length and token of every running sequence, kept on the device by slot.

A launch leaves the next anchors here, and one that goes ahead reads its own here, so that it need not wait until the
host has resolved the round before. The host's own copies, `Sequence.tokens`, follow when a round is resolved.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.ids import ids


class Slots:
    """Shapes: length_S, last_token_S int64, one entry a slot; -1 is no token."""

    def __init__(self, num_slots: int, device: torch.device) -> None:
        self.length_S = torch.zeros(num_slots, dtype=torch.int64, device=device)
        self.last_token_S = torch.full((num_slots,), -1, dtype=torch.int64, device=device)
        self._free = list(range(num_slots - 1, -1, -1))

    def take(self, token_n: Seq[int]) -> int:
        """A slot for a sequence that so far has `token_n`."""
        slot = self._free.pop()
        self.put(slot, token_n)
        return slot

    def put(self, slot: int, token_n: Seq[int]) -> None:
        """The host's word on the sequence of a slot."""
        self.length_S[slot] = len(token_n)
        self.last_token_S[slot] = token_n[-1]

    def give_back(self, slot: int) -> None:
        self.length_S[slot] = 0
        self.last_token_S[slot] = -1
        self._free.append(slot)

    def anchors(self, slots: Seq[int]) -> Tensor:
        """The newest tokens of `slots`, int64 [B]."""
        return self.last_token_S[self._index(slots)]

    def advance(self, slots: Seq[int], verdicts: VerdictBatch) -> None:
        """Every slot gains what its row of `verdicts` emitted."""
        if not slots:
            return
        if self.length_S.device.type == "cpu":
            return self._advance_here(slots, verdicts)
        slot_B, token_BW = self._index(slots), verdicts.token_BW
        self.length_S.index_add_(0, slot_B, verdicts.count_B)
        last_B1 = token_BW if token_BW.shape[1] == 1 else token_BW.gather(1, verdicts.count_B[:, None] - 1)
        self.last_token_S.index_copy_(0, slot_B, last_B1[:, 0])

    def _advance_here(self, slots: Seq[int], verdicts: VerdictBatch) -> None:
        """The same without torch, whose every operation takes long behind a pass that has emptied the caches."""
        length_S, last_token_S = self.length_S.numpy(), self.last_token_S.numpy()
        for slot, count, token_W in zip(slots, verdicts.count_B.tolist(), verdicts.token_BW.tolist(), strict=True):
            length_S[slot] += count
            last_token_S[slot] = token_W[count - 1]

    def _index(self, slots: Seq[int]) -> Tensor:
        return ids(slots, self.length_S.device)
