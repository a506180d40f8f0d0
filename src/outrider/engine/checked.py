"""Choosing first and asking afterwards: what a sequence may say, checked on the host, choice by choice.

The best of all tokens is the best of those allowed, if it is allowed: noise, biases and penalties belong to each token
by itself. So a mask, which costs far more than the question about one token, is needed only where the choice is
forbidden, and only in rows that the walk reaches:

    choice after anchor ── allowed? ──yes──> the node behind it ── choice …
                               └─no──> mask the row, choose again

Filters (top-k, top-p, min-p) look at all scores: under them every row that is reached is masked first. What comes out
depends on the text before it alone, so drafts change nothing. `masks.MaskedChooser` is the readable twin.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.tree import ANCHOR, EMPTY_TREE, DraftBatch, DraftTree
from outrider.engine.choices import Chooser
from outrider.engine.hold import Hold, keep_only
from outrider.engine.masks import blank, put
from outrider.engine.sequence import Sequence


class _Walk:
    """One sequence on its way through its tree. `close` leaves the sequence as it was."""

    def __init__(self, index: int, sequence: Sequence, tree: DraftTree, first_row: int, position: int,
                 hold: Hold) -> None:
        self.index, self.sequence, self.first_row, self.position = index, sequence, first_row, position
        self.emitted: list[int] = []
        self.path = [ANCHOR]
        self.is_done = False
        self._hold, self._tree, self._advanced = hold, tree, 0
        self._is_over = False  # behind an end, where nothing that is said counts
        sampling = sequence.sampling
        self.is_filtered = sampling.top_k > 0 or sampling.top_p < 1.0 or sampling.min_p > 0.0
        self.needs_mask = self.is_filtered

    @property
    def row(self) -> int:
        """Of the node that it stands at."""
        return self.first_row + 1 + self.path[-1]

    def offer(self, token: int) -> bool:
        """Takes the choice among all tokens, if it may be said; otherwise it needs a mask."""
        self.needs_mask = not (self._is_over or self._hold.may_say(token, len(self.emitted)))
        if not self.needs_mask:
            self.take(token)
        return not self.needs_mask

    def take(self, token: int) -> None:
        """Goes on behind the target's choice, to the node that guessed it."""
        self.emitted.append(token)
        self.needs_mask = self.is_filtered
        node = self._child(token)
        if node is None:
            self.is_done = True
            return
        self.path.append(node)
        if self.sequence.history is not None:
            self.sequence.history.count(token)
        if self._hold.constraint is not None and not self._is_over:
            self._is_over = not self._hold.constraint.advance(token)
            self._advanced += not self._is_over

    def take_forced(self) -> bool:
        """Takes the only token there is, where there is but one: nobody needs the logits for that."""
        only = None if self._is_over else self._hold.only()
        if only is not None:
            self.take(only)
        return only is not None

    def masked(self, logits_RV: Tensor, kept_V: Tensor) -> None:
        """Writes its row without what may not be said."""
        if self._is_over:
            kept_V.copy_(logits_RV[self.row])
        else:
            keep_only(kept_V.numpy(), logits_RV[self.row].numpy(), self._hold.mask(len(self.emitted)))

    def close(self) -> None:
        if self._hold.constraint is not None:
            self._hold.constraint.rollback(self._advanced)
        if self.sequence.history is not None:
            for token in self.emitted[: len(self.path) - 1]:
                self.sequence.history.count(token, -1)

    def _child(self, token: int) -> int | None:
        tree, parent = self._tree, self.path[-1]
        return next((node for node in range(parent + 1, len(tree))
                     if tree.token_N[node] == token and tree.parent_N[node] == parent), None)


