"""The same tokens with any drafter, any tree, any batch, any chunking, any cache: the engine against `none` alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.bench.identity import MARGIN, audit
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.engine.engine import Engine
from outrider.target.tiny import tiny_target
from sampling_values import samplings
from tiny_engine import SPECS, VOCAB, forger, generate, ids, slow_generate, target_of

prompts = st.lists(st.integers(0, VOCAB - 2), min_size=1, max_size=40)
kinds = st.sampled_from(sorted(SPECS))
requests = st.builds(lambda prompt, sampling: Request(tuple(prompt), sampling), prompts,
                     samplings(vocab=VOCAB, max_tokens=14, n=2))


@settings(max_examples=12)
@given(kinds, prompts, samplings(vocab=VOCAB, max_tokens=8))
def test_none_is_decoding_as_written_on_a_page(kind: str, prompt: list[int], sampling: Sampling) -> None:
    target = target_of(kind)
    found = generate(target, "none", [Request(tuple(prompt), replace(sampling, n=2))], prefill_tokens=7)
    assert ids(found) == [[tuple(slow_generate(target, prompt, sampling, sample)) for sample in range(2)]]


@settings(max_examples=80)
@given(kinds, st.lists(requests, min_size=1, max_size=4), st.integers(0, 2**32), st.integers(0, 4),
       st.sampled_from([0.0, 0.6, 0.95, 1.0]), st.integers(1, 5), st.integers(1, 24), st.integers(1, 30))
def test_any_tree_in_any_batch_gives_the_tokens_of_none(  # every axis on which a run may differ
        kind: str, batch: list[Request], seed: int, siblings: int, faith: float, max_sequences: int, max_draft: int,
        prefill_tokens: int) -> None:
    target = target_of(kind)
    alone = [result for request in batch for result in generate(target, "none", [request])]
    drafter = forger(target, alone, seed, siblings, faith)
    together = generate(target, drafter, batch, max_sequences=max_sequences, max_draft=max_draft,
                        prefill_tokens=prefill_tokens)
    assert ids(together) == ids(alone)


@pytest.mark.parametrize("kind", sorted(SPECS))
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_forger_is_believed(kind: str, temperature: float) -> None:
    """The test above has something to test: whole truths are accepted, several tokens a round."""
    target = target_of(kind)
    request = Request((5, 6, 7), Sampling(max_tokens=60, temperature=temperature, seed=4, ignore_eos=True))
    plain = generate(target, "none", [request])
    found = generate(target, forger(target, plain, seed=1, siblings=2, faith=1.0), [request], max_draft=16)
    assert ids(found) == ids(plain)
    assert found[0].stats.tokens_per_round > 2.5
    assert plain[0].stats.tokens_per_round == 1.0


@pytest.mark.parametrize("prompt_size", [1, 2, 15, 16, 17, 31, 32, 33, 48])
def test_block_boundaries_make_no_difference(prompt_size: int) -> None:
    """Trees that begin, end and are accepted across the ends of cache blocks; a second run that hits the first's."""
    target = target_of()
    request = Request(tuple(range(prompt_size)), Sampling(max_tokens=40, temperature=0.7, seed=9, ignore_eos=True))
    plain = generate(target, "none", [request])
    drafter = forger(target, plain, faith=0.9)
    found = generate(target, drafter, [request, request], max_sequences=1, max_draft=20)
    assert ids(found) == [*ids(plain), *ids(plain)]
    assert found[1].stats.cached_tokens == (prompt_size - 1) // 16 * 16


def test_two_hundred_tokens_are_a_hundred_and_a_hundred_more() -> None:
    """A preempted or resumed request keeps its positions, and so its noise."""
    target = target_of()
    sampling = Sampling(max_tokens=200, temperature=0.9, top_p=0.95, repetition_penalty=1.2, seed=77, ignore_eos=True)
    prompt = tuple(range(20, 40))
    whole = generate(target, "none", [Request(prompt, sampling)])[0].ids
    half = replace(sampling, max_tokens=100)
    first = generate(target, "none", [Request(prompt, half)])[0]
    second = generate(target, forger(target, [first]), [Request(prompt + first.ids, half)])[0]
    assert first.ids + second.ids == whole


def test_eight_samples_are_eight_independent_draws() -> None:
    """Each is the same alone, they differ, and the first tokens of many follow the target's own distribution."""
    target = target_of()
    sampling = Sampling(max_tokens=12, temperature=1.0, seed=5, n=8)
    eight = generate(target, "none", [Request((1, 2, 3), sampling)])[0]
    assert len({sample.ids for sample in eight.samples}) == 8
    for index, sample in enumerate(eight.samples):
        assert list(sample.ids) == slow_generate(target, (1, 2, 3), sampling, index)


def test_the_same_seed_in_two_turns_is_not_the_same_noise() -> None:
    """A logit row that is flat whatever came before: only the noise decides, and turns agree by chance alone.

    With 96 equal tokens two independent turns of 1,000 agree in 10.4 places; 35 or more come once in 2e8.
    """
    flat = Sampling(max_tokens=1000, temperature=100.0, seed=3, ignore_eos=True)
    target = target_of()
    first = generate(target, "none", [Request((1, 2), flat)], context=2048)[0].ids
    second = generate(target, "none", [Request((1, 2, *first[:7]), flat)], context=2048)[0].ids
    assert sum(one == other for one, other in zip(first, second, strict=True)) < 35
    assert first[7:] == second[:-7], "absolute positions: the second turn goes on where the first was"


def test_seeds_are_fresh_unless_given() -> None:
    target = target_of()
    request = Request((1, 2, 3), Sampling(max_tokens=12, temperature=1.0, ignore_eos=True))
    runs = ids(generate(target, "none", [request] * 4))
    assert len({run[0] for run in runs}) == 4


def test_float32_leaves_none_only_at_near_ties(device: torch.device) -> None:
    """Measured rather than excluded: the sums of a row vary with the rows beside it, so a tie may fall either way."""
    target = tiny_target(dtype=torch.float32, device=device)
    batch = [Request((seed, 2, 3), Sampling(max_tokens=60, temperature=0.8 * (seed % 2), seed=seed))
             for seed in range(6)]
    plain = [result for request in batch for result in generate(target, "none", [request])]
    engine = Engine(target, forger(target, plain, faith=0.9))
    divergences = audit(engine, batch, [result.ids for result in plain])
    assert all(divergence.gap < MARGIN for divergence in divergences), divergences
