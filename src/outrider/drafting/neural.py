"""`NeuralDrafter`: what drafters with a trained network share, from features to pages.

    commit    notes tokens and the target's features before each
    absorb    one batched pass turns what is noted into entries of the drafter's store, in the target's own pages
    propose   absorbs what is left, then drafts

    tokens      t0    t1    t2   …  anchor          feature f(p) is known once token p + 1 is
    features       f0    f1    …  f(s-1)

What a prefix hit brings has no features, but its entries: hits end where a drafter's entries do (`cache.payload`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from outrider.cache.payload import Pages, Payload, Store
from outrider.core.commit import CommitBatch
from outrider.core.draft_spec import DraftSpec
from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.drafting.draws import proposal
from outrider.drafting.guesses import Guess, Question, Request, guesser_for
from outrider.drafting.interface import Drafter, SequenceContext, TargetView
from outrider.drafting.levels import Growth
from outrider.errors import ConfigError
from outrider.io.drafters.open import DraftCheckpoint, open_drafter
from outrider.nn.network import Description, Outputs

_PASS_ROWS = 512
_MOST_PENDING = 64  # more than a round of decoding gains: what a prompt brings can be hit from the next round on


@dataclass(slots=True)
class NeuralState:
    """A sequence as a neural drafter knows it.

    The first `absorbed` features are in the store, `feature_nF` are those behind. `hidden` and `logits` are what the
    pass that absorbed the last of them gave, where a drafter goes on from there.
    """

    context: SequenceContext
    request: Request
    pages: Pages
    token_n: list[int]
    absorbed: int = 0
    feature_nF: list[Tensor] = field(default_factory=list)
    hidden: Tensor | None = None
    logits: Tensor | None = None

    @property
    def anchor(self) -> int:
        """The position of the last token; as many features are known."""
        return len(self.token_n) - 1

    @property
    def num_pending(self) -> int:
        return self.anchor - self.absorbed


@dataclass(frozen=True, slots=True)
class Pending:
    """Features that a sequence is to absorb: those of positions `begin` on."""

    state: NeuralState
    begin: int
    feature_nF: Tensor

    @property
    def end(self) -> int:
        return self.begin + len(self.feature_nF)


Spec = TypeVar("Spec", bound=DraftSpec)


class NeuralDrafter(Drafter[NeuralState], Generic[Spec]):
    """Subclasses say what their network is, what it keeps, how it absorbs and how it drafts."""

    kind: ClassVar[type[DraftSpec]]
    spec: Spec

    def bind(self, target: TargetView) -> None:
        """Loads the network beside the target. Raises: CheckpointError, ConfigError where the two do not fit."""
        super().bind(target)
        checkpoint = self._open()
        self.spec = checkpoint.spec  # type: ignore[assignment]
        self._check()
        self.taps, self.thinking = self.spec.taps, checkpoint.thinking
        self.draws = "chains" if getattr(self.config, "branch", 0) == 1 else "nothing"
        payload = self.payload()
        self.payloads = (payload,)
        weights = {name: checkpoint.tensor(name, checkpoint.dtype(name)).to(target.device) for name in checkpoint.names}
        self._draft_ids = weights.pop("draft_ids", None)
        positions = target.context + max(payload.scratch, payload.entries)  # a token's entries may rotate on behind it
        self.network = target.network(self.describe(), self.prepared(weights), self.spec.stack, positions,
                                      self.config.weights)
        self._guesser = guesser_for(target.info, target.vocab_size)

    @property
    def read_bytes(self) -> int:
        return self.network.read_bytes

    def debt(self, state: NeuralState) -> int:
        return state.num_pending

    @abstractmethod
    def describe(self) -> Description:
        """The network."""

    @abstractmethod
    def payload(self) -> Payload:
        """What is kept for every token."""

    @abstractmethod
    def absorb_rows(self, pending: Sequence[Pending]) -> None:
        """One pass that writes the entries of these features."""

    @abstractmethod
    def draft(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> list[DraftTree]:
        """Trees of sequences that have absorbed everything, within budgets that are not empty."""

    def prepared(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The network's own parameters among a checkpoint's."""
        return weights

    def start(self, context: SequenceContext) -> NeuralState:
        assert context.pages is not None, "a drafter that declares payloads is given pages"
        return NeuralState(context, Request(context.sampling, context.noise), context.pages, [context.token])

    def commit(self, states: Sequence[NeuralState], commits: CommitBatch) -> None:
        for state, commit in zip(states, commits, strict=True):
            state.token_n += commit.token_n
            if commit.feature_nF is None:
                self._skip(state)
            else:
                state.feature_nF.append(commit.feature_nF)
        self.absorb([state for state in states if state.num_pending >= _MOST_PENDING])

    def propose(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> DraftBatch:
        asked = [index for index, budget in enumerate(budgets) if budget and self._room(states[index]) > 0]
        drafting = [states[index] for index in asked]
        self.absorb(drafting)
        within = [replace(budgets[index], depth=min(budgets[index].depth, self._room(states[index])))
                  for index in asked]
        drafted = dict(zip(asked, self.draft(drafting, within) if asked else [], strict=True))
        return DraftBatch.of([drafted.get(index, EMPTY_TREE) for index in range(len(states))], self.target.device)

    def absorb(self, states: Sequence[NeuralState]) -> None:
        """Brings the stores of these sequences up to date, in passes of bounded size."""
        waiting = [state for state in states if state.num_pending]
        while waiting:
            room, chunk = _PASS_ROWS, []
            for state in waiting:
                if room:
                    chunk.append(_first(state, room))
                    room -= len(chunk[-1].feature_nF)
            self.absorb_rows(chunk)
            for pending in chunk:  # only now: what a pass that failed was fed is pending still
                self._settle(pending)
            waiting = [state for state in waiting if state.num_pending]

    def fork(self, state: NeuralState, pages: Pages | None = None) -> NeuralState:
        assert pages is not None, "a fork has pages of its own"
        return replace(state, pages=pages, token_n=list(state.token_n), feature_nF=list(state.feature_nF))

    def finish(self, state: NeuralState) -> None:
        """What completes a block is absorbed still, so that whoever shares the prefix finds it."""
        size = state.pages.cache.shape.block_size
        if state.anchor // size > state.absorbed // size:
            self.absorb([state])

    def extend(self, states: Sequence[NeuralState], growths: Sequence[Growth], logits_RV: Tensor,
               assured: Callable[[list[list[Guess]]], list[list[Guess]]] = lambda guesses: guesses) -> None:
        """Children for all frontiers, whose logits over the target's ids these are, node after node.

        They are guessed, and `assured` may say more of their chances, or drawn where a rule asks for that.
        """
        rows = list(accumulate((len(growth.frontier) for growth in growths), initial=0))
        questions = [Question(state.request, row + index, state.anchor + 1 + growth.depth(node))
                     for state, growth, row in zip(states, growths, rows, strict=False)
                     for index, node in enumerate(growth.frontier)]
        drawing = [state.context.draw for state in states]
        guesses = iter(assured(self._guesser.guesses(logits_RV, questions, self.config.branch)))
        for state, growth, row, key in zip(states, growths, rows, drawing, strict=False):
            found = [next(guesses) for _ in growth.frontier]
            if key is None:
                growth.extend(found, self.config.branch)
            elif growth.frontier:
                growth.draw(proposal(logits_RV[row], state.request.sampling, self.target.vocab_size), key,
                            len(state.token_n))

    def within(self, budget: Budget, depth: int) -> Budget:
        """What is left of a budget by the drafter's own options, and at most so deep."""
        config = self.config
        return replace(budget, nodes=min(budget.nodes, config.nodes), depth=min(budget.depth, depth),
                       min_survival=max(budget.min_survival, config.min))

    def remember(self, pending: Sequence[Pending], outputs: Outputs, rows: int) -> None:
        """Keeps the outputs of each sequence's last `rows` rows, all that a pass was asked for."""
        assert outputs.hidden_RD is not None and outputs.logits_RV is not None, "drafts go on from both"
        hiddens, logits = torch.split(outputs.hidden_RD, rows), torch.split(self.widened(outputs.logits_RV), rows)
        for item, hidden_RD, logits_RV in zip(pending, hiddens, logits, strict=True):
            item.state.hidden, item.state.logits = hidden_RD, logits_RV

    def store(self, state: NeuralState) -> Store[Any]:
        """The same for all sequences."""
        return state.pages.stores[0]

    def widened(self, logits_RV: Tensor) -> Tensor:
        """Logits by the target's ids, where the draft has fewer."""
        if self._draft_ids is None:
            return logits_RV
        wide_RV = logits_RV.new_full((len(logits_RV), self.target.vocab_size), -torch.inf)
        wide_RV[:, self._draft_ids] = logits_RV
        return wide_RV

    def _open(self) -> DraftCheckpoint:
        return open_drafter(Path(self.config.checkpoint), num_target_layers=self.target.num_layers,
                            allow_pickle=self.config.pickle)

    def _check(self) -> None:
        """Raises: ConfigError where the drafter was made for another kind of target."""
        spec, target, name = self.spec, self.target, self.config.checkpoint
        if not isinstance(spec, self.kind):
            raise ConfigError(f"'{name}' is no {self.sources[0]} drafter: choose the drafter of its kind")
        if not target.info.taps:
            raise ConfigError(f"drafter '{self.sources[0]}' reads the target's layers, which this target does not give")
        for what, own, others in (("hidden size", spec.target_hidden_size, target.hidden_size),
                                  ("vocabulary", spec.stack.vocab_size, target.vocab_size),
                                  ("number of layers", spec.num_target_layers or target.num_layers, target.num_layers)):
            if own != others:
                raise ConfigError(f"'{name}' was made for a target whose {what} is {own}, this one's is {others}")
        if max(spec.taps) >= target.num_layers:
            raise ConfigError(f"'{name}' taps layer {max(spec.taps)} of a target with {target.num_layers}")

    def _room(self, state: NeuralState) -> int:
        return self.target.context - len(state.token_n)

    def _skip(self, state: NeuralState) -> None:
        """A prefix hit: the pages have all up to the anchor, whose own entry may need the carried feature."""
        state.absorbed = state.anchor
        if self.store(state).payload.carry and state.anchor:
            state.absorbed -= 1
            carry_C = self.store(state).carry_BC[state.pages.block(state.absorbed)]
            state.feature_nF = [carry_C[None]]

    def _settle(self, pending: Pending) -> None:
        """Notes what a pass has absorbed: how far, the carries, the blocks that are complete."""
        state, store = pending.state, self.store(pending.state)
        size = state.pages.cache.shape.block_size
        if store.payload.carry:
            for position in range(pending.begin | (size - 1), pending.end, size):
                store.carry_BC[state.pages.block(position)] = pending.feature_nF[position - pending.begin]
        state.pages.mark(store, pending.begin, pending.end)
        state.absorbed = pending.end
        rest_nF = state.feature_nF[0][len(pending.feature_nF) :]
        state.feature_nF = [rest_nF] if len(rest_nF) else []


def _first(state: NeuralState, room: int) -> Pending:
    """Up to `room` of a sequence's pending features."""
    if len(state.feature_nF) > 1:
        state.feature_nF = [torch.cat(state.feature_nF)]
    return Pending(state, state.absorbed, state.feature_nF[0][:room])
