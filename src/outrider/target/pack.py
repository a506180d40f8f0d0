"""Packing rows of many sequences into one `Step`: pending tokens first, then the nodes of the draft tree.

    one span:   p0  p1  …  anchor | node 0  node 1  node 2 …
    position:   L   L+1    L+P-1  | anchor + depth of the node
    entry:      L   L+1    L+P-1  | L+P+0   L+P+1   L+P+2      (cache order is packed order until `keep`)

Every row sees all committed entries, the pending rows up to itself, and of the nodes its own ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from outrider.cache.kv import KVCache
from outrider.core.ids import ids
from outrider.core.step import Span, Step
from outrider.core.tree import ANCHOR, EMPTY_TREE, DraftTree


@dataclass(frozen=True, slots=True)
class Entry:
    """What one sequence puts into a step: tokens whose keys are not in the cache yet, and a draft behind them.

    The first `done` of these rows are in the cache already, forwarded earlier in the same round: a drafter grows its
    tree level by level that way. `all_logits` asks for logits of the anchor (the last pending row) and every node, as
    far as they are forwarded now; false asks for none. `prompt_logits` asks for those of every row. `ahead` entries
    of a pass that is still under way lie between the committed ones and these; they will all be committed.
    """

    row: int
    token_P: Sequence[int]
    tree: DraftTree = EMPTY_TREE
    all_logits: bool = True
    done: int = 0
    prompt_logits: bool = False
    ahead: int = 0

    @property
    def count(self) -> int:
        return len(self.token_P) + len(self.tree)

    @property
    def unread(self) -> int:
        """The rows, of those forwarded now, before the first whose logits are asked for."""
        if self.prompt_logits:
            return 0
        return max(len(self.token_P) - 1 - self.done, 0) if self.all_logits else self.count - self.done

    @property
    def num_logits(self) -> int:
        """The rows whose logits are asked for."""
        return self.count - self.done - self.unread

    def parents(self) -> list[int]:
        """The appended row before each in its own branch: pending rows form a chain, and the tree hangs from it."""
        pending = len(self.token_P)
        tree = (pending - 1 if parent == ANCHOR else pending + parent for parent in self.tree.parent_N)
        return [*range(-1, pending - 1), *tree]


def pack(cache: KVCache[Any], entries: Sequence[Entry], device: torch.device, best_only: bool = False) -> Step:
    """Reserves room in the cache and lays the entries out in one step; `best_only` is the step's.

    Raises: CacheFullError.
    """
    token: list[int] = []
    position: list[int] = []
    logit_row: list[int] = []
    spans: list[Span] = []
    for entry in entries:
        cache.reserve(entry.row, entry.ahead + entry.count)
        begin, count = len(token), entry.count - entry.done
        slot_L = cache.slots(entry.row, entry.ahead + entry.count)
        span = Span(begin, count, cache.length(entry.row) + entry.ahead, slot_L, entry.parents(), row=entry.row)
        token += [*entry.token_P, *entry.tree.token_N][entry.done :]
        position += span.position_A[entry.done :]
        logit_row += range(begin + entry.unread, begin + count)
        spans.append(span)
    slots = [span.slot_L[len(span.slot_L) - span.count :] for span in spans]
    return Step(
        token_T=ids(token, device),
        position_T=ids(position, device),
        slot_T=slots[0] if len(slots) == 1 else torch.cat(slots),
        spans=tuple(spans),
        logit_row_R=ids(logit_row, device),
        best_only=best_only,
    )
