"""Are the tokens the same? Every token of the baseline is checked, also behind the first difference.

    baseline   a b c d e f g h          the target's own choices, one token a round
    found      a b c X . . . .          differs at 3: its gap is looked up in a fresh forward pass over a b c
    resumed            e f Y .          from the baseline's prefix a b c d, same positions, same noise; differs at 6
    resumed                  h          … to the end

The gap is the distance between the two choices in log p + g (in logits when greedy). Where the rows of one forward
pass influence each other's rounding, near-ties may flip: a tiny gap says that it was one, a large gap that something is
wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from outrider.core.distribution import History, noisy, scores
from outrider.core.noise import NoiseKey
from outrider.core.request import Request
from outrider.engine.engine import Engine
from outrider.target.interface import Target
from outrider.target.pack import Entry, pack

MARGIN = 1e-3  # in float32, a difference with a larger gap is no rounding


@dataclass(frozen=True, slots=True)
class Divergence:
    """Output `token` (counted from 0) of prompt `prompt` differs; `gap` is infinite where no tie can explain it."""

    prompt: int
    token: int
    gap: float


@dataclass(frozen=True, slots=True)
class _Tail:
    """What was found for a prompt from output `begin` on."""

    prompt: int
    begin: int
    found: Sequence[int]


def outputs(engine: Engine, requests: Sequence[Request]) -> list[list[int]]:
    """The output ids of each request, all of them in the engine at once."""
    added = [engine.add(request)[0] for request in requests]
    engine.run()
    return [sequence.output for sequence in added]


def audit(engine: Engine, requests: Sequence[Request], expected: Sequence[Sequence[int]],
          found: Sequence[Sequence[int]] | None = None) -> tuple[Divergence, ...]:
    """Every divergence of `engine` from the baseline's outputs, in order of prompt and token.

    `found` are the engine's outputs where they are known already. Requests have a seed, one sample and no stop
    strings (a resumed request would miss one that lies across the seam).
    """
    begun = outputs(engine, requests) if found is None else found
    tails = [_Tail(prompt, 0, ids) for prompt, ids in enumerate(begun)]
    divergences: list[Divergence] = []
    while tails:
        open_ends = []
        for tail in tails:
            wanted = expected[tail.prompt]
            at = first_difference(wanted[tail.begin :], tail.found)
            if at is None:
                continue
            token = tail.begin + at
            is_pair = token < len(wanted) and at < len(tail.found)
            gap = (gap_between(engine.target, requests[tail.prompt], wanted[:token], wanted[token], tail.found[at])
                   if is_pair else math.inf)
            divergences.append(Divergence(tail.prompt, token, gap))
            if is_pair and token + 1 < len(wanted):
                open_ends.append(_Tail(tail.prompt, token + 1, ()))
        resumed = [_resumed(requests[tail.prompt], expected[tail.prompt][: tail.begin]) for tail in open_ends]
        tails = [replace(tail, found=ids) for tail, ids in zip(open_ends, outputs(engine, resumed), strict=True)]
    return tuple(sorted(divergences, key=lambda divergence: (divergence.prompt, divergence.token)))


def first_difference(first: Sequence[int], second: Sequence[int]) -> int | None:
    """The first index at which two sequences differ, the end of the shorter one included; None where they are equal."""
    for index, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return index
    return None if len(first) == len(second) else min(len(first), len(second))


def gap_between(target: Target, request: Request, prefix: Sequence[int], first: int, second: int) -> float:
    """Distance of two candidates for the token behind prompt and `prefix`, from one fresh forward pass."""
    context = [*request.token_n, *prefix]
    cache = target.new_cache(len(context))
    step = pack(cache, [Entry(cache.open(), context)], target.device)
    logits_V = target.forward(step, cache).logits_RV[0]
    sampling = request.sampling
    assert sampling.seed is not None, "the request has no seed"
    history = None
    if sampling.has_penalties:
        history = History.of(list(request.token_n), list(prefix), target.vocab_size, target.device)
    score_V = noisy(scores(logits_V, sampling, history), sampling, NoiseKey(sampling.seed), len(context))
    gap = abs(float(score_V[first] - score_V[second]))
    return math.inf if math.isnan(gap) else gap


def _resumed(request: Request, prefix: Sequence[int]) -> Request:
    sampling = replace(request.sampling, max_tokens=request.sampling.max_tokens - len(prefix))
    return replace(request, token_n=(*request.token_n, *prefix), sampling=sampling)