class CheckedChooser:
    """See `choices.Chooser`; for a chooser by match on the CPU."""

    def __init__(self, inner: Chooser, eos_ids: Collection[int]) -> None:
        self._inner, self._eos_ids = inner, eos_ids
        self._room_RV = torch.empty(0, 0)

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        walks = [_Walk(index, sequence, draft.trees[index], first_row_B[index], position_B[index],
                       Hold.of(sequence, position_B[index], self._eos_ids, logits_RV.shape[-1]))
                 for index, sequence in enumerate(sequences) if sequence.is_held_back]
        if not walks:
            return self._inner.verdicts(logits_RV, draft, sequences, first_row_B, position_B)
        filtered = {walk.index for walk in walks if walk.is_filtered}
        if filtered:
            whole = self._but(filtered, logits_RV, draft, sequences, first_row_B, position_B)
        else:
            whole = self._inner.verdicts(logits_RV, draft, sequences, first_row_B, position_B)
        try:
            self._walk(walks, logits_RV, whole)
        finally:
            for walk in walks:
                walk.close()
        return whole

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        return self._inner.runners_up(logits_RV, count)

    def _but(self, left_out: set[int], logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
             first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        """The verdicts of all others, as if they might say anything."""
        whole = blank(draft)
        if rest := [index for index in range(len(sequences)) if index not in left_out]:
            trees = DraftBatch.of([draft.trees[index] for index in rest], draft.device)
            put(whole, rest, self._inner.verdicts(logits_RV, trees, [sequences[index] for index in rest],
                                                  [first_row_B[index] for index in rest],
                                                  [position_B[index] for index in rest]))
        return whole

    def _walk(self, walks: list[_Walk], logits_RV: Tensor, whole: VerdictBatch) -> None:
        """From the choices among all tokens, as far as they may be said, to those that may be."""
        for walk in (walk for walk in walks if not walk.is_filtered):
            for token in whole.token_BW[walk.index, : int(whole.count_B[walk.index])].tolist():
                if not walk.offer(token):
                    break
        changed = live = [walk for walk in walks if not walk.is_done]
        while live:
            self._mask(live, logits_RV)
            live = [walk for walk in live if not walk.is_done]
            trying = [walk for walk in live if not walk.needs_mask]
            for walk, token in zip(trying, self._chosen(trying, logits_RV, [walk.row for walk in trying]), strict=True):
                walk.offer(token)
            live = [walk for walk in live if not walk.is_done]
        for walk in changed:
            _write(whole, walk)

    def _mask(self, live: list[_Walk], logits_RV: Tensor) -> None:
        """Masks the rows of those who need it, and chooses."""
        blocked = [walk for walk in live if walk.needs_mask and not walk.take_forced()]
        room_RV = self._room(len(blocked), logits_RV)
        for kept_V, walk in zip(room_RV, blocked, strict=True):
            walk.masked(logits_RV, kept_V)
        for walk, token in zip(blocked, self._chosen(blocked, room_RV, range(len(blocked))), strict=True):
            walk.take(token)

    def _chosen(self, walks: Seq[_Walk], logits_RV: Tensor, rows: Seq[int]) -> list[int]:
        """The target's choice in a row each."""
        if not walks:
            return []
        nothing = DraftBatch.of([EMPTY_TREE] * len(walks), logits_RV.device)
        found = self._inner.verdicts(logits_RV, nothing, [walk.sequence for walk in walks], rows,
                                     [walk.position + len(walk.emitted) for walk in walks])
        return [int(token) for token in found.token_BW[:, 0].tolist()]

    def _room(self, count: int, like_RV: Tensor) -> Tensor:
        """Kept, since the system would have to clear new pages every time."""
        if len(self._room_RV) < count or self._room_RV.shape[1:] != like_RV.shape[1:]:
            self._room_RV = torch.empty(count, like_RV.shape[-1], dtype=like_RV.dtype)
        return self._room_RV[:count]


def _write(whole: VerdictBatch, walk: _Walk) -> None:
    count = len(walk.emitted)
    whole.token_BW[walk.index] = -1
    whole.node_BW[walk.index] = -2
    whole.token_BW[walk.index, :count] = torch.tensor(walk.emitted)
    whole.node_BW[walk.index, :count] = torch.tensor(walk.path[:count])
    whole.count_B[walk.index] = count
