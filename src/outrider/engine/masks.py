"""What a sequence may not say, taken away from its logits before anybody chooses: constraints and `min_tokens`.

Only rows of sequences that are held back are copied and masked; the others are chosen from as if these were not there,
out of the same logits. What is masked depends on the text before it and nothing else, so drafts cannot change it.
On the CPU `checked.CheckedChooser` does the same with fewer masks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outrider.core.commit import VerdictBatch
from outrider.core.constraint import ConstraintState
from outrider.core.drawn import DrawnTree
from outrider.core.tree import ANCHOR, Budget, DraftBatch, DraftTree
from outrider.engine.choices import Chooser
from outrider.engine.hold import Bits, Hold, all_of
from outrider.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class _Share:
    """Some of a round's sequences, by index, and where their rows are."""

    indices: list[int]
    logits_RV: Tensor
    first_row_B: list[int]


class MaskedChooser:
    """A chooser that shows another one only what may be said. All masks are made before anything is chosen, so that
    a GPU still computes meanwhile."""

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
        whole = blank(draft)
        for share in shares:
            trees = DraftBatch.of([draft.trees[index] for index in share.indices], draft.device)
            part = self._inner.verdicts(share.logits_RV, trees, [sequences[index] for index in share.indices],
                                        share.first_row_B, [position_B[index] for index in share.indices])
            put(whole, share.indices, part)
        return whole

    def runners_up(self, logits_RV: Tensor, count: int) -> list[list[int]]:
        return self._inner.runners_up(logits_RV, count)

    def _masked(self, held: list[int], logits_RV: Tensor, draft: DraftBatch, sequences: Seq[Sequence],
                first_row_B: Seq[int], position_B: Seq[int]) -> _Share:
        """The rows of these sequences, one behind the other, without what they may not say."""
        rows: list[int] = []
        first_rows: list[int] = []
        masks: list[Bits] = []
        for index in held:
            first_rows.append(len(rows))
            tree, first = draft.trees[index], first_row_B[index]
            hold = Hold.of(sequences[index], position_B[index], self._eos_ids, logits_RV.shape[-1])
            masks += _masks(hold, tree)
            rows += range(first, first + 1 + len(tree))
        picked_RV = logits_RV[torch.tensor(rows, device=logits_RV.device)]
        picked_RV.masked_fill_(_unpacked(masks, picked_RV) == 0, -torch.inf)
        return _Share(held, picked_RV, first_rows)


def _masks(hold: Hold, tree: DraftTree) -> list[Bits]:
    """What may follow the anchor (first) and every node that can be accepted at all; anything, behind the others."""
    depth_M = (0, *tree.depths())
    mask_M = [all_of(hold.size) for _ in depth_M]
    if hold.constraint is not None:
        for visit in visits(hold.constraint, tree):
            if visit.goes_on:
                mask_M[1 + visit.node] = hold.mask(depth_M[1 + visit.node])
        return mask_M
    return [hold.mask(depth) for depth in depth_M]


def _unpacked(masks: list[Bits], like_RV: Tensor) -> Tensor:
    """A byte a token, unpacked where the logits are, since eight times as many bytes would have to get there."""
    bits_RB = torch.from_numpy(np.stack(masks)).to(like_RV.device)
    place_8 = torch.arange(8, dtype=torch.uint8, device=like_RV.device)
    return ((bits_RB[..., None] >> place_8) & 1).flatten(1)[:, : like_RV.shape[-1]]


def fitted(sequence: Sequence, tree: DraftTree, room: Budget) -> DraftTree:
    """The draft without the nodes that the sequence's constraint forbids, which would be computed for nothing, and with
    the tokens that it forces behind the others, as far as there is room: these are accepted for certain.

    Nobody guessed those, so their source is 0. Drawn trees stay as they are, as the ratio rules need them, and so do
    those of sequences for which nothing may be drafted.
    """
    state = sequence.constraint
    if state is None or not room or isinstance(tree, DrawnTree) or sequence.track.limits.draws:
        return tree
    kept, forced = list[int](), dict[int, list[int]]()
    depth_M = (0, *tree.depths())
    for visit in visits(state, tree):
        kept += [visit.node] * (visit.node != ANCHOR)
        if visit.goes_on and (found := state.forced()):
            forced[visit.node] = found[: max(0, room.depth - depth_M[1 + visit.node])]
    if len(kept) == len(tree) and not forced:
        return tree
    kept.sort()
    place = {ANCHOR: ANCHOR, **{node: index for index, node in enumerate(kept)}}
    cut = DraftTree([tree.token_N[node] for node in kept], [place[tree.parent_N[node]] for node in kept],
                    [tree.source(node) for node in kept], [tree.score(node) for node in kept])
    guessed = {place[tree.parent_N[node]] for node in kept}  # what is forced there has been guessed already
    return _extended(cut, {place[node]: tokens for node, tokens in forced.items() if place[node] not in guessed}, room)


def _extended(tree: DraftTree, forced: dict[int, list[int]], room: Budget) -> DraftTree:
    """The tree with a chain of tokens, which nobody guessed, behind some of its nodes."""
    token_N, parent_N = list(tree.token_N), list(tree.parent_N)
    score_N = list(tree.score_N)
    for node, tokens in forced.items():
        score = 1.0 if node == ANCHOR else tree.score(node)
        parent = node
        for token in tokens[: max(0, room.nodes - len(token_N))]:
            token_N.append(token)
            parent_N.append(parent)
            score_N.append(score)
            parent = len(token_N) - 1
    return DraftTree(token_N, parent_N, [*tree.source_N, *[0] * (len(token_N) - len(tree))], score_N)


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


def blank(draft: DraftBatch) -> VerdictBatch:
    """Verdicts of a round in which nothing was chosen yet."""
    blank_BW = torch.full((len(draft), draft.max_depth + 1), -1, device=draft.device)
    return VerdictBatch(blank_BW, blank_BW - 1, torch.zeros(len(draft), dtype=torch.int64, device=draft.device))


def put(whole: VerdictBatch, indices: Seq[int], part: VerdictBatch) -> None:
    """Writes the verdicts of some of a round's sequences."""
    width = part.token_BW.shape[1]
    whole.token_BW[indices, :width] = part.token_BW
    whole.node_BW[indices, :width] = part.node_BW
    whole.count_B[indices] = part.count_B
