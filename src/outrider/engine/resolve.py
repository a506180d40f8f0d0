"""Settling a round on the host: from verdicts to tokens, cache entries, statistics and commits."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.core.commit import Candidates, Commit, Verdict, VerdictBatch
from outrider.core.distribution import Best, best
from outrider.core.request import Logprobs, TokenLogprob
from outrider.core.stats import Stats
from outrider.engine.plan import Part, Plan
from outrider.engine.sequence import Sequence
from outrider.policy.interface import Fate
from outrider.target.interface import ForwardOutput


@dataclass(frozen=True, slots=True)
class Settled:
    """A sequence after a round: how many tokens it emitted and what its drafter is to be told."""

    part: Part
    emitted: int
    commit: Commit

    @property
    def sequence(self) -> Sequence:
        return self.part.sequence


def fate_of(settled: Settled) -> Fate | None:
    """What became of a draft, for those who drafted: without what the constraint forced."""
    commit = settled.commit
    if commit.verdict is None:
        return None
    drafted = commit.tree.guesses
    return Fate(settled.sequence.track, drafted, tuple(node for node in commit.verdict.path if node < len(drafted)))


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends a sequence besides its own request: the model's end tokens and the size of the context."""

    eos_ids: Collection[int]
    limit: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One part of a round, verified.

    `emitted` are the accepted tokens and then the target's own, `path` the accepted nodes; both empty where a prompt
    goes on. `packed_row` says where its rows begin in the step, `logit_row` which row of the logits is the anchor's.
    """

    part: Part
    emitted: list[int]
    path: tuple[int, ...]
    packed_row: int
    logit_row: int

    @property
    def kept(self) -> list[int]:
        """The rows of the part that stay: all pending ones, then those of accepted nodes."""
        pending = len(self.part.token_P)
        return [*range(pending), *(pending + node for node in self.path)]

    def kept_tokens(self, first: int) -> list[int]:
        """Their tokens. When the round was planned the `first` may not have been known yet."""
        return [first, *self.part.token_P[1:], *(self.part.tree.token_N[node] for node in self.path)]

    @property
    def verdict(self) -> Verdict | None:
        return Verdict(self.path, self.emitted[-1]) if self.emitted else None


def outcomes(plan: Plan, verdicts: VerdictBatch) -> Iterator[Outcome]:
    """The verdicts on the host, a part at a time, in plan order."""
    token_BW, node_BW, count_B = verdicts.token_BW.tolist(), verdicts.node_BW.tolist(), verdicts.count_B.tolist()
    packed_row = logit_row = chosen = 0
    for part in plan.parts:
        emitted, path = [], ()
        if part.choosing:
            count = count_B[chosen]
            emitted, path = token_BW[chosen][:count], tuple(node_BW[chosen][1:count])
            chosen += 1
        logit_row += part.num_logits
        yield Outcome(part, emitted, path, packed_row, logit_row - len(part.tree) - 1)
        packed_row += len(part.token_P) + len(part.tree)


def settle(plan: Plan, output: ForwardOutput, verdicts: VerdictBatch, cache: KVCache[Any], ends: Ends,
           top_RK: list[list[int]], totals: Stats) -> list[Settled]:
    """Every part's consequences, in plan order. The cache keeps pending rows and accepted nodes, nothing else.

    `top_RK` are the target's runners-up behind every logit row, where the drafter wants them. `totals` counts for all.
    """
    settled = []
    for outcome in outcomes(plan, verdicts):
        sequence = outcome.part.sequence
        if sequence.finish_reason is not None:  # it had ended before, when this round was under way already
            continue
        try:
            settled.append(_settle(outcome, output, cache, ends, top_RK, totals))
        except Exception as error:
            sequence.fail(error)
    return settled


def _settle(outcome: Outcome, output: ForwardOutput, cache: KVCache[Any], ends: Ends, top_RK: list[list[int]],
            totals: Stats) -> Settled:
    part, sequence = outcome.part, outcome.part.sequence
    known = cache.length(sequence.row) + 1  # tokens that the drafter has been told of
    if part.scoring:
        _score_prompt(outcome, known, output.logits_RV)
    cache.keep(sequence.row, outcome.kept_tokens(sequence.tokens[known - 1]), outcome.kept)
    if outcome.emitted and not sequence.sampling.max_tokens:  # only the prompt was wanted
        outcome = replace(outcome, emitted=[], path=())
        sequence.finish_reason = "length"
    gained = _gain(outcome, ends, totals)
    _note_logprobs(outcome, gained, output.logits_RV)
    token_n = sequence.tokens[known : known - 1 + len(part.token_P) + max(gained, 1)]
    return Settled(part, gained, _commit(outcome, token_n, output, top_RK))


def _gain(outcome: Outcome, ends: Ends, totals: Stats) -> int:
    """Hands emitted tokens to the sequence until it ends; counts; returns how many it took."""
    part, sequence = outcome.part, outcome.part.sequence
    stop_ids, counted = sequence.stop_ids(ends.eos_ids), (sequence.stats, totals)
    is_round = sequence.num_output > 0
    gained = 0
    for depth, token in enumerate(outcome.emitted):
        source = part.tree.source(outcome.path[depth]) if depth < len(outcome.path) else 0
        gained += 1
        if source:
            for stats in counted:
                stats.count_accepted(depth + 1, source)
        if sequence.gain(token, source, stop_ids, ends.limit):
            break
    if gained and is_round:
        sources = [part.tree.source(node) for node in range(len(part.tree.guesses))]
        for stats in counted:
            stats.count_round(sources, gained)
    if sequence.finish_reason is not None:
        sequence.text.finish()
    return gained


def _commit(outcome: Outcome, token_n: list[int], output: ForwardOutput, top_RK: list[list[int]]) -> Commit:
    """What the drafter is told: tokens gained, the taps before each, the target's runners-up."""
    part, feature_nF, candidates = outcome.part, None, None
    if output.feature_TF is not None:
        feature_nF = output.feature_TF[[outcome.packed_row + row for row in outcome.kept[: len(token_n)]]]
    if top_RK and part.choosing:
        row_token_M = [part.token_P[-1], *part.tree.token_N]
        candidates = Candidates(row_token_M, top_RK[outcome.logit_row : outcome.logit_row + len(row_token_M)])
    return Commit(token_n, feature_nF, part.tree, outcome.verdict, candidates)


