"""Keys and values after any round equal those of a fresh prefill; nothing is read that is not owned; nothing leaks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.cache.kv import KVCache
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.target.decoder import DecoderTarget
from outrider.target.pack import Entry, pack
from tiny_engine import SPECS, VOCAB, forger, generate, ids, target_of

prompts = st.lists(st.integers(0, VOCAB - 2), min_size=1, max_size=40)


def poison(engine: Engine) -> None:
    """NaN wherever no committed entry of a running row, and no block that can be found again, lies."""
    cache = engine.cache
    key_SGK = cache.layers[0].key_SGK
    is_owned = torch.zeros(len(key_SGK), dtype=torch.bool, device=key_SGK.device)
    size = cache.shape.block_size
    for sequence in engine.scheduler.running:
        is_owned[cache.slots(sequence.row, 0)] = True
    for block in cache._pool._kept:
        is_owned[block * size : (block + 1) * size] = True
    for layer in cache.layers:
        layer.key_SGK[~is_owned] = torch.nan
        layer.value_SGK[~is_owned] = torch.nan


def fresh(target: DecoderTarget, tokens: list[int]) -> tuple[KVCache, int]:
    """A cache into which `tokens` were prefilled in one pass, and their row."""
    cache = target.new_cache(len(tokens))
    row = cache.open()
    target.forward(pack(cache, [Entry(row, tokens, all_logits=False)], target.device), cache)
    cache.keep(row, tokens, range(len(tokens)))
    return cache, row


def check_contents(engine: Engine, target: DecoderTarget) -> None:
    for sequence in engine.scheduler.running:
        length = engine.cache.length(sequence.row)
        if length:
            cache, row = fresh(target, sequence.tokens[:length])
            found, wanted = engine.cache.slots(sequence.row, 0), cache.slots(row, 0)
            for ours, theirs in zip(engine.cache.layers, cache.layers, strict=True):
                torch.testing.assert_close(ours.key_SGK[found], theirs.key_SGK[wanted], rtol=1e-12, atol=1e-12)
                torch.testing.assert_close(ours.value_SGK[found], theirs.value_SGK[wanted], rtol=1e-12, atol=1e-12)


@settings(max_examples=25)
@given(st.sampled_from(sorted(SPECS)), st.lists(prompts, min_size=1, max_size=3), st.integers(0, 2**32),
       st.sampled_from([0.5, 0.9]), st.integers(1, 20))
def test_contents_equal_a_fresh_prefill_after_every_round(kind: str, texts: list[list[int]], seed: int, faith: float,
                                                         prefill_tokens: int) -> None:
    target = target_of(kind)
    requests = [Request(tuple(text), Sampling(max_tokens=12, temperature=0.7, seed=seed)) for text in texts]
    plain = [result for request in requests for result in generate(target, "none", [request])]
    engine = Engine(target, forger(target, plain, seed, 2, faith), None,
                    EngineConfig(prefill_tokens=prefill_tokens, max_draft=12, cache_tokens=512,
                                 draft_policy="fixed:12"))
    groups = [engine.add(request) for request in requests]
    while engine.has_work:
        poison(engine)
        engine.step()
        engine.check_integrity()
        check_contents(engine, target)
    assert [[tuple(item.output) for item in group] for group in groups] == ids(plain)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=4), st.integers(0, 2**32))
def test_aborts_at_any_round_leak_nothing_and_disturb_nobody(aborts: list[tuple[int, int]], seed: int) -> None:
    target = target_of()
    requests = [Request((index, 1, 2), Sampling(max_tokens=14, temperature=0.7, seed=seed, ignore_eos=True))
                for index in range(4)]
    plain = [result for request in requests for result in generate(target, "none", [request])]
    engine = Engine(target, forger(target, plain, seed), None, EngineConfig(
        max_sequences=3, max_draft=3, draft_policy="fixed:3"))
    sequences = [engine.add(request)[0] for request in requests]
    for round_ in range(30):
        for at, victim in aborts:
            if at == round_:
                engine.abort(sequences[victim])
        engine.step()
        engine.check_integrity()
    assert not engine.has_work
    for sequence, result in zip(sequences, plain, strict=True):
        assert tuple(sequence.output) == result.ids[: sequence.num_output]
        assert (sequence.finish_reason == "abort") == (sequence.num_output < len(result.ids))


def test_a_small_cache_serves_many_in_turn() -> None:
    """Sequences wait until their worst case fits; prefixes are evicted; the tokens stay the same."""
    target = target_of()
    requests = [Request(tuple(range(index, index + 20)), Sampling(max_tokens=20, seed=index, temperature=0.9))
                for index in range(8)]
    plain = [result for request in requests for result in generate(target, "none", [request])]
    crowded = generate(target, forger(target, plain), requests, cache_tokens=128, max_draft=10)
    assert ids(crowded) == ids(plain)


def test_prefixes_are_shared_within_a_scope_alone() -> None:
    target = target_of()
    sampling = Sampling(max_tokens=4, seed=1)
    prompt = tuple(range(40))
    found = generate(target, "none", [Request(prompt, sampling, scope=scope) for scope in ("", "anna", "", "anna")],
                     max_sequences=1)
    assert [result.stats.cached_tokens for result in found] == [0, 0, 32, 32]
    assert len({result.ids for result in found}) == 1


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_poison_would_be_noticed(kind: str) -> None:
    """A control: NaN in one committed entry reaches the tokens or the comparison."""
    target = target_of(kind)
    engine = Engine(target, forger(target, []), None, EngineConfig(
        cache_tokens=256, draft_policy="fixed:64"))
    sequence = engine.add(Request(tuple(range(12)), Sampling(max_tokens=9, seed=1)))[0]
    engine.step()
    engine.cache.layers[0].key_SGK[engine.cache.slots(sequence.row, 0)[-1]] = torch.nan
    with pytest.raises(AssertionError):
        check_contents(engine, target)
