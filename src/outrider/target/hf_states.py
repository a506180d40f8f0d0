"""`ChainTarget`: a transformers model whose layers carry states: chains, rolled back by going back to a copied state.

    tokens of a row   |<──────── committed ────────>|<─ appended by this round ─>|
    saved             ──────────>| a copy, behind which everything may be rejected
    state             ───────────────────────────────────────────────>| what the last pass left

A state cannot be cut. Where a round's tail was rejected, the next pass begins at the copy and replays what was
committed since, in front of its own rows; a long tail is replayed by itself and a new copy taken.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicLayer

from outrider.cache.kv import CacheShape, KVCache
from outrider.cache.payload import Payload, Store
from outrider.core.spec import ModelSpec
from outrider.core.step import Step
from outrider.target.hf_model import HfModel
from outrider.target.hf_target import HfTarget
from outrider.target.interface import ForwardOutput, TargetInfo

REPLAY = 8  # rows; more are replayed in a pass of their own


@dataclass(frozen=True, slots=True)
class State:
    """A model's own cache, None before the first token, and how many tokens it has seen."""

    cache: Any = None
    end: int = 0

    def copied(self) -> State:
        """Keys and values grow by concatenation and are shared; everything else may be written in place."""
        shared = [part for layer in getattr(self.cache, "layers", ()) if isinstance(layer, DynamicLayer)
                  for part in (layer.keys, layer.values) if part is not None]
        return State(copy.deepcopy(self.cache, {id(part): part for part in shared}), self.end)


@dataclass(slots=True)
class Chain:
    """One sequence. `state` is None where it has seen what did not stay."""

    tokens: list[int] = field(default_factory=list)
    appended: list[int] = field(default_factory=list)
    state: State | None = field(default_factory=State)
    saved: State = field(default_factory=State)

    def append(self, done: int, fresh: Sequence[int]) -> None:
        """This round's rows: `fresh` behind the first `done` of those it has appended."""
        if len(self.appended) != done:
            self.state = None
        self.appended = [*self.appended[:done], *fresh]

    def keep(self, token_n: Sequence[int]) -> None:
        """Of the appended tokens these stay."""
        if list(token_n) != self.appended:
            self.state = None
        self.tokens += token_n
        self.appended = []

    def forked(self) -> Chain:
        return Chain(list(self.tokens), [], None, self.saved)


class StateCache(KVCache[Any]):
    """Room and lengths as in any cache, but states instead of pages of the target's: prefixes are not shared."""

    def __init__(self, shape: CacheShape, device: torch.device, stores: Sequence[Store[Any]] = ()) -> None:
        super().__init__(shape, (), device, stores)
        self._chains: dict[int, Chain] = {}

    def open(self, token_n: Sequence[int] = (), scope: str = "") -> int:
        row = super().open()
        self._chains[row] = Chain()
        return row

    def fork(self, row: int) -> int:
        twin = super().fork(row)
        self._chains[twin] = self._chains[row].forked()
        return twin

    def keep(self, row: int, token_n: Sequence[int], path: Sequence[int]) -> None:
        super().keep(row, token_n, path)
        self._chains[row].keep(token_n)

    def release(self, row: int) -> None:
        super().release(row)
        del self._chains[row]

    def chain(self, row: int) -> Chain:
        return self._chains[row]


class ChainTarget(HfTarget):
    """One sequence a pass. `rollback` is false where the model's code takes one token at a time behind its states:
    drafts would then cost a pass a node.
    """

    def __init__(self, model: HfModel, spec: ModelSpec, context: int, fingerprint: str = "", *,
                 one_by_one: bool = False) -> None:
        info = TargetInfo(trees=False, rollback=not one_by_one, taps=model.has_taps, exact=False)
        super().__init__(model, spec, context, fingerprint, info)
        self._one_by_one = one_by_one

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> StateCache:
        """See `interface.Target`; states take memory of their own."""
        shape = self.cache_shape(num_tokens)
        return StateCache(shape, self.device, self.stores(shape, payloads))

    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        assert isinstance(cache, StateCache)
        token_T, logit_row_R = step.token_T.tolist(), step.logit_row_R.tolist()
        found = []
        for span in step.spans:
            assert list(span.parent_A) == list(range(-1, len(span.parent_A) - 1)), "this target verifies chains only"
            end = span.begin + span.count
            wanted = [row - span.begin for row in logit_row_R if span.begin <= row < end]
            chain = cache.chain(span.row)
            chain.append(span.done, token_T[span.begin : end])
            found.append(self._advanced(chain, span.count, wanted, taps))
        return _joined(found)

    def _advanced(self, chain: Chain, count: int, wanted: Sequence[int], taps: Sequence[int]) -> ForwardOutput:
        """Runs what the state has not seen of a chain; logits and taps of its last `count` rows."""
        committed, seen = len(chain.tokens), [*chain.tokens, *chain.appended]
        state, chain.state = chain.state, None  # an interrupted pass leaves nothing that could be taken for whole
        if state is None:
            state = chain.saved.copied()
        if committed - state.end > REPLAY:
            state = self._run(state, seen[state.end : committed], (), ()).state
        if state.end == committed and len(seen) > committed + 1:  # a single row is hardly ever rejected
            chain.saved = state.copied()
        replayed = len(seen) - count - state.end
        ran = self._run(state, seen[state.end :], [replayed + row for row in wanted], taps)
        chain.state, feature_TF = ran.state, ran.output.feature_TF
        return ForwardOutput(ran.output.logits_RV, None if feature_TF is None else feature_TF[replayed:])

    def _run(self, state: State, tokens: Sequence[int], wanted: Sequence[int], taps: Sequence[int]) -> _Ran:
        """The rows of `tokens` in one pass, or one by one."""
        size = 1 if self._one_by_one else len(tokens)
        found = []
        for begin in range(0, len(tokens), size):
            part = torch.tensor(tokens[begin : begin + size], device=self.device)
            rows = torch.tensor([row - begin for row in wanted if begin <= row < begin + size], dtype=torch.int64,
                                device=self.device)
            kept = {} if state.cache is None else {self.model.cache_name: state.cache}
            passed = self.model.run(part, rows, taps, **kept)
            found.append(ForwardOutput(passed.logits_RV, passed.feature_TF))
            state = State(passed.cache, state.end + len(part))
        return _Ran(state, _joined(found))


@dataclass(frozen=True, slots=True)
class _Ran:
    """The state behind a run, and what it put out."""

    state: State
    output: ForwardOutput


def _joined(found: Sequence[ForwardOutput]) -> ForwardOutput:
    features = [one.feature_TF for one in found if one.feature_TF is not None]
    return ForwardOutput(torch.cat([one.logits_RV for one in found]), torch.cat(features) if features else None)
