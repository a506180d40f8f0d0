"""`model`: a small model of the same vocabulary drafts a chain or a tree for a large one.

It proposes with the target's own keyed noise, argmax of log q + g, and as siblings the next best of the same sum: the
two models then agree about as often as any coupling of their distributions could make them. A chain (`branch` 1) costs
`max` passes of the small model; a tree spends wider passes on second guesses where the first is unsure.

    commit    only notes the tokens
    propose   forwards what is new, grows the tree level by level in the draft's own cache,
              and next time keeps the part of it that came true

Source: Leviathan et al. 2211.17192; keyed noise after Daliri, Musco, Suresh 2408.07978; growth after EAGLE-2, §4.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from outrider.core.commit import CommitBatch
from outrider.core.distribution import noisy, scores
from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.interface import Drafter, SequenceContext, TargetView
from outrider.errors import CacheFullError, VocabularyError
from outrider.target.load import MAX_CONTEXT, load_model
from outrider.target.pack import Entry, pack

_PREFILL_ROWS = 512


@dataclass(slots=True)
class _Node:
    """A drafted token: `survival` multiplies along the path."""

    token: int
    parent: int
    depth: int
    survival: float


@dataclass(slots=True)
class _State:
    """A sequence as the draft model sees it; `grown` is the tree of the last proposal, `done` its forwarded rows."""

    context: SequenceContext
    tokens: list[int]
    row: int = -1
    pending: list[int] = field(default_factory=list)
    grown: list[_Node] = field(default_factory=list)
    done: int = 0

    def tree(self) -> DraftTree:
        return DraftTree([node.token for node in self.grown], [node.parent for node in self.grown],
                         (), [node.survival for node in self.grown])


@dataclass(slots=True)
class _Growth:
    """One sequence's proposal while it grows: which nodes the next pass extends."""

    state: _State
    budget: Budget
    frontier: list[int]


