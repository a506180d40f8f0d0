"""Which way of running a transformers model gives the logits that the library gives without a cache: tried, not listed.

A few tokens go through a target as an engine would send them: a prompt in two chunks, a draft, part of it rejected,
another draft. Every row's logits are compared with those of its path as a plain text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from outrider.cache.kv import KVCache
from outrider.core.tree import DraftTree
from outrider.target.hf_target import HfTarget
from outrider.target.pack import Entry, pack

_TREE = DraftTree((5, 1, 6, 2, 7, 3), (-1, 0, -1, 2, 2, 1))
_CHAIN = DraftTree.chain((5, 1, 6, 2))
_PROMPT = (3, 1, 4, 1, 5, 2, 6, 0, 2)
# In units of the logits' own spread. Half precision alone is off by some 0.1, a forgotten context by about 1.
_FAR, _FAR_HALF = 2e-3, 0.3


@dataclass(slots=True)
class _Trial:
    """One sequence on its way through a target, and the largest difference seen."""

    target: HfTarget
    cache: KVCache[Any]
    row: int
    tokens: list[int]
    gap: float = 0.0

    def prefill(self, token_n: Sequence[int]) -> None:
        """Tokens whose logits nobody wants."""
        step = pack(self.cache, [Entry(self.row, token_n, all_logits=False)], self.target.device)
        self.target.forward(step, self.cache)
        self.cache.keep(self.row, token_n, range(len(token_n)))
        self.tokens += token_n

    def round(self, token_n: Sequence[int], tree: DraftTree, path: Sequence[int]) -> None:
        """Pending tokens and a draft, of which `path` is kept."""
        step = pack(self.cache, [Entry(self.row, token_n, tree)], self.target.device)
        logits_RV = self.target.forward(step, self.cache).logits_RV
        self.tokens += token_n
        for node in range(-1, len(tree)):
            text = [*self.tokens, *(tree.token_N[one] for one in tree.path_to(node))]
            wanted_V = self.target.model.plain(torch.tensor(text, device=self.target.device))[-1]
            gap = float((logits_RV[1 + node] - wanted_V).abs().max() / wanted_V.std())
            self.gap = math.inf if math.isnan(gap) else max(self.gap, gap)
        kept = [node + len(token_n) for node in path]
        accepted = [tree.token_N[node] for node in path]
        self.cache.keep(self.row, [*token_n, *accepted], [*range(len(token_n)), *kept])
        self.tokens += accepted


def gap_of(target: HfTarget) -> float:
    """The largest difference between a target's logits and the library's, in units of their spread."""
    cache = target.new_cache(64)
    trial = _Trial(target, cache, cache.open(), [])
    trial.prefill(_PROMPT[:4])
    tree, path = (_TREE, (2, 4)) if target.info.trees else (_CHAIN, (0, 1))
    trial.round(_PROMPT[4:], tree, path)
    trial.round((4,), tree, ())
    trial.round((0,), tree, path[:1])
    cache.release(trial.row)
    return trial.gap


def is_right(target: HfTarget) -> bool:
    """Whether the logits are the library's, as nearly as the precision allows."""
    is_half = target.model.dtype.itemsize < torch.float32.itemsize
    return gap_of(target) < (_FAR_HALF if is_half else _FAR)
