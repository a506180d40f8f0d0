"""Random arrivals, aborts and caches from barely enough to plenty: every answer is the one that it is alone.

`check_integrity` holds after every round, nobody waits for ever, and launching ahead changes no token.
"""

from __future__ import annotations

import random
from collections.abc import Sequence as Seq
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.request import Request, Speculation
from outrider.core.rule import RuleName
from outrider.core.sampling import Sampling
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.sequence import Sequence
from outrider.target.load import LoadedModel
from outrider.testing.tiny_drafts import tiny_draft
from tiny_engine import VOCAB, generate, target_of, tiny_tokenizer

BLOCK = 16


@cache
def requests_of(seed: int) -> tuple[Request, ...]:
    """All kinds beside one another: long and short, shared beginnings, penalties, samples, scopes, stops."""
    draw = random.Random(seed)
    shared = tuple(draw.randrange(VOCAB - 1) for _ in range(40))
    found = []
    for index in range(draw.randint(3, 9)):
        own = tuple(draw.randrange(VOCAB - 1) for _ in range(draw.choice((1, 3, 16, 40))))
        sampling = Sampling(
            max_tokens=draw.choice((0, 1, 2, 9, 30)), temperature=draw.choice((0.0, 0.8)), seed=index,
            n=draw.choice((1, 1, 1, 3)), ignore_eos=draw.random() < 0.5,
            frequency_penalty=draw.choice((0.0, 0.0, 0.3)), repetition_penalty=draw.choice((1.0, 1.0, 1.2)),
            stop_ids=draw.choice(((), (3,))), logprobs=draw.choice((None, None, 1)))
        speculation = Speculation(enabled=draw.random() < 0.7)
        found.append(Request((*shared[: draw.choice((0, 20, 40))], *own), sampling, scope=draw.choice(("", "anna")),
                             speculation=speculation, prompt_logprobs=draw.choice((None, None, 0))))
    return tuple(found)


@cache
def alone(seed: int) -> list[list[tuple[int, ...]]]:
    return [[sample.ids for sample in generate(target_of(), "none", [request], tiny_tokenizer())[0].samples]
            for request in requests_of(seed)]


def need(request: Request) -> int:
    """Blocks with which it just fits."""
    return -(-(len(request.token_n) + request.sampling.max_tokens) // BLOCK)


def lived(engine: Engine, requests: Seq[Request], draw: random.Random, aborts: float) -> list[list[Sequence]]:
    """Requests come between rounds, and some of their samples go again; the engine is whole after every round."""
    waiting, groups, rounds = list(requests), [], 0
    while waiting or engine.has_work:
        while waiting and draw.random() < 0.4:
            groups.append(engine.add(waiting.pop(0)))
        engine.step()
        engine.check_integrity()
        for sequence in [one for group in groups for one in group if one.finish_reason is None]:
            if draw.random() < aborts:
                engine.abort(sequence)
                engine.check_integrity()
        rounds += 1
        assert rounds < 4000, "somebody starves"
    return groups


def check(seed: int, groups: list[list[Sequence]]) -> None:
    for request, group, wanted in zip(requests_of(seed), groups, alone(seed), strict=True):
        for sequence, ids in zip(group, wanted, strict=True):
            found = tuple(sequence.output)
            if sequence.finish_reason == "abort":
                assert found == ids[: len(found)]
                continue
            assert found == ids
            assert len(sequence.logprobs) == (len(ids) if request.sampling.logprobs is not None else 0)
            if request.prompt_logprobs is not None and not sequence.sample:
                assert len(sequence.prompt_logprobs) == len(request.token_n)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 15), st.integers(0, 2**32), st.sampled_from([0, 1, 3, 40]), st.sampled_from([0.0, 0.0, 0.02]),
       st.sampled_from([4, 20, 512]), st.integers(1, 5), st.sampled_from(["none", "suffix", "ngram_hash+recycling"]),
       st.sampled_from(["on", "off"]))