def _score_prompt(outcome: Outcome, known: int, logits_RV: Tensor) -> None:
    """Log-probabilities of prompt tokens: every row foretells the one behind it, the first row token `known`.

    A sequence that was sent back computes rows again whose tokens have been scored.
    """
    sequence, count = outcome.part.sequence, outcome.part.sequence.request.prompt_logprobs or 0
    scored = len(sequence.prompt_logprobs)
    token_n = sequence.tokens[scored : min(known + len(outcome.part.token_P), sequence.num_prompt)]
    begin = outcome.logit_row + 1 - len(outcome.part.token_P) + scored - known
    sequence.prompt_logprobs += _logprobs(logits_RV[begin : begin + len(token_n)], token_n, count)


def _note_logprobs(outcome: Outcome, gained: int, logits_RV: Tensor) -> None:
    sequence = outcome.part.sequence
    if sequence.sampling.logprobs is not None and gained:
        rows = [outcome.logit_row, *(outcome.logit_row + 1 + node for node in outcome.path)][:gained]
        sequence.logprobs += _logprobs(logits_RV[rows], outcome.emitted[:gained], sequence.sampling.logprobs)


def _logprobs(logits_nV: Tensor, token_n: list[int], count: int) -> list[Logprobs]:
    """The target's own log-probabilities, before any sampling option."""
    found = []
    for logits_V, token in zip(logits_nV, token_n, strict=True):
        logprob_V = torch.log_softmax(logits_V.double(), -1)
        first = best(logprob_V, count) if count else Best([], [])
        top = tuple(map(TokenLogprob, first.token_K, first.value_K))
        found.append(Logprobs(TokenLogprob(token, float(logprob_V[token])), top))
    return found
