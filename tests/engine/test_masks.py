"""Constraints and the least number of tokens: what comes out is valid, and the same with speculation as without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_engine import Schema, is_valid, json_compiler, json_tokenizer, schemas
from outrider.constrain.grammar import Grammar, choice, json_schema, lark, regex
from outrider.core.constraint import ConstraintState
from outrider.core.request import Request, Result, Speculation
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftTree
from outrider.engine.choices import NativeChooser, ReferenceChooser
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.masks import fitted, visits
from outrider.ops.native import library
from sampling_values import samplings
from tiny_engine import EOS, VOCAB, forger, generate, ids, target_of

CHEAP = ["auto", "suffix", "ngram_hash", "prompt_lookup", "recycling", "prompt_lookup+recycling"]
PERSON = json_schema({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                                       "age": {"type": "integer", "minimum": 0, "maximum": 150},
                                                       "tags": {"type": "array", "maxItems": 3,
                                                                "items": {"enum": ["abc", "abd", "b"]}}},
                      "required": ["name", "age", "tags"], "additionalProperties": False})
prompts = st.lists(st.integers(0, VOCAB - 2), min_size=1, max_size=20)
plain_schemas = schemas.map(json_schema)


def asked(prompt: Sequence[int], grammar: Grammar, sampling: Sampling) -> Request:
    return Request(tuple(prompt), sampling, constraint=json_compiler().compile(grammar))


def answers(drafter: object, batch: list[Request], **options: object) -> list[Result]:
    return generate(target_of(), drafter, batch, json_tokenizer(), **options)


@settings(max_examples=30)
@given(schemas, prompts, st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 2**32))
def test_answers_are_valid_and_whole(schema: Schema, prompt: list[int], temperature: float, seed: int) -> None:
    """Blanks may be many, but not for ever; what was not cut short by the length parses and is valid."""
    sampling = Sampling(temperature=temperature, seed=seed, max_tokens=80)
    for sample in answers("suffix", [asked(prompt, json_schema(schema), sampling)])[0].samples:
        if sample.finish_reason == "stop":
            assert is_valid(json.loads(sample.text), schema), sample.text
        else:
            assert len(sample.ids) == 80
        assert EOS not in sample.ids[:-1]


@settings(max_examples=40)
@given(st.lists(st.tuples(prompts, st.none() | plain_schemas, samplings(vocab=VOCAB, max_tokens=24, n=2)),
                min_size=1, max_size=4),
       st.integers(0, 2**32), st.integers(0, 4), st.sampled_from([0.0, 0.7, 1.0]), st.integers(1, 20))
def test_any_tree_in_any_batch_gives_the_tokens_of_none(
        batch: list[tuple[list[int], Grammar | None, Sampling]], seed: int, siblings: int, faith: float,
        prefill_tokens: int) -> None:
    """Constrained sequences among free ones, every sampling option, trees that hold the truth or not."""
    many = [Request(tuple(prompt), sampling) if grammar is None else asked(prompt, grammar, sampling)
            for prompt, grammar, sampling in batch]
    alone = [result for request in many for result in answers("none", [request])]
    together = answers(forger(target_of(), alone, seed, siblings, faith), many, prefill_tokens=prefill_tokens)
    assert ids(together) == ids(alone)


@pytest.fixture(scope="module")
def varied() -> list[Request]:
    """Greedy and sampled requests with grammars of every kind, and without any."""
    grammars = [PERSON, regex("(ab|abc){9,20}é?"), lark('start: ("{" start "}")~0..9 | "ab"')]
    samplings = [Sampling(temperature=temperature, seed=3, max_tokens=40) for temperature in (0.0, 1.0)]
    return [Request((1, 2, 3), samplings[1]),
            *(asked(range(30), grammar, sampling) for sampling in samplings for grammar in grammars)]


@pytest.fixture(scope="module")
def unsped(varied: list[Request]) -> list[list[tuple[int, ...]]]:
    return ids(answers("none", varied))


@pytest.mark.parametrize("drafter", CHEAP)
def test_cheap_drafters_change_nothing(drafter: str, varied: list[Request],
                                       unsped: list[list[tuple[int, ...]]]) -> None:
    assert ids(answers(drafter, varied)) == unsped


def test_drafts_are_accepted_under_a_constraint() -> None:
    """The tests above have something to test."""
    request = asked(range(9), regex("[a-z]{200,}"), Sampling(max_tokens=60, temperature=0.8, seed=4))
    plain = answers("none", [request])
    found = answers(forger(target_of(), plain, seed=1, faith=1.0), [request], max_draft=16)
    assert ids(found) == ids(plain) and found[0].stats.tokens_per_round > 2.5


@pytest.mark.parametrize(("speculation", "rounds"), [({}, 2), ({"enabled": False}, 19), ({"max_draft": 4}, 4)])
def test_what_must_come_is_drafted(speculation: dict[str, object], rounds: int) -> None:
    """Behind a choice, and behind what somebody guessed; it counts as nobody's draft."""
    request = replace(asked((9, 8), regex("(x|b)cdefghijk(l|m)nopqrstuv"), Sampling(max_tokens=40, seed=2)),
                      speculation=Speculation.of(speculation))
    plain, found = answers("none", [request])[0], answers("prompt_lookup", [request], cache_tokens=64)[0]
    assert found.ids == plain.ids and plain.stats.rounds == 19
    assert found.stats.rounds == rounds and found.stats.drafted == found.stats.accepted == 0


