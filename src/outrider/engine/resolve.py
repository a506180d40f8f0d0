"""Settling a round on the host: from verdicts to tokens, cache entries, statistics and commits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.core.commit import Candidates, Commit, Verdict, VerdictBatch
from outrider.core.request import Logprobs, TokenLogprob
from outrider.engine.plan import Part, Plan
from outrider.engine.sequence import Sequence
from outrider.target.interface import ForwardOutput


@dataclass(frozen=True, slots=True)
class Settled:
    """A sequence after a round: how many tokens it emitted and what its drafter is to be told."""

    sequence: Sequence
    emitted: int
    commit: Commit


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where a part's rows lie: `packed` in the step (features), `logits` among the logit rows."""

    packed: int
    logits: int


def settle(plan: Plan, output: ForwardOutput, verdicts: VerdictBatch, cache: KVCache, eos_ids: Collection[int],
           limit: int, num_candidates: int) -> list[Settled]:
    """Every part's outcome, in plan order. The cache keeps pending rows and accepted nodes, nothing else."""
    token_BW, node_BW = verdicts.token_BW.tolist(), verdicts.node_BW.tolist()
    counts = verdicts.count_B.tolist()
    top_RK = output.logits_RV.topk(num_candidates).indices.tolist() if num_candidates else []
    settled = []
    rows, chosen = _Rows(0, 0), 0
    for part in plan.parts:
        emitted, nodes = [], []
        if part.choosing:
            emitted, nodes = token_BW[chosen][: counts[chosen]], node_BW[chosen][1 : counts[chosen]]
            chosen += 1
        settled.append(_settle_part(part, Verdict(tuple(nodes), emitted[-1]) if emitted else None, emitted, output,
                                    rows, cache, eos_ids, limit, top_RK))
        width = len(part.token_P) + len(part.tree)
        rows = _Rows(rows.packed + width, rows.logits + (1 + len(part.tree) if part.choosing else 0))
    return settled


def _settle_part(part: Part, verdict: Verdict | None, emitted: list[int], output: ForwardOutput, rows: _Rows,
                 cache: KVCache, eos_ids: Collection[int], limit: int, top_RK: list[list[int]]) -> Settled:
    sequence, pending = part.sequence, len(part.token_P)
    nodes = verdict.path if verdict else ()
    kept = [*range(pending), *(pending + node for node in nodes)]
    cached = cache.length(sequence.row)
    cache.keep(sequence.row, [*part.token_P, *(part.tree.token_N[node] for node in nodes)], kept)
    first_gain = cached + 1
    gained = _gain(part, nodes, emitted, eos_ids, limit)
    if sequence.sampling.logprobs is not None:
        logit_rows = [rows.logits, *(rows.logits + 1 + node for node in nodes)][:gained]
        sequence.logprobs += _logprobs(output.logits_RV[logit_rows], emitted[:gained], sequence.sampling.logprobs)
    token_n = sequence.tokens[first_gain : cached + pending + max(gained, 1)]
    feature_nF = None
    if output.feature_TF is not None:
        feature_nF = output.feature_TF[[rows.packed + row for row in kept[: len(token_n)]]]
    candidates = _candidates(part, rows, top_RK) if top_RK and part.choosing else None
    return Settled(sequence, gained, Commit(token_n, feature_nF, part.tree, verdict, candidates))


def _gain(part: Part, nodes: tuple[int, ...], emitted: list[int], eos_ids: Collection[int], limit: int) -> int:
    """Hands emitted tokens to the sequence until it ends; counts; returns how many it took."""
    sequence, stats = part.sequence, part.sequence.stats
    stop_ids = frozenset(sequence.sampling.stop_ids).union(() if sequence.sampling.ignore_eos else eos_ids)
    is_round = sequence.num_output > 0
    gained = 0
    for depth, token in enumerate(emitted):
        source = part.tree.source(nodes[depth]) if depth < len(nodes) else 0
        gained += 1
        if source:
            stats.count_accepted(depth + 1, source)
        if sequence.gain(token, source, stop_ids, limit):
            break
    if emitted and is_round:
        stats.rounds += 1
        stats.drafted += len(part.tree)
        stats.emitted += gained
    if sequence.finish_reason is not None:
        sequence.text.finish()
    return gained


def _candidates(part: Part, rows: _Rows, top_RK: list[list[int]]) -> Candidates:
    tokens = [part.token_P[-1], *part.tree.token_N]
    return Candidates(tokens, top_RK[rows.logits : rows.logits + len(tokens)])


def _logprobs(logits_nV: Tensor, token_n: list[int], count: int) -> list[Logprobs]:
    """The target's own log-probabilities, before any sampling option."""
    logprob_nV = torch.log_softmax(logits_nV.double(), -1)
    found = []
    for logprob_V, token in zip(logprob_nV, token_n, strict=True):
        best = logprob_V.sort(descending=True, stable=True) if count else None
        top = () if best is None else tuple(TokenLogprob(int(best.indices[i]), float(best.values[i]))
                                            for i in range(min(count, len(logprob_V))))
        found.append(Logprobs(TokenLogprob(token, float(logprob_V[token])), top))
    return found
