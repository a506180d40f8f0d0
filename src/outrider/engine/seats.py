"""What a sequence holds while it runs: a row of the cache, a slot on the device, the drafter's state, a policy's track.

Nothing of it belongs to the sequence itself: tokens, text, penalties and noise stay when it is given back.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from outrider.cache.kv import KVCache
from outrider.core.commit import Commit, CommitBatch
from outrider.core.distribution import History
from outrider.core.rule import RuleName
from outrider.core.stats import Stats
from outrider.drafting.interface import Drafter, SequenceContext, Vocabulary
from outrider.engine.limits import limits_of
from outrider.engine.rules import draw_key
from outrider.engine.sequence import Sequence
from outrider.engine.slots import Slots
from outrider.policy.interface import Policy
from outrider.target.interface import Target


class Seats:
    """Gives all of it, or takes all of it back."""

    def __init__(self, target: Target, drafter: Drafter[Any], policy: Policy, rule: RuleName, cache: KVCache[Any],
                 num_slots: int, totals: Stats, vocabulary: Vocabulary | None) -> None:
        self.cache, self.slots = cache, Slots(num_slots, target.device)
        self._target, self._drafter, self._policy, self._rule = target, drafter, policy, rule
        self._totals, self._vocabulary = totals, vocabulary

    def take(self, sequence: Sequence) -> None:
        """The sequence begins with what the cache still holds of its tokens."""
        sequence.started_s = sequence.started_s or time.perf_counter()
        known = [] if sequence.scores_prompt else sequence.tokens
        sequence.row = self.cache.open(known, sequence.request.scope)
        sequence.slot = self.slots.take(sequence.tokens)
        cached = self.cache.length(sequence.row)
        if sequence.turn < 0:
            self._note(sequence, cached)
        context = self._context(sequence)
        sequence.track = self._policy.start(
            limits_of(sequence.request.speculation, self._drafter, context.draw is not None))
        try:
            sequence.state = self._drafter.start(context)
            if cached:
                self.tell([sequence], [sequence.first_commit(cached)])
        except BaseException:
            self.cache.release(sequence.row)
            self.slots.give_back(sequence.slot)
            raise

    def give_back(self, sequence: Sequence) -> None:
        """Even where the drafter cannot finish."""
        try:
            self._policy.finish(sequence.track)
            self._drafter.finish(sequence.state)  # while its pages are still its own
        finally:
            self.cache.release(sequence.row)
            self.slots.give_back(sequence.slot)
            sequence.state = sequence.track = None

    def send_back(self, sequence: Sequence) -> None:
        """It will have to take a seat again, and to read what it has said."""
        self.give_back(sequence)
        for stats in (sequence.stats, self._totals):
            stats.preemptions += 1

    def tell(self, sequences: list[Sequence], commits: list[Commit]) -> None:
        """The drafter hears of tokens gained."""
        states = [sequence.state for sequence in sequences]
        self._drafter.commit(states, CommitBatch(tuple(commits), self._target.device))

    def check_integrity(self, running: list[Sequence], under_way: Collection[Sequence] = ()) -> None:
        """AssertionError where a block leaked, or device and host disagree on a sequence that is not under way."""
        self.cache.check_integrity()
        for sequence in (one for one in running if one not in under_way):
            assert int(self.slots.length_S[sequence.slot]) == len(sequence.tokens), "lengths by slot are wrong"
            assert int(self.slots.last_token_S[sequence.slot]) == sequence.tokens[-1], "last tokens by slot are wrong"
        if not running:
            assert self.cache.num_available == self.cache.shape.num_blocks, "idle, but blocks are held"

    def _note(self, sequence: Sequence, cached: int) -> None:
        sequence.stats.cached_tokens = cached
        self._totals.prompt_tokens += sequence.num_prompt
        self._totals.cached_tokens += cached
        if sequence.sampling.has_penalties:
            sequence.history = History.of(sequence.tokens, [], self._target.vocab_size, self._target.device)

    def _context(self, sequence: Sequence) -> SequenceContext:
        request = sequence.request
        pages = self.cache.pages(sequence.row) if self._drafter.payloads else None
        return SequenceContext(sequence.tokens[0], request.sampling, sequence.key, request.prediction,
                               request.scope, draw_key(self._rule, sequence), pages, sequence.num_prompt,
                               self._vocabulary)