def test_what_must_come_stands_behind_what_was_guessed() -> None:
    tokenizer = json_tokenizer()
    a, b, c, d, x = (tokenizer.encode(letter, special=False)[0] for letter in "abcdx")
    engine = Engine(target_of(), forger(target_of(), []), tokenizer)
    [sequence] = engine.add(asked((1, 2), regex("(a|b)(cd|x)(c|d)?"), Sampling(max_tokens=9)))
    engine.scheduler.admit()
    guessed = DraftTree([a, c, x, b, x], [-1, 0, 0, -1, -1], [1, 2, 1, 1, 3])
    found = fitted(sequence, guessed, Budget(9, 9))
    assert list(zip(found.token_N, found.parent_N, found.source_N, strict=True)) == [
        (a, -1, 1), (c, 0, 2), (x, 0, 1), (b, -1, 1), (d, 1, 0)]
    assert len(found.guesses) == 4 and found.score_N[4] == found.score_N[1]
    assert len(fitted(sequence, guessed, Budget(4, 9))) == len(fitted(sequence, guessed, Budget(9, 2))) == 4
    assert fitted(sequence, guessed, Budget(0, 0)) is guessed


def test_a_constraint_leaves_the_others_alone() -> None:
    """A free request's tokens and log-probabilities are those that it has without company."""
    free = Request((4, 5, 6), Sampling(temperature=0.7, seed=8, max_tokens=30, logprobs=2, ignore_eos=True))
    alone = answers("none", [free])[0]
    beside = answers("suffix", [asked((1, 2), PERSON, Sampling(max_tokens=30)), free])[1]
    assert beside.ids == alone.ids
    for found, wanted in zip(beside.logprobs, alone.logprobs, strict=True):
        assert found.chosen.logprob == pytest.approx(wanted.chosen.logprob, abs=1e-9)


@pytest.mark.parametrize("overlap", ["on", "off"])
def test_whoever_is_preempted_keeps_its_place_in_the_grammar(overlap: str) -> None:
    """The cache is too small for all; held back and free ones run beside each other, launched ahead where they may."""
    letters = regex("(ab|abc|a b){200}")
    batch = [asked((1, 2, size), letters, Sampling(max_tokens=60, temperature=0.5, seed=size)) for size in range(3)]
    free = Sampling(max_tokens=60, min_tokens=40, temperature=2.0, logit_bias={EOS: 2.0})
    batch += [Request((7, size), replace(free, seed=size)) for size in range(3)]
    alone = [answers("none", [request])[0] for request in batch]
    together = answers("none", batch, cache_tokens=144, overlap=overlap, context=80, prefill_tokens=5)
    assert ids(together) == ids(alone)
    assert sum(result.stats.preemptions for result in together) > 0