def test_tokens_do_not_depend_on_company_or_room(seed: int, dice: int, spare: int, aborts: float, prefill: int,
                                                 most: int, drafter: str, overlap: str) -> None:
    target = target_of()
    blocks = max(map(need, requests_of(seed))) + spare
    engine = Engine(target, drafter_of(drafter, target), tiny_tokenizer(), EngineConfig(
        max_sequences=most, cache_tokens=blocks * BLOCK, prefill_tokens=prefill, max_draft=6, draft_policy="fixed:6",
        overlap=overlap))  # type: ignore[arg-type]
    check(seed, lived(engine, requests_of(seed), random.Random(dice), aborts))
    assert not engine.has_work
    engine.close()


def engine_of(blocks: int, most: int = 4, drafter: str = "none", **options: Any) -> Engine:
    target = target_of()
    config = EngineConfig(max_sequences=most, cache_tokens=blocks * BLOCK, **options)
    return Engine(target, drafter_of(drafter, target), tiny_tokenizer(), config)


LONG = Sampling(max_tokens=100, temperature=0.9, seed=1, ignore_eos=True, repetition_penalty=1.1)


def test_who_began_last_makes_room_and_goes_on_as_if_nothing_had_happened() -> None:
    engine = engine_of(10)
    requests = [Request((1, index), replace(LONG, seed=index), scope=str(index)) for index in range(4)]
    sequences = [engine.add(request)[0] for request in requests]
    engine.run()
    engine.check_integrity()
    assert [sequence.stats.preemptions > 0 for sequence in sequences] == [False, True, True, True]
    assert engine.stats.preemptions == sum(sequence.stats.preemptions for sequence in sequences)
    for request, sequence in zip(requests, sequences, strict=True):
        result = generate(target_of(), "none", [request], tiny_tokenizer())[0]
        assert (result.ids, result.text) == (tuple(sequence.output), sequence.text.text)
        assert sequence.stats.rounds == result.stats.rounds


def test_a_request_starts_where_its_longest_answer_would_not_fit_beside_the_others() -> None:
    engine = engine_of(16)
    sequences = [engine.add(Request((1, index), replace(LONG, max_tokens=250, seed=index)))[0] for index in range(4)]
    engine.step()
    assert [sequence.num_output for sequence in sequences] == [1, 1, 1, 1]
    for sequence in sequences:
        engine.abort(sequence)
    engine.check_integrity()


def test_scopes_take_turns() -> None:
    """Nine requests of one user do not keep another's waiting."""
    engine = engine_of(100, most=1)
    short = replace(LONG, max_tokens=3)
    many = [engine.add(Request((1, index), short, scope="many"))[0] for index in range(9)]
    few = [engine.add(Request((2, index), short, scope="few"))[0] for index in range(2)]
    order = []
    while engine.has_work:
        order += [one for one in engine.step() if one.finish_reason]
    assert order == [many[0], few[0], many[1], few[1], *many[2:]]


def test_a_large_request_is_not_overtaken_for_ever() -> None:
    engine = engine_of(12)
    first = engine.add(Request((1,) * 60, replace(LONG, max_tokens=20)))[0]
    large = engine.add(Request((2,) * 150, replace(LONG, max_tokens=9)))[0]
    small = [engine.add(Request((3, index), replace(LONG, max_tokens=60)))[0] for index in range(3)]
    order = []
    while engine.has_work:
        order += [one for one in engine.step() if one.finish_reason]
    assert order[:2] == [first, large] and set(order[2:]) == set(small)


def test_a_long_prompt_starves_neither_decoding_nor_other_prompts() -> None:
    engine = engine_of(200, prefill_tokens=64)
    decoding = engine.add(Request((1, 2), LONG))[0]
    engine.step()
    long = engine.add(Request((3,) * 1000, LONG))[0]
    short = engine.add(Request((4,) * 20, LONG))[0]
    for rounds in range(1, 10):
        engine.step()
        assert decoding.num_output == 1 + rounds
    assert short.num_output > 5 and not long.num_output


def test_samples_of_a_request_read_its_prompt_once() -> None:
    engine = engine_of(60, most=8)
    samples = engine.add(Request((5,) * 70, replace(LONG, n=6, max_tokens=4)))
    engine.run()
    assert [sample.stats.cached_tokens for sample in samples] == [0, *[64] * 5]
    assert len({tuple(sample.output) for sample in samples}) > 1


