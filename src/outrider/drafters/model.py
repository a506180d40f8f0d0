"""`model`: a small model of the same vocabulary drafts a chain or a tree for a large one.

It proposes with the target's own keyed noise, argmax of log q + g, and as siblings the next best of the same sum: the
two models then agree about as often as any coupling of their distributions could make them. A node's survival is the
product of shares along its path (`drafting.guesses`). A chain (`branch` 1) costs a pass of the small model for each of
its tokens, and ends where another would cost more than it brings (a policy's `min_step`, or `drafting.price`); a tree
spends wider passes on second guesses where the first is unsure.

Under a ratio rule it draws from q instead. How much is settled before anything is drawn: the survival of the n-th
sibling to be drawn multiplies by the n-th largest chance of q, whichever token it will be.

    commit    only notes the tokens
    propose   forwards what is new, grows the tree level by level in the draft's own cache,
              and next time keeps the part of it that came true

Source: Leviathan et al. 2211.17192; keyed noise after Daliri, Musco, Suresh 2408.07978; growth after EAGLE-2, §4.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from torch import Tensor

from outrider.cache.payload import Pages
from outrider.core.commit import CommitBatch
from outrider.core.drawn import DrawnTree
from outrider.core.ratio_noise import DrawKey
from outrider.core.sampling import Sampling
from outrider.core.tree import ANCHOR, EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.draws import drawn, proposal
from outrider.drafting.guesses import Guess, Question, Request, guesser_for
from outrider.drafting.interface import Drafter, SequenceContext, TargetView
from outrider.drafting.price import FREE, Price
from outrider.errors import CacheFullError, ConfigError, VocabularyError
from outrider.target.interface import Target
from outrider.target.load import MAX_CONTEXT, load_model
from outrider.target.native import NativeTarget
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
    """A sequence as the draft model sees it; `grown` is the tree of the last proposal, `done` its forwarded rows.

    `q_NV` is kept for trees that are drawn.
    """

    context: SequenceContext
    request: Request
    tokens: list[int]
    row: int = -1
    pending: list[int] = field(default_factory=list)
    grown: list[_Node] = field(default_factory=list)
    done: int = 0
    q_NV: list[Tensor] = field(default_factory=list)

    def tree(self) -> DraftTree:
        if not self.grown:
            return EMPTY_TREE
        tokens, parents = [node.token for node in self.grown], [node.parent for node in self.grown]
        survivals = [node.survival for node in self.grown]
        if self.context.draw is not None:
            return DrawnTree(tokens, parents, (), survivals, list(self.q_NV))
        return DraftTree(tokens, parents, (), survivals)

    def depth(self, node: int) -> int:
        return 0 if node == ANCHOR else self.grown[node].depth

    def survival(self, node: int) -> float:
        return 1.0 if node == ANCHOR else self.grown[node].survival


@dataclass(slots=True)
class _Growth:
    """One sequence's proposal while it grows: which nodes the next pass extends, at first the anchor.

    A node's logits are at `row` + node in the last pass. Below a survival of `min` nothing is proposed.
    """

    state: _State
    budget: Budget
    price: Price
    min: float
    frontier: list[int] = field(default_factory=lambda: [ANCHOR])
    row: int = 0

    def passed(self, first_row: int, entry: Entry) -> None:
        """The entry has been forwarded; its logits begin at `first_row`."""
        state = self.state
        self.row = first_row - (state.done - len(state.pending) if state.done else ANCHOR)
        state.done = entry.count

    def questions(self) -> list[Question]:
        """What follows each node of the frontier."""
        state = self.state
        return [Question(state.request, self.row + node, len(state.tokens) + state.depth(node))
                for node in self.frontier]

    def advance(self, begin: int) -> None:
        """What was added from `begin` on is the next frontier, if that pays."""
        added = self.state.grown[begin:]
        survivals = [node.survival for node in added]
        pays = self.price.pays_level(survivals) and max(survivals, default=0.0) >= self.budget.min_step
        self.frontier = list(range(begin, begin + len(added))) if pays else []

    @property
    def floor(self) -> float:
        """The least survival of what is proposed."""
        return max(self.min, self.price.floor)


class ModelDrafter(Drafter[_State]):
    """A classic draft model with its own cache."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which model drafts, and how much.

        `target` names the draft model as any model is named. `max` bounds the depth, `branch` the siblings of a node
        (1 is a chain), `nodes` the tree. A path whose expected survival falls below `min` is not extended, and with
        `thrift` none that is not worth its price, as long as no policy says what that is. Only the first `head` ids
        are drafted, which are the frequent ones where ids are in the order of merges, so that less of the head is
        read; 0 takes all. The others are those of `load_model`.
        """

        target: str
        max: int = 10
        branch: int = 1
        nodes: int = 24
        min: float = 0.0
        thrift: bool = True
        head: int = 0
        dtype: str = ""
        ops: str = ""
        weights: str = ""
        threads: int = 0

    def bind(self, target: TargetView) -> None:
        """Loads the draft model. Raises: VocabularyError where its tokens are not the target's."""
        super().bind(target)
        config: ModelDrafter.Config = self.config
        loaded = load_model(config.target, dtype=config.dtype, device=str(target.device), ops=config.ops,
                            weights=config.weights, threads=config.threads or target.threads)
        if loaded.target.fingerprint != target.fingerprint:
            raise VocabularyError(
                f"draft model '{config.target}' speaks another vocabulary ({loaded.target.vocab_size} ids) than the "
                f"target ({target.vocab_size} ids): choose a draft model of the target's family")
        if not loaded.target.info.rollback:
            raise ConfigError(f"draft model '{config.target}' cannot drop what was rejected: choose another one")
        if config.branch > 1 and not loaded.target.info.trees:
            raise ConfigError(f"draft model '{config.target}' drafts chains only: leave out branch")
        self.model = _headed(loaded.target, config.head)
        self._price = Price(self.model.weight_bytes / target.weight_bytes) if config.thrift else FREE
        self._cache = self.model.new_cache(MAX_CONTEXT)
        self._limit = loaded.target.context
        known = min(target.vocab_size, self.model.vocab_size)
        self._vocab = min(config.head or known, known)
        self._guesser = guesser_for(self.model.info, self._vocab)
        self._warned = False
        self.draws = "chains" if config.branch == 1 else "trees"

    @property
    def read_bytes(self) -> int:
        return self.model.weight_bytes

    def debt(self, state: _State) -> int:
        if state.row < 0:
            state.row = self._cache.open(state.tokens, state.context.scope)  # what another sequence read is no debt
        return max(0, len(state.tokens) - self._cache.length(state.row) - state.done)

    def start(self, context: SequenceContext) -> _State:
        return _State(context, Request(_known(context.sampling, self._vocab), context.noise), [context.token])

    def commit(self, states: Sequence[_State], commits: CommitBatch) -> None:
        for state, commit in zip(states, commits, strict=True):
            state.tokens.extend(commit.token_n)

    def propose(self, states: Sequence[_State], budgets: Sequence[Budget]) -> DraftBatch:
        growing = [_Growth(state, self._within(state, budget), FREE if budget.min_step else self._price,
                           max(self.config.min, budget.min_survival))
                   for state, budget in zip(states, budgets, strict=True) if budget and self._catch_up(state)]
        grown = {id(item.state) for item in growing}
        depth = 0
        while growing := [item for item in growing if item.frontier and depth < item.budget.depth]:
            self._next_level(growing)
            depth += 1
        trees = [state.tree() if id(state) in grown else EMPTY_TREE for state in states]
        return DraftBatch.of(trees, self.target.device)

    def fork(self, state: _State, pages: Pages | None = None) -> _State:
        return _State(state.context, state.request, list(state.tokens))

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
        return replace(budget, nodes=min(budget.nodes, self.config.nodes),
                       depth=min(budget.depth, self.config.max, room))

    def _catch_up(self, state: _State) -> bool:
        """Keeps what came true of the last draft, forwards older tokens, makes room for a tree.

        False where the draft's cache is full, its context too short, or a token unknown to it.
        """
        if len(state.tokens) >= self._limit or self._is_foreign(state):
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
        state.pending, state.grown, state.q_NV, state.done = state.tokens[cached:], [], [], 0
        return True

    def _is_foreign(self, state: _State) -> bool:
        """Whether the target, whose vocabulary may be padded further, has used an id that the draft has no row for."""
        known = self.model.vocab_size
        return known < self.target.vocab_size and any(token >= known for token in state.tokens)

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

    def _next_level(self, growing: Sequence[_Growth]) -> None:
        """One pass over what is new of every sequence, then children for the nodes of the frontiers."""
        entries = [Entry(item.state.row, item.state.pending, item.state.tree(), done=item.state.done)
                   for item in growing]
        logits_RV = self._forward(entries)
        first_row = 0
        for item, entry in zip(growing, entries, strict=True):
            item.passed(first_row, entry)
            first_row += entry.num_logits
        self._guess([item for item in growing if item.state.context.draw is None], logits_RV)
        for item in growing:
            if item.state.context.draw is not None:
                self._draw(item, item.state.context.draw, logits_RV)

    def _guess(self, growing: Sequence[_Growth], logits_RV: Tensor) -> None:
        """Children of the frontiers, one question a node."""
        questions = [question for item in growing for question in item.questions()]
        guesses = iter(self._guesser.guesses(logits_RV, questions, self.config.branch) if questions else ())
        for item in growing:
            self._extend(item, list(islice(guesses, len(item.frontier))))

    def _extend(self, item: _Growth, guesses_F: Sequence[Sequence[Guess]]) -> None:
        """Children of the frontier within the budget, likeliest first; they are the next frontier."""
        state = item.state
        children = [_Node(guess.token, parent, state.depth(parent) + 1, state.survival(parent) * guess.share)
                    for parent, guesses in zip(item.frontier, guesses_F, strict=True) for guess in guesses]
        children = [child for child in children if child.survival >= item.floor]
        children.sort(key=lambda child: -child.survival)
        begin = len(state.grown)
        state.grown += children[: self._level_room(item)]
        item.advance(begin)

    def _draw(self, item: _Growth, key: DrawKey, logits_RV: Tensor) -> None:
        """The same by draws: survivals and numbers of siblings are settled before, and know no drawn token."""
        state, begin, room = item.state, len(item.state.grown), self._level_room(item)
        for parent in sorted(item.frontier, key=lambda node: -state.survival(node)):
            if room <= 0:
                break
            q_V = proposal(logits_RV[item.row + parent], state.request.sampling, self.target.vocab_size)
            top_K = q_V.topk(min(self.config.branch, len(q_V))).values.tolist()
            chances = [state.survival(parent) * chance for chance in top_K if chance > 0.0]
            wanted = [chance for chance in chances if chance >= item.floor][:room]
            tokens = drawn(q_V, key, len(state.tokens), parent, len(wanted)) if wanted else []
            state.grown += [_Node(token, parent, state.depth(parent) + 1, chance)
                            for token, chance in zip(tokens, wanted, strict=True)]
            state.q_NV += [q_V] * len(tokens)
            room -= len(tokens)
        item.advance(begin)

    def _level_room(self, item: _Growth) -> int:
        room = item.budget.nodes - len(item.state.grown)
        return min(room, 2 * self.config.branch if self.config.branch > 1 else 1)

    def _forward(self, entries: Sequence[Entry]) -> Tensor:
        """One pass of the draft model; the logits of each entry's wanted rows, one entry after the other."""
        return self.model.forward(pack(self._cache, entries, self.model.device), self._cache).logits_RV


def _headed(target: Target, head: int) -> Target:
    """Raises: ConfigError where the model has no smaller head to offer."""
    if head == 0:
        return target
    if head < 0 or not isinstance(target, NativeTarget):
        raise ConfigError(f"head={head}: expected how many ids may be drafted, by a draft model on native ops; or 0")
    return target.with_head(min(head, target.vocab_size))


def _known(sampling: Sampling, vocab: int) -> Sampling:
    """Without the biases of ids that are not drafted."""
    if all(token < vocab for token in sampling.logit_bias):
        return sampling
    return replace(sampling, logit_bias={token: bias for token, bias in sampling.logit_bias.items() if token < vocab})
