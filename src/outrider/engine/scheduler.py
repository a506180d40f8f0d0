"""`Scheduler`: who waits, who runs, who comes next, and who has to make room.

    add ──> waiting ──admit──> running ──remove──> gone
               ^                  │
               └────preempt───────┘   the cache is full: whoever began last gives its pages back

A sequence is let in when what it has fits now, not when the longest answer it may get would. So the cache can fill up;
whoever began first is never sent back, and as it fits alone, it ends.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from outrider.cache.kv import KVCache
from outrider.engine.config import EngineConfig
from outrider.engine.fair_queue import FairQueue
from outrider.engine.plan import Pending
from outrider.engine.seats import Seats
from outrider.engine.sequence import Sequence
from outrider.errors import CacheFullError


class Scheduler:
    """`limit` is the longest context, `margin` the room in tokens that a round needs behind a sequence's own."""

    def __init__(self, config: EngineConfig, seats: Seats, limit: int, margin: int) -> None:
        self.running: list[Sequence] = []
        self.waiting = FairQueue()
        self._config, self._seats, self._limit, self._margin = config, seats, limit, margin
        self._turns = 0

    @property
    def _cache(self) -> KVCache[Any]:
        return self._seats.cache

    @property
    def has_work(self) -> bool:
        return bool(self.running) or self.waiting.peek() is not None

    def check(self, num_prompt: int, max_tokens: int) -> None:
        """Raises: CacheFullError for what would not fit even alone."""
        shape = self._cache.shape
        if self._cache.blocks_for(min(num_prompt + max_tokens, self._limit) + self._margin) > shape.num_blocks:
            raise CacheFullError(f"the request needs more than the cache's {shape.num_slots} tokens: shorten the "
                                 "prompt, lower max_tokens or give the cache more tokens")

    def admit(self) -> list[Sequence]:
        """Start those who are next, as long as what they have fits; returns those that could not be started.

        Nobody overtakes one that does not fit yet, so that large requests do not starve.
        """
        failed = []
        while len(self.running) < self._config.max_sequences and (following := self.waiting.peek()) is not None:
            if not self._fits(following):
                break
            sequence = self.waiting.pop()
            try:
                self._seats.take(sequence)
            except Exception as error:
                sequence.fail(error)
                self.waiting.release(sequence)
                failed.append(sequence)
                continue
            if sequence.turn < 0:
                self._turns += 1
                sequence.turn = self._turns
            self.running.append(sequence)
        return failed

    def spare(self, pending: Seq[Pending]) -> int:
        """Blocks that are left when these have what they need this round; negative: so many are missing."""
        cache, needed = self._cache, 0
        for item in pending:
            behind = len(item.token_P) + (self._margin if item.is_round else 0)
            blocks = cache.blocks_for(item.cached + behind)
            needed += max(0, blocks - cache.num_blocks(item.sequence.row))
        return cache.num_available - needed

    def preempt(self) -> None:
        """Whoever began last waits again, with all that it has said so far. Raises: CacheFullError for the only one."""
        last = max(self.running, key=lambda sequence: sequence.turn)
        if len(self.running) == 1:
            raise CacheFullError(f"one sequence of {len(last.tokens)} tokens does not fit the key-value cache: "
                                 "give the cache more tokens")
        self.running.remove(last)
        self._seats.send_back(last)
        self.waiting.put_back(last)

    def remove(self, sequence: Sequence) -> None:
        """It neither runs nor waits any more."""
        self.waiting.release(sequence)
        if sequence in self.running:
            self.running.remove(sequence)
            self._seats.give_back(sequence)
        else:
            self.waiting.remove(sequence)

    def _fits(self, sequence: Sequence) -> bool:
        """With a block to grow for each that runs, so that nobody is sent back at once."""
        cache = self._cache
        if not self.running:
            return True
        promised = sum(max(0, self._blocks(one) + 1 - cache.num_blocks(one.row)) for one in self.running)
        return self._blocks(sequence) + 1 + promised <= cache.num_available

    def _blocks(self, sequence: Sequence) -> int:
        return self._cache.blocks_for(len(sequence.tokens) + self._margin)
