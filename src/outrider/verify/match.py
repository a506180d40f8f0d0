"""Verification by match: a node is accepted if and only if it is what the target chose in its place.

The walk goes from the anchor to where the choice is no child any more, and emits every choice on the way:

    choice after anchor = child? ──yes──> choice after that child = child? ──no──> stop, that choice is the correction

What is emitted is always the target's own choice, so it cannot depend on the tree; the tree decides only how many
choices one pass reveals. `walk` follows B trees at once, asking for one choice a live sequence and depth, so that
softmax, filters and noise are paid only for rows that are reached. `walk_one` is its readable twin.

Source: `specblock_eagle_verification_languages` notes §3.3 (sample-then-match); Daliri, Musco, Suresh (2408.07978).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from outrider.core.commit import Verdict, VerdictBatch
from outrider.core.tree import ANCHOR, DraftBatch, DraftTree

Choice = Callable[[int, tuple[int, ...]], int]
ChoiceBatch = Callable[[Tensor, Tensor, int], Tensor]


def walk_one(tree: DraftTree, choice: Choice) -> Verdict:
    """One tree; `choice(node, emitted)` is the target's token after `node` (-1: the anchor) given what was emitted."""
    node = ANCHOR
    path: list[int] = []
    emitted: tuple[int, ...] = ()
    children = {(tree.parent_N[i], tree.token_N[i]): i for i in range(len(tree))}
    while True:
        token = choice(node, emitted)
        following = children.get((node, token))
        if following is None:
            return Verdict(tuple(path), token)
        node = following
        path.append(node)
        emitted = (*emitted, token)


def walk(draft: DraftBatch, choice: ChoiceBatch) -> VerdictBatch:
    """B trees at once; `choice(node_B, alive_B, depth)` gives the tokens after `node_B`, of any value where not alive.

    Raises: nothing; the result is padded to the deepest draft + 1.
    """
    device, width = draft.token_BN.device, draft.max_depth + 1
    size = len(draft)
    node_B = torch.full((size,), ANCHOR, device=device)
    alive_B = torch.ones(size, dtype=torch.bool, device=device)
    token_BW = torch.full((size, width), -1, device=device)
    node_BW = torch.full((size, width), -2, device=device)
    for depth in range(width):
        choice_B = choice(node_B, alive_B, depth)
        token_BW[:, depth] = torch.where(alive_B, choice_B, token_BW[:, depth])
        node_BW[:, depth] = torch.where(alive_B, node_B, node_BW[:, depth])
        if depth + 1 == width:
            break
        child_BN = (draft.parent_BN == node_B[:, None]) & (draft.token_BN == choice_B[:, None])
        alive_B = alive_B & child_BN.any(1)
        node_B = torch.where(alive_B, child_BN.int().argmax(1), node_B)
        if device.type == "cpu" and not bool(alive_B.any()):
            break
    return VerdictBatch(token_BW, node_BW, (token_BW >= 0).sum(1))
