"""`Planner`: from who runs to what the next round forwards, with whatever is drafted for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from outrider.cache.kv import KVCache
from outrider.core.tree import DraftTree
from outrider.drafting.interface import Drafter
from outrider.engine.config import EngineConfig
from outrider.engine.masks import fitted
from outrider.engine.needs import servable
from outrider.engine.plan import Pending, Plan, Standing, ask_for, joined, pending_tokens
from outrider.engine.scheduler import Scheduler
from outrider.engine.sequence import Sequence
from outrider.policy.interface import Ask, Policy
from outrider.target.interface import Target


def most_of(config: EngineConfig, drafter: Drafter[Any], target: Target) -> int:
    """Nodes that may be drafted for a sequence: none where nothing that was rejected could be dropped."""
    return config.max_draft if drafter.drafts and target.info.rollback else 0


def margin_of(config: EngineConfig, drafter: Drafter[Any]) -> int:
    """The room in the cache, in tokens, that a round needs behind a sequence's own for what is drafted.

    What a drafter works in is needed always. What is verified may be cut where room is short, as tokens do not depend
    on it; under the ratio rules they do.
    """
    scratch = max((payload.scratch for payload in drafter.payloads), default=0)
    return scratch if config.rule == "match" else max(config.max_draft, scratch)


class Planner:
    """`fail` is told of a sequence for which nothing can be drafted any more, and why. `limit`: the longest context;
    `most`: nodes that may be drafted for a sequence.
    """

    def __init__(self, config: EngineConfig, target: Target, policy: Policy, scheduler: Scheduler,
                 cache: KVCache[Any], limit: int, margin: int, most: int,
                 fail: Callable[[Sequence, Exception], None]) -> None:
        self._config, self._target, self._policy, self._scheduler = config, target, policy, scheduler
        self._cache, self._limit, self._margin, self._fail = cache, limit, margin, fail
        self._most = most

    def plan(self, under_way: Plan | None = None) -> Plan | None:
        """The next round, behind one that may still be under way; changes nothing that would not bear doing again.

        None where somebody has to be sent back for it, which has to wait until nothing is under way.
        """
        pending = self._pending(under_way)
        while (spare := self._scheduler.spare(pending)) < 0:
            if under_way is not None:
                return None
            self._scheduler.preempt()
            pending = self._pending(None)
        begin_s = time.perf_counter()
        decoding = [index for index, item in enumerate(pending) if item.is_round]
        trees: dict[int, DraftTree] = {}
        if decoding:
            beside = sum(len(item.token_P) for item in pending if not item.is_round)
            most = self._within(spare, len(decoding))
            trees = self._drafted([pending[index] for index in decoding], decoding, most, beside)
        if len(trees) < len(decoding):
            kept = [index for index, item in enumerate(pending) if not item.is_round or index in trees]
            trees = {place: trees[index] for place, index in enumerate(kept) if index in trees}
            pending = [pending[index] for index in kept]
        return joined(pending, trees, self._target.device, time.perf_counter() - begin_s)

    def _pending(self, under_way: Plan | None) -> list[Pending]:
        running = [sequence for sequence in self._scheduler.running if sequence.finish_reason is None]
        if under_way is None:
            standings = [Standing(sequence, self._cache.length(sequence.row)) for sequence in running]
            return pending_tokens(standings, self._config.prefill_tokens)
        flying = {part.sequence: part for part in under_way.parts}
        standings = []
        for sequence in running:
            cached, part = self._cache.length(sequence.row), flying.get(sequence)
            if part is None:
                standings.append(Standing(sequence, cached))
            else:
                standing = Standing(sequence, cached + len(part.token_P), len(part.token_P), int(part.choosing))
                if standing.known < min(self._limit, sequence.num_prompt + max(1, sequence.sampling.max_tokens)) \
                        or not standing.ahead_tokens:
                    standings.append(standing)
        return pending_tokens(standings, self._config.prefill_tokens)

    def _within(self, spare: int, count: int) -> int:
        """How many nodes each of `count` sequences may verify, given the blocks that are left."""
        if spare >= count * (self._cache.blocks_for(self._most) + 1):
            return self._most
        return min(self._most, self._margin + spare // count * self._cache.shape.block_size)

    def _drafted(self, pending: list[Pending], indices: list[int], most: int, beside: int) -> dict[int, DraftTree]:
        """Drafts by index; without those that failed."""
        asks = [ask_for(item.sequence, most, self._limit) for item in pending]
        try:
            drafted = self._policy.draft(asks, beside)
        except Exception:
            return self._drafted_apart(pending, asks, indices, beside)
        return {index: fitted(item.sequence, tree, ask.room) for index, item, ask, tree
                in zip(indices, pending, asks, servable(drafted, self._target.info), strict=True)}

    def _drafted_apart(self, pending: list[Pending], asks: list[Ask], indices: list[int],
                       beside: int) -> dict[int, DraftTree]:
        """Somebody's draft fails: whose, shows when each is asked for alone."""
        trees = {}
        for index, item, ask in zip(indices, pending, asks, strict=True):
            try:
                tree = servable(self._policy.draft([ask], beside), self._target.info)[0]
                trees[index] = fitted(item.sequence, tree, ask.room)
            except Exception as error:
                self._fail(item.sequence, error)
        return trees
