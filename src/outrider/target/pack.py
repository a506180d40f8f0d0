"""Packing rows of many sequences into one `Step`: pending tokens first, then the nodes of the draft tree.

    one span:   p0  p1  …  anchor | node 0  node 1  node 2 …
    position:   L   L+1    L+P-1  | anchor + depth of the node
    entry:      L   L+1    L+P-1  | L+P+0   L+P+1   L+P+2      (cache order is packed order until `keep`)

Every row sees all committed entries, the pending rows up to itself, and of the nodes its own ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.core.step import Span, Step
from outrider.core.tree import ANCHOR, EMPTY_TREE, DraftTree


@dataclass(frozen=True, slots=True)
class Entry:
    """What one sequence puts into a step: tokens whose keys are not in the cache yet, and a draft behind them.

    The first `done` of these rows are in the cache already, forwarded earlier in the same round: a drafter grows its
    tree level by level that way. `all_logits` asks for logits of the anchor (the last pending row) and every node, as
    far as they are forwarded now; false asks for none.
    """

    row: int
    token_P: Sequence[int]
    tree: DraftTree = EMPTY_TREE
    all_logits: bool = True
    done: int = 0

    @property
    def count(self) -> int:
        return len(self.token_P) + len(self.tree)


def pack(cache: KVCache, entries: Sequence[Entry], window: int, device: torch.device) -> Step:
    """Reserves room in the cache and lays the entries out in one step. Raises: CacheFullError."""
    token: list[int] = []
    position: list[int] = []
    logit_row: list[int] = []
    spans: list[Span] = []
    for entry in entries:
        begin, length, pending = len(token), cache.length(entry.row), len(entry.token_P)
        cache.reserve(entry.row, entry.count)
        anchor = length + pending - 1
        position_M = [*range(length, length + pending), *(anchor + depth for depth in entry.tree.depths())]
        token += [*entry.token_P, *entry.tree.token_N][entry.done :]
        position += position_M[entry.done :]
        if entry.all_logits:
            first = max(pending - 1, entry.done)
            logit_row += range(begin + first - entry.done, begin + entry.count - entry.done)
        spans.append(_span(entry, begin, length, position_M, cache.slots(entry.row, entry.count), window))
    return Step(
        token_T=torch.tensor(token, device=device),
        position_T=torch.tensor(position, device=device),
        slot_T=torch.cat([span.slot_L[len(span.slot_L) - span.count :] for span in spans]),
        spans=tuple(spans),
        logit_row_R=torch.tensor(logit_row, dtype=torch.int64, device=device),
    )


def _span(entry: Entry, begin: int, length: int, position_M: list[int], slot_L: Tensor, window: int) -> Span:
    count, total = entry.count - entry.done, len(slot_L)
    needs_local = 0 < window < total
    if entry.count == 1 and not needs_local:
        return Span(begin, 1, slot_L, None, None)
    visible_ML = torch.ones(count, total, dtype=torch.bool)
    visible_ML[:, length:] = ancestry(entry)[entry.done :]
    local_ML = visible_ML
    if needs_local:
        appended_M = torch.tensor(position_M)
        key_L = torch.cat((torch.arange(length), appended_M))
        local_ML = visible_ML & (appended_M[entry.done :, None] - key_L < window)
    device = slot_L.device
    return Span(begin, count, slot_L, visible_ML.to(device), local_ML.to(device))


def ancestry(entry: Entry) -> Tensor:
    """Which appended row sees which: bool [M, M], row m sees itself, pending rows before it and its ancestors."""
    pending, count = len(entry.token_P), entry.count
    seen_MM = torch.ones(count, count, dtype=torch.bool).tril_()
    parent_N = entry.tree.parent_N
    if list(parent_N) == list(range(-1, len(parent_N) - 1)):
        return seen_MM  # a chain: its ancestors are all rows before it
    rows = seen_MM.numpy()
    for node, parent in enumerate(parent_N):
        above = pending - 1 if parent == ANCHOR else pending + parent
        rows[pending + node] = rows[above]
        rows[pending + node, pending + node] = True
    return seen_MM
