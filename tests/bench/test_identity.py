"""The audit: each difference found once, with its gap, and every token behind it checked too."""

from __future__ import annotations

import math

import pytest

from outrider.bench.identity import Divergence, audit, first_difference, gap_between, outputs
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafters.none import NoDrafter
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.target.tiny import tiny_target

TARGET = tiny_target(spread=2.0)
PROMPTS = (tuple(range(5, 30)), tuple(range(40, 60)))
SAMPLINGS = [Sampling(max_tokens=24, seed=0), Sampling(max_tokens=24, seed=5, temperature=0.8),
             Sampling(max_tokens=24, seed=5, temperature=1.0, top_k=20, top_p=0.9)]


def engine() -> Engine:
    return Engine(TARGET, NoDrafter(None, TARGET), None, EngineConfig(cache_tokens=1024, max_sequences=2))


def requests(sampling: Sampling) -> list[Request]:
    return [Request(prompt, sampling) for prompt in PROMPTS]


def other(token: int) -> int:
    return (token + 1) % TARGET.vocab_size


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_equal_outputs_have_no_divergence(sampling: Sampling) -> None:
    expected = outputs(engine(), requests(sampling))
    assert [len(output) for output in expected] == [24, 24]
    assert audit(engine(), requests(sampling), expected) == ()


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_one_wrong_token_is_one_divergence_and_the_rest_is_the_same_again(sampling: Sampling) -> None:
    expected = outputs(engine(), requests(sampling))
    found = [list(output) for output in expected]
    found[1][7:] = [other(token) for token in found[1][7:]]
    (divergence,) = audit(engine(), requests(sampling), expected, found)
    assert (divergence.prompt, divergence.token) == (1, 7)
    assert divergence.gap > 0


@pytest.mark.parametrize("at", [0, 9, 23])
@pytest.mark.parametrize("sampling", SAMPLINGS[:2])
def test_the_audit_goes_on_from_the_baselines_own_prefix(sampling: Sampling, at: int) -> None:
    """A baseline with one token that the target would not choose, continued as the target goes on from there."""
    request = requests(sampling)[0]
    chosen = outputs(engine(), [request])[0]
    baseline = [*chosen[:at], other(chosen[at])]
    if at < 23:
        rest = Sampling(max_tokens=23 - at, seed=sampling.seed, temperature=sampling.temperature)
        baseline += outputs(engine(), [Request((*request.token_n, *baseline), rest)])[0]
    gap = gap_between(TARGET, request, chosen[:at], chosen[at], baseline[at])
    assert audit(engine(), [request], [baseline]) == (Divergence(0, at, gap),)


def test_an_output_that_only_ends_earlier_is_no_near_tie() -> None:
    request = requests(SAMPLINGS[0])[0]
    expected = outputs(engine(), [request])
    assert audit(engine(), [request], expected, [expected[0][:20]]) == (Divergence(0, 20, math.inf),)


def test_the_gap_is_the_distance_of_the_logits_when_greedy() -> None:
    request = Request(PROMPTS[0], Sampling(max_tokens=3, seed=0, logprobs=4))
    running = engine()
    sequence = running.add(request)[0]
    running.run()
    top = sequence.logprobs[2].top
    gap = gap_between(TARGET, request, sequence.output[:2], top[0].token, top[3].token)
    assert gap == pytest.approx(top[0].logprob - top[3].logprob, abs=1e-4)


def test_a_token_that_a_filter_removed_is_infinitely_far() -> None:
    request = Request(PROMPTS[0], Sampling(max_tokens=1, seed=0, temperature=1.0, top_k=1))
    chosen = outputs(engine(), [request])[0][0]
    assert gap_between(TARGET, request, [], chosen, other(chosen)) == math.inf
    assert gap_between(TARGET, request, [], other(chosen), other(other(chosen))) == math.inf


@pytest.mark.parametrize(("first", "second", "at"), [
    ([1, 2, 3], [1, 2, 3], None), ([], [], None), ([1, 2], [1, 3], 1), ([1, 2], [1], 1), ([], [4], 0),
])
def test_first_difference(first: list[int], second: list[int], at: int | None) -> None:
    assert first_difference(first, second) == at
