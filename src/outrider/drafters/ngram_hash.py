"""`ngram_hash`: a hash pool of what followed the last n tokens, shared by all sequences, in constant memory.

`drafting.ngram_pool` says how it learns, `drafting.ngram_index` how it drafts.

Source: the speculation type `ngram-mod` of llama.cpp, with tags, confidence and back-off added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outrider.drafting.interface import TargetView
from outrider.drafting.ngram_index import NgramRules, ngram_index
from outrider.drafting.ngram_pool import NgramPool
from outrider.drafting.retrieval import RetrievalDrafter


class NgramHashDrafter(RetrievalDrafter):
    """Continues what was seen before in any sequence, prompt or learnt repository."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max, min: longest and shortest draft. sizes: n of the n-grams. entries: size of the pool, a power of two.
        pool: a file that `outrider train ngram_hash` made. frozen: learn nothing more. floor: least survival drafted,
        a quarter of it for the first `cheap` tokens. native: look up in C++ where that is built; the same drafts.
        """

        max: int = 64
        min: int = 1
        sizes: tuple[int, ...] = (16, 8, 6, 4, 3, 2, 1)
        entries: int = 2**22
        pool: str = ""
        frozen: bool = False
        floor: float = 0.2
        cheap: int = 8
        native: bool = True

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: NgramHashDrafter.Config = self.config
        self.pool = self.memory = NgramPool(target.vocab_size, config.entries, config.sizes, target.fingerprint)
        if config.pool:
            self.pool.load(Path(config.pool))
        self.pool.frozen = config.frozen
        rules = NgramRules(config.max, config.min, config.floor, config.cheap)
        self.index = ngram_index(self.pool, rules, config.native)
