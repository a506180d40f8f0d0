"""`Scheduler`: who waits, who runs, and who comes next."""

from __future__ import annotations

from collections import deque
from typing import Any

from outrider.cache.kv import KVCache
from outrider.engine.config import EngineConfig
from outrider.engine.seats import Seats
from outrider.engine.sequence import Sequence
from outrider.errors import CacheFullError


class Scheduler:
    """`limit` is the longest context, `margin` the room that a round wants in the cache behind a sequence's tokens."""

    def __init__(self, config: EngineConfig, seats: Seats, limit: int, margin: int) -> None:
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self._config, self._seats, self._limit, self._margin = config, seats, limit, margin

    @property
    def _cache(self) -> KVCache[Any]:
        return self._seats.cache

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    @property
    def num_waiting(self) -> int:
        return len(self.waiting)

    def check(self, num_prompt: int, max_tokens: int) -> None:
        """Raises: CacheFullError for what would not fit even alone."""
        shape = self._cache.shape
        if self._worst_blocks(num_prompt, max_tokens) > shape.num_blocks:
            raise CacheFullError(f"the request needs more than the cache's {shape.num_slots} tokens: shorten the "
                                 "prompt, lower max_tokens or give the cache more tokens")

    def add(self, sequences: list[Sequence]) -> None:
        """They wait."""
        self.waiting.extend(sequences)

    def admit(self) -> None:
        """Start waiting sequences while their worst case fits, so that a running one never meets a full cache."""
        while self.waiting and len(self.running) < self._config.max_sequences:
            promised = sum(self._worst(sequence) - self._cache.num_blocks(sequence.row) for sequence in self.running)
            if self._worst(self.waiting[0]) > self._cache.num_available - promised:
                return
            self._seats.take(self.waiting[0])
            self.running.append(self.waiting.popleft())

    def remove(self, sequence: Sequence) -> None:
        """It neither runs nor waits any more."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._seats.give_back(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def _worst(self, sequence: Sequence) -> int:
        return self._worst_blocks(sequence.num_prompt, sequence.sampling.max_tokens)

    def _worst_blocks(self, num_prompt: int, max_tokens: int) -> int:
        return self._cache.blocks_for(min(num_prompt + max_tokens, self._limit) + self._margin)