def test_logprobs_are_those_of_the_target_without_the_constraint() -> None:
    sampling = Sampling(max_tokens=1, logprobs=VOCAB)
    free = answers("none", [Request((1, 2, 3), replace(sampling, ignore_eos=True))])[0]
    held = answers("none", [asked((1, 2, 3), PERSON, sampling)])[0]
    assert held.ids != free.ids and held.logprobs[0].top == free.logprobs[0].top


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_text_ends_where_the_grammar_does(ignore_eos: bool) -> None:
    """A text that nothing can follow ends by itself, without an end token; ignoring these does not help."""
    sampling = Sampling(max_tokens=50, ignore_eos=ignore_eos)
    found = answers("none", [asked((3, 4), choice(["true"]), sampling)])[0]
    assert (found.text, found.finish_reason) == ("true", "stop") and EOS not in found.ids
    open_end = answers("none", [asked((3, 4), regex("(ab)*"), replace(sampling, max_tokens=5))])[0]
    assert open_end.finish_reason == "length" or open_end.ids[-1] == EOS


def test_a_text_that_is_cut_says_so() -> None:
    found = answers("suffix", [asked((3, 4), PERSON, Sampling(max_tokens=4))])[0]
    assert found.finish_reason == "length" and len(found.ids) == 4


@pytest.mark.parametrize("drafter", ["none", "suffix", "recycling"])
@pytest.mark.parametrize("least", [1, 7, 20])
def test_no_end_before_the_least_number_of_tokens(drafter: str, least: int) -> None:
    """The end would be chosen at once: a bias makes it the best token everywhere."""
    ends = Sampling(max_tokens=40, min_tokens=least, logit_bias={EOS: 1e4, 7: 1e4}, stop_ids=(7,))
    found = answers(drafter, [Request((4, 5), ends), Request((5, 5), replace(ends, temperature=1.0, seed=2))])
    for result in found:
        assert result.finish_reason == "stop" and len(result.ids) == least + 1
        assert not {7, EOS} & {*result.ids[:-1]}


def test_the_least_number_of_tokens_yields_to_a_grammar_that_is_over() -> None:
    sampling = Sampling(max_tokens=40, min_tokens=30, logit_bias={EOS: 1e4})
    assert answers("none", [asked((4, 5), choice(["true"]), sampling)])[0].text == "true"
    found = answers("none", [asked((4, 5), regex("[ab]{2,}"), sampling)])[0]
    assert len(found.ids) == 31 and {*found.text} <= {*"ab"}


def test_both_choosers_choose_the_same_among_what_is_allowed() -> None:
    if (native := library.load()) is None:
        pytest.skip("no native library was built here")
    sampling = Sampling(temperature=0.9, top_k=5, repetition_penalty=1.3, logit_bias={2: 3.0}, seed=5, max_tokens=60)
    emitted = []
    for chooser in (NativeChooser(native), ReferenceChooser()):
        config = EngineConfig(draft_policy="fixed:16")
        target = target_of()
        engine = Engine(target, forger(target, []), json_tokenizer(), config, chooser)
        added = [engine.add(asked((1, 2, size), PERSON, sampling))[0] for size in range(6)]
        engine.run()
        emitted.append([sequence.output for sequence in added])
    assert emitted[0] == emitted[1]


def test_visits_of_a_tree() -> None:
    """Only what the constraint allows, each behind its parent; an end is visited, but nothing behind it."""
    compiler, tokenizer = json_compiler(), json_tokenizer()
    a, b, x = (tokenizer.encode(letter, special=False)[0] for letter in "abx")
    tree = DraftTree([a, x, b, b, EOS, a, a, x], [-1, -1, 0, -1, 2, 2, 4, 1])
    state = compiler.compile(regex("(ab){1,2}")).start()
    assert [(visit.node, visit.goes_on) for visit in visits(state, tree)] == [
        (-1, True), (0, True), (2, True), (4, False), (5, True)]
    assert is_at_the_beginning(state, a, b)


def is_at_the_beginning(state: ConstraintState, allowed: int, forbidden: int) -> bool:
    return state.allows(allowed) and not state.allows(forbidden) and not state.allows(EOS)
