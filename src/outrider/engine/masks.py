"""What a sequence may not say, taken away from its logits before anybody chooses: constraints and `min_tokens`.

Only rows of sequences that are held back are copied and masked; the others are chosen from as if these were not there,
out of the same logits. What is masked depends on the text before it and nothing else, so drafts cannot change it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.constraint import ConstraintState
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR, DraftBatch, DraftTree
from outrider.engine.choices import Chooser
from outrider.engine.sequence import Sequence

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Share:
    """Some of a round's sequences, by index, and where their rows are."""

    indices: list[int]
    logits_RV: Tensor
    first_row_B: list[int]


class MaskedChooser:
    """A chooser that shows another one only what may be said."""

    def __init__(self, inner: Chooser, eos_ids: Collection[int]) -> None:
        self._inner, self._eos_ids = inner, eos_ids

    def verdicts(self, logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                 first_row_B: Seq[int], position_B: Seq[int]) -> VerdictBatch:
        held = [index for index, sequence in enumerate(sequences) if sequence.is_held_back]
        if not held:
            return self._inner.verdicts(logits_RV, draft, sequences, first_row_B, position_B)
        free = [index for index, sequence in enumerate(sequences) if not sequence.is_held_back]
        shares = [self._masked(held, logits_RV, draft, sequences, first_row_B, position_B)]
        if free:
            shares.append(_Share(free, logits_RV, [first_row_B[index] for index in free]))
        blank_BW = torch.full((len(draft), draft.max_depth + 1), -1, device=draft.device)
        whole = VerdictBatch(blank_BW, blank_BW - 1, torch.zeros(len(draft), dtype=torch.int64, device=draft.device))
        for share in shares:
            trees = DraftBatch.of([draft.trees[index] for index in share.indices], draft.device)
            part = self._inner.verdicts(share.logits_RV, trees, [sequences[index] for index in share.indices],
                                        share.first_row_B, [position_B[index] for index in share.indices])
            _put(whole, share.indices, part)
        return whole

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        return self._inner.runners_up(logits_RV, count)

    def _masked(self, held: list[int], logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                first_row_B: Seq[int], position_B: Seq[int]) -> _Share:
        """The rows of these sequences, one behind the other, without what they may not say."""
        rows: list[int] = []
        first_rows: list[int] = []
        forbidden_RV = np.zeros((sum(1 + len(draft.trees[index]) for index in held), logits_RV.shape[-1]), np.bool_)
        for index in held:
            first_rows.append(len(rows))
            tree, first = draft.trees[index], first_row_B[index]
            self._forbid(forbidden_RV[len(rows) :], sequences[index], tree, position_B[index])
            rows += range(first, first + 1 + len(tree))
        picked_RV = logits_RV[torch.tensor(rows, device=logits_RV.device)]
        picked_RV.masked_fill_(torch.from_numpy(forbidden_RV).to(logits_RV.device), -torch.inf)
        return _Share(held, picked_RV, first_rows)

    def _forbid(self, forbidden_MV: Bits, sequence: Sequence, tree: DraftTree, position: int) -> None:
        """Marks what may not follow the anchor (row 0) and every node (row 1 + node) that can be accepted at all."""
        size = forbidden_MV.shape[1]
        if sequence.constraint is not None:
            for visit in visits(sequence.constraint, tree):
                if visit.goes_on:
                    forbidden_MV[1 + visit.node] = _forbidden(sequence.constraint.mask(), size)
        missing = sequence.sampling.min_tokens - (position - sequence.num_prompt)
        stops = [token for token in sequence.stop_ids(self._eos_ids) if token < size]
        for row, depth in enumerate((0, *tree.depths()) if missing > 0 else ()):
            if depth < missing and not _only(forbidden_MV[row], stops):
                forbidden_MV[row, stops] = True


def pruned(sequence: Sequence, tree: DraftTree) -> DraftTree:
    """The draft without the nodes that the sequence's constraint forbids, which would be computed for nothing.

    Drawn trees stay as they are, as the ratio rules need them.
    """
    if sequence.constraint is None or not len(tree) or isinstance(tree, DrawnTree):
        return tree
    kept = sorted(visit.node for visit in visits(sequence.constraint, tree) if visit.node != ANCHOR)
    if len(kept) == len(tree):
        return tree
    place = {ANCHOR: ANCHOR, **{node: index for index, node in enumerate(kept)}}
    return DraftTree([tree.token_N[node] for node in kept], [place[tree.parent_N[node]] for node in kept],
                     [tree.source(node) for node in kept], [tree.score(node) for node in kept])


@dataclass(frozen=True, slots=True)
class Visit:
    """A node that may be accepted (-1: the anchor); `goes_on`: it is no end, and the state stands behind it."""

    node: int
    goes_on: bool


def visits(state: ConstraintState, tree: DraftTree) -> Iterator[Visit]:
    """The anchor and all nodes that the constraint allows, each behind its parent; the state ends where it began."""
    yield Visit(ANCHOR, True)
    children: dict[int, list[int]] = {}
    for node in range(len(tree) - 1, -1, -1):
        children.setdefault(tree.parent_N[node], []).append(node)
    depth_N = tree.depths()
    waiting, advanced = children.get(ANCHOR, []), 0
    try:
        while waiting:
            node = waiting.pop()
            state.rollback(advanced - depth_N[node] + 1)
            advanced = depth_N[node] - 1
            goes_on = state.advance(tree.token_N[node])
            advanced += goes_on
            if goes_on or state.allows(tree.token_N[node]):
                yield Visit(node, goes_on)
            if goes_on:
                waiting += children.get(node, [])
    finally:
        state.rollback(advanced)


def _forbidden(mask: bytes, size: int) -> Bits:
    forbidden = np.ones(size, np.bool_)
    bits = np.unpackbits(~np.frombuffer(mask, np.uint8), bitorder="little")[:size].view(np.bool_)
    forbidden[: len(bits)] = bits
    return forbidden


def _only(forbidden_V: Bits, tokens: list[int]) -> bool:
    """Whether nothing but `tokens` is left."""
    return bool(np.count_nonzero(~forbidden_V) == np.count_nonzero(~forbidden_V[tokens]))


def _put(whole: VerdictBatch, indices: list[int], part: VerdictBatch) -> None:
    width = part.token_BW.shape[1]
    whole.token_BW[indices, :width] = part.token_BW
    whole.node_BW[indices, :width] = part.node_BW
    whole.count_B[indices] = part.count_B