class ModelDrafter(Drafter[_State]):
    """A classic draft model with its own cache."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which model drafts, and how much.

        `target` names the draft model as any model is named. `max` bounds the depth, `branch` the siblings of a node
        (1 is a chain), `nodes` the tree. A path whose expected survival falls below `min` is not extended. The others
        are those of `load_model`.
        """

        target: str
        max: int = 5
        branch: int = 1
        nodes: int = 24
        min: float = 0.0
        dtype: str = ""
        ops: str = ""
        weights: str = ""
        threads: int = 0

    def bind(self, target: TargetView) -> None:
        """Loads the draft model. Raises: VocabularyError where its tokens are not the target's."""
        super().bind(target)
        config: ModelDrafter.Config = self.config
        loaded = load_model(config.target, dtype=config.dtype, device=str(target.device), ops=config.ops,
                            weights=config.weights, threads=config.threads)
        if loaded.target.fingerprint != target.fingerprint:
            raise VocabularyError(
                f"draft model '{config.target}' speaks another vocabulary ({loaded.target.vocab_size} ids) than the "
                f"target ({target.vocab_size} ids): choose a draft model of the target's family")
        self.model = loaded.target
        self._cache = self.model.new_cache(MAX_CONTEXT)
        self._limit = loaded.target.context
        self._vocab = min(target.vocab_size, self.model.vocab_size)
        self._warned = False

    def start(self, context: SequenceContext) -> _State:
        return _State(context, [context.token])

    def commit(self, states: Sequence[_State], commits: CommitBatch) -> None:
        for state, commit in zip(states, commits, strict=True):
            state.tokens.extend(commit.token_n)

    def propose(self, states: Sequence[_State], budgets: Sequence[Budget]) -> DraftBatch:
        growing = [_Growth(state, self._within(state, budget), [])
                   for state, budget in zip(states, budgets, strict=True) if budget and self._catch_up(state)]
        grown = {id(item.state) for item in growing}
        self._first_level(growing)
        depth = 1
        while growing := [item for item in growing if item.frontier and depth < item.budget.depth]:
            self._next_level(growing)
            depth += 1
        trees = [state.tree() if id(state) in grown else EMPTY_TREE for state in states]
        return DraftBatch.of(trees, self.target.device)

    def fork(self, state: _State) -> _State:
        return _State(state.context, list(state.tokens))

    def finish(self, state: _State) -> None:
        if state.row >= 0:
            self._cache.release(state.row)
            state.row = -1

    def check_integrity(self, states: Sequence[_State]) -> None:
        self._cache.check_integrity()
        held = any(state.row >= 0 for state in states)
        assert held or self._cache.num_available == self._cache.shape.num_blocks, "the draft's cache holds ended rows"

    def _within(self, state: _State, budget: Budget) -> Budget:
        room = self._limit - len(state.tokens)
        return Budget(min(budget.nodes, self.config.nodes), min(budget.depth, self.config.max, room))

    def _catch_up(self, state: _State) -> bool:
        """Keeps what came true of the last draft, forwards older tokens, makes room for a tree.

        False where the draft's cache is full or its context too short.
        """
        if len(state.tokens) >= self._limit:
            return False
        try:
            if state.row < 0:
                state.row = self._cache.open(state.tokens, state.context.scope)
            else:
                self._keep_true(state)
            cached = self._cache.length(state.row)
            while len(state.tokens) - cached > _PREFILL_ROWS:
                chunk = state.tokens[cached : cached + _PREFILL_ROWS]
                self._forward([Entry(state.row, chunk, all_logits=False)])
                self._cache.keep(state.row, chunk, range(len(chunk)))
                cached += len(chunk)
            self._cache.reserve(state.row, len(state.tokens) - cached + self.config.nodes)
        except CacheFullError:
            self.finish(state)
            if not self._warned:
                logging.getLogger(__name__).warning("the draft model's cache is full: some sequences get no drafts")
                self._warned = True
            return False
        state.pending, state.grown, state.done = state.tokens[cached:], [], 0
        return True

    def _keep_true(self, state: _State) -> None:
        """Entries of the last proposal that turned out to be the sequence's own tokens stay in the cache."""
        begin = self._cache.length(state.row)
        # Never the anchor: its row has to be computed to know what follows.
        kept = list(range(min(len(state.pending), state.done, len(state.tokens) - 1 - begin)))
        node = ANCHOR
        for token in state.tokens[begin + len(state.pending) : -1]:
            child = next((index for index, one in enumerate(state.grown) if one.parent == node and one.token == token),
                         None)
            if child is None or len(state.pending) + child >= state.done:
                break
            kept.append(len(state.pending) + child)
            node = child
        self._cache.keep(state.row, state.tokens[begin : begin + len(kept)], kept)

    def _first_level(self, growing: Sequence[_Growth]) -> None:
        logits = self._forward([Entry(item.state.row, item.state.pending) for item in growing]) if growing else ()
        for item, logits_1V in zip(growing, logits, strict=True):
            item.state.done = len(item.state.pending)
            self._extend(item, [ANCHOR], logits_1V)

    def _next_level(self, growing: Sequence[_Growth]) -> None:
        """One pass over the newest nodes of every tree, then children for the frontier's."""
        logits = self._forward([Entry(item.state.row, item.state.pending, item.state.tree(), done=item.state.done)
                                for item in growing])
        for item, logits_NV in zip(growing, logits, strict=True):
            first = item.state.done - len(item.state.pending)
            item.state.done = len(item.state.pending) + len(item.state.grown)
            self._extend(item, item.frontier, logits_NV[[node - first for node in item.frontier]])

    def _extend(self, item: _Growth, parents: Sequence[int], logits_FV: Tensor) -> None:
        """Children of `parents` within the budget, likeliest first; they are the next frontier."""
        state, config = item.state, self.config
        children = [child for parent, logits_V in zip(parents, logits_FV, strict=True)
                    for child in self._children(state, parent, logits_V) if child.survival >= self._floor(item)]
        children.sort(key=lambda child: -child.survival)
        room = item.budget.nodes - len(state.grown)
        begin = len(state.grown)
        state.grown += children[: min(room, 2 * config.branch if config.branch > 1 else 1)]
        item.frontier = list(range(begin, len(state.grown)))

    def _floor(self, item: _Growth) -> float:
        config: ModelDrafter.Config = self.config
        return max(config.min, item.budget.min_survival)

    def _children(self, state: _State, parent: int, logits_V: Tensor) -> list[_Node]:
        """The `branch` best tokens of log q + g after `parent`; survival is their share of exp(log q + g)."""
        depth = 1 if parent == ANCHOR else state.grown[parent].depth + 1
        above = 1.0 if parent == ANCHOR else state.grown[parent].survival
        sampling = state.context.sampling
        position = len(state.tokens) + depth - 1
        noisy_V = noisy(scores(logits_V[: self._vocab], sampling), sampling, state.context.noise, position)
        best = noisy_V.topk(self.config.branch)
        share = (best.values - noisy_V.logsumexp(-1)).exp().tolist()
        return [_Node(token, parent, depth, above * part)
                for token, part in zip(best.indices.tolist(), share, strict=True)]

    def _forward(self, entries: Sequence[Entry]) -> Sequence[Tensor]:
        """One pass of the draft model; the logits of each entry's wanted rows."""
        step = pack(self._cache, entries, self.model.device)
        logits_RV = self.model.forward(step, self._cache).logits_RV
        counts = [entry.count - max(len(entry.token_P) - 1, entry.done) if entry.all_logits else 0 for entry in entries]
        return torch.split(logits_RV, counts)
