"""`ngram_hash`: a hash pool of what followed the last n tokens, shared by all sequences, in constant memory.

Drafting asks the pool for the successor of the longest gram it knows, then of the shorter ones, and goes on from the
token it found. A gram is believed as far as its length and its confidence have earned; the draft ends where the
product of these falls under the floor.

Source: the speculation type `ngram-mod` of llama.cpp, with tags, confidence and back-off added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outrider.core.commit import Commit
from outrider.core.tree import EMPTY_TREE, Budget, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext, TargetView
from outrider.drafting.ngram_pool import NgramPool
from outrider.drafting.rolling import BASE, MASK, MIX, MIX_SHIFT, Gram, Trail, grams
from outrider.drafting.thrift import Thrift

# How often a gram's successor was the token that came, by confidence 1 to 7: measured on edited files, a row a size.
_BELIEF = {1: (0.19, 0.32, 0.40, 0.40, 0.42, 0.42, 0.45), 2: (0.32, 0.42, 0.54, 0.55, 0.58, 0.58, 0.62),
           3: (0.39, 0.45, 0.60, 0.60, 0.70, 0.70, 0.78), 4: (0.55, 0.63, 0.75, 0.75, 0.80, 0.80, 0.85),
           6: (0.77, 0.80, 0.88, 0.90, 0.92, 0.92, 0.95), 8: (0.87, 0.88, 0.93, 0.93, 0.94, 0.95, 0.96),
           12: (0.93, 0.94, 0.96, 0.97, 0.97, 0.97, 0.97), 16: (0.96, 0.96, 0.97, 0.98, 0.98, 0.98, 0.98)}
_OWN_CONFIDENCE = 2


@dataclass(slots=True)
class NgramState:
    """Where a sequence stands. `own` holds what must not, or may not, go into the pool: key to successor."""

    trail: Trail
    levels: tuple[Gram, ...]
    own: dict[int, int] = field(default_factory=dict)


class NgramHashDrafter(HostDrafter[NgramState]):
    """Continues what was seen before in any sequence, prompt or learnt repository."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """max, min: longest and shortest draft. sizes: n of the n-grams. entries: size of the pool, a power of two.
        pool: a file that `outrider train ngram_hash` made. frozen: learn nothing more. floor: least survival drafted,
        a quarter of it for the first `cheap` tokens.
        """

        max: int = 64
        min: int = 1
        sizes: tuple[int, ...] = (16, 8, 6, 4, 3, 2, 1)
        entries: int = 2**22
        pool: str = ""
        frozen: bool = False
        floor: float = 0.2
        cheap: int = 8

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: NgramHashDrafter.Config = self.config
        self.pool = self.memory = NgramPool(target.vocab_size, config.entries, config.sizes, target.fingerprint)
        if config.pool:
            self.pool.load(Path(config.pool))
        self.pool.frozen = config.frozen
        self._belief = {size: (0.0, *_beliefs(size)) for size in self.pool.sizes}

    def start(self, context: SequenceContext) -> NgramState:
        sizes = self.pool.sizes
        state = NgramState(Trail(sizes[0]), grams(sizes, context.scope))
        if context.prediction:
            expected = Trail(sizes[0])
            _remember(state, expected, context.prediction)
        state.trail.extend((context.token,))
        return state

    def observe(self, state: NgramState, commit: Commit) -> None:
        if self.pool.frozen:
            _remember(state, state.trail, commit.token_n)
        else:
            self.pool.follow(state.trail, state.levels, commit.token_n)
        state.trail.trim()

    def fork(self, state: NgramState) -> NgramState:
        return NgramState(state.trail.copy(), state.levels, state.own.copy())

    def draft(self, state: NgramState, budget: Budget) -> DraftTree:
        limit = min(self.config.max, budget.nodes, budget.depth)
        tokens, scores = self._walk(state, limit, Thrift.within(budget, self.config.floor, self.config.cheap))
        return DraftTree.chain(tokens, scores) if len(tokens) >= max(1, self.config.min) else EMPTY_TREE

    def _walk(self, state: NgramState, limit: int, thrift: Thrift) -> tuple[list[int], list[float]]:
        """The chain that the pool tells; written for speed, the keys are those of `Gram.key`."""
        pool, own = self.pool, state.own
        words, index_shift, tag_mask = pool.words, pool.index_shift, pool.tag_mask
        token_shift, confidence_mask = pool.token_shift, pool.confidence_mask
        hash_n = state.trail.hash_n[-(pool.sizes[0] + 1):]
        newest, known = hash_n[-1], len(hash_n)
        levels = [(gram.size, gram.power, gram.salt, self._belief[gram.size]) for gram in state.levels]
        tokens: list[int] = []
        scores: list[float] = []
        survival, allows = 1.0, thrift.allows
        while len(tokens) < limit:
            for size, power, salt, belief in levels:
                if size >= known:
                    continue
                gram = ((newest - hash_n[-1 - size] * power) & MASK) ^ salt
                key = ((gram ^ (gram >> MIX_SHIFT)) * MIX) & MASK
                if own and key in own:
                    token, trust = own[key], belief[_OWN_CONFIDENCE]
                    break
                word = words[key >> index_shift]
                if not (word ^ key) & tag_mask and word & confidence_mask:
                    token, trust = word >> token_shift, belief[word & confidence_mask]
                    break
            else:
                break
            survival *= trust
            if not allows(survival, len(tokens)):
                break
            tokens.append(token)
            scores.append(survival)
            newest = (newest * BASE + token + 1) & MASK
            hash_n.append(newest)
            known += 1
        return tokens, scores


def _remember(state: NgramState, trail: Trail, token_n: Sequence[int]) -> None:
    """Learns for this sequence alone, the newest successor of a gram winning."""
    for token in token_n:
        hash_n = trail.hash_n
        for gram in state.levels:
            if gram.size < len(hash_n):
                state.own[gram.key(hash_n[-1], hash_n[-1 - gram.size])] = token
        trail.extend((token,))


def _beliefs(size: int) -> tuple[float, ...]:
    """The measured row of the nearest size that is not longer."""
    return _BELIEF[max((known for known in _BELIEF if known <= size), default=1)]