@pytest.mark.parametrize(("drafter", "changes", "ahead"), [
    ("none", {}, True), ("suffix", {}, False), ("suffix", {"enabled": False}, True),
    ("prompt_lookup", {"max_draft": 0}, True), ("recycling", {"enabled": False}, False)])
def test_rounds_go_ahead_where_nothing_can_be_drafted(drafter: str, changes: dict[str, bool], ahead: bool) -> None:
    """One that ends, or is aborted, while the next round is under way keeps its seat until that is home."""
    engine = engine_of(60, drafter=drafter, overlap="on")
    plain = replace(LONG, repetition_penalty=1.0)
    sequences = [engine.add(Request((1, index), replace(plain, seed=index), speculation=Speculation(**changes)))[0]
                 for index in range(4)]
    for _ in range(20):
        engine.step()
    assert (engine._flight is not None) == ahead
    engine.abort(sequences[0])
    engine.check_integrity()
    wanted = sequences[1].tokens[:]
    engine.step()
    assert sequences[0] not in engine.scheduler.running
    assert sequences[1].tokens[: len(wanted)] == wanted and len(sequences[1].tokens) > len(wanted)
    for sequence in sequences:
        engine.abort(sequence)
    assert not engine.has_work
    engine.check_integrity()
    engine.close()


@pytest.mark.parametrize("broken", [range(6, 7), range(9, 12), range(6, 400)])
def test_a_pass_that_fails_ahead_is_run_again_by_itself(broken: range, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, calls = engine_of(60, overlap="on"), iter(range(10**6))
    plain = replace(LONG, repetition_penalty=1.0, max_tokens=20)
    requests = [Request((1, index), replace(plain, seed=index)) for index in (0, 1)]
    wanted = [generate(target_of(), "none", [request])[0].ids for request in requests]
    forward = engine.target.forward

    def failing(*arguments: Any) -> Any:
        if next(calls) in broken:
            raise RuntimeError("out of memory")
        return forward(*arguments)

    monkeypatch.setattr(engine.target, "forward", failing)
    sequences = [engine.add(request)[0] for request in requests]
    while engine.has_work:
        engine.round()
        engine.check_integrity()
    failed = [sequence for sequence in sequences if sequence.error is not None]
    assert len(failed) == {1: 0, 3: 1, 394: 2}[len(broken)], "one pass; it, the one behind, and the first alone; all"
    for sequence, ids in zip(sequences, wanted, strict=True):
        assert sequence.error is not None or tuple(sequence.output) == ids
    engine.close()


@pytest.mark.parametrize(("rule", "drafter"), [
    ("match", "model:target=toy;thrift=no;max=3;branch=2"), ("match", "eagle3:checkpoint=eagle3-reduced;max=3"),
    ("match", "dflash:checkpoint=dspark;max=3"), ("ratio", "model:target=toy;thrift=no;max=3"), ("ratio", "none"),
    ("block", "model:target=toy;thrift=no;max=3"), ("block", "eagle3:checkpoint=eagle3-reduced;branch=1;max=3")])
def test_whoever_is_sent_back_says_the_same_under_every_rule(
        rule: RuleName, drafter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds begin where they would have begun, so that under the ratio rules too the same is drafted and drawn."""
    kin = target_of(seed=0, spread=0.6)
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: LoadedModel("toy", kin, None))
    monkeypatch.setattr("outrider.drafting.neural.open_drafter",
                        lambda path, **_: tiny_draft(path, target=target_of().spec))
    target, found = target_of(), []
    sampling = Sampling(max_tokens=60, temperature=1.0, top_k=3, ignore_eos=True)
    for blocks in (14, 80):
        engine = Engine(target, drafter_of(drafter, target), None, EngineConfig(
            max_sequences=4, cache_tokens=blocks * BLOCK, max_draft=5, rule=rule, draft_policy="fixed:5"))
        sequences = [engine.add(Request((1, index), replace(sampling, seed=index)))[0] for index in range(4)]
        while engine.has_work:
            engine.step()
            engine.check_integrity()
        found.append([sequence.output for sequence in sequences])
        assert (engine.stats.preemptions > 0) == (blocks == 14)
        engine.close()
    assert found[0] == found[1]
