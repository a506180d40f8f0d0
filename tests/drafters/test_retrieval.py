"""What all drafters that look things up have in common."""

from __future__ import annotations

import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.commit import Commit, Verdict
from outrider.core.tree import Budget
from outrider.drafting.interface import SequenceContext
from stub_target import StubTarget, after, build, decode, verdict

COPYING = ("ngram_hash:floor=0;entries=4096", "ngram_hash:floor=0;entries=4096;native=no", "prompt_lookup:max=64",
           "prompt_lookup:max=64;native=no", "suffix:floor=0;max=64", "suffix:floor=0;max=64;native=no")
SPECS = (*COPYING, "recycling:nodes=30")
FROZEN = ("ngram_hash:frozen=yes;floor=0;entries=4096", "ngram_hash:frozen=yes;floor=0;entries=4096;native=no",
          "prompt_lookup:max=64", "prompt_lookup:max=64;native=no", "suffix:frozen=yes;floor=0",
          "suffix:frozen=yes;floor=0;native=no", "recycling:frozen=yes")
TEXT = st.lists(st.integers(0, 4), min_size=2, max_size=80)


@pytest.mark.parametrize("spec", SPECS)
@given(text=TEXT, nodes=st.integers(0, 40), depth=st.integers(0, 12), survival=st.sampled_from([0.0, 0.2, 0.7]))
def test_trees_are_valid_and_within_the_budget(spec: str, text: list[int], nodes: int, depth: int,
                                               survival: float) -> None:
    drafter, budget = build(spec), Budget(nodes, depth, survival)
    tree = drafter.propose([after(drafter, text)], [budget]).trees[0]
    tree.check(budget)
    assert all(0 <= token < 5 for token in tree.token_N)
    assert all(score >= survival for score in tree.score_N)
    assert budget or not len(tree)


@pytest.mark.parametrize("spec", FROZEN)
@given(text=TEXT, seed=st.integers(0, 99))
def test_commits_in_pieces_equal_one_commit(spec: str, text: list[int], seed: int) -> None:
    rng, budget = random.Random(seed), Budget(32, 16)
    drafter = build(spec)
    pieces = drafter.start(SequenceContext(text[0], prediction=(1, 2, 3)))
    at = 1
    while at < len(text):
        size = rng.randrange(1, 5)
        tree = drafter.draft(pieces, budget)
        settled = verdict(tree, text[at : at + size])
        drafter.observe(pieces, Commit(text[at : at + size], None, tree, settled))
        at += size
    whole = after(drafter, text, SequenceContext(text[0], prediction=(1, 2, 3)))
    assert drafter.draft(pieces, budget) == drafter.draft(whole, budget)


@pytest.mark.parametrize("spec", FROZEN)
def test_frozen_memory_stays_as_it_is(spec: str) -> None:
    drafter = build(spec)
    before = copy.deepcopy(_content(drafter.memory))
    decode(drafter, [1, 2, 3] * 40, [4, 1, 2, 3, 1, 2, 3], Budget(8, 8))
    assert _content(drafter.memory) == before


def _content(memory: object) -> object:
    if memory is None:
        return None
    if hasattr(memory, "words"):
        return bytes(memory.words)
    if hasattr(memory, "num_tokens"):
        return memory.num_tokens
    return memory.table().tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize("spec", SPECS)
def test_a_fork_goes_its_own_way(spec: str) -> None:
    budget, text = Budget(16, 16), [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1, 2]
    drafter, twin = build(spec), build(spec)
    state, expected = after(drafter, text), after(twin, text)
    fork = drafter.fork(state)
    if drafter.memory is not None:
        drafter.memory.frozen = True  # what the fork says would be learnt by all; here only the states are compared
    drafter.observe(fork, Commit([9, 9, 9, 1, 2, 9, 9]))
    assert drafter.draft(state, budget) == twin.draft(expected, budget)
    assert drafter.draft(fork, budget) != drafter.draft(state, budget)


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_rounds_give_the_same_drafts(spec: str) -> None:
    rng = random.Random(4)
    prompt = [rng.randrange(30) for _ in range(300)]
    answer = [*prompt[40:140], 7, 8, 9, *prompt[150:200]]
    rounds = {decode(build(spec), prompt, answer, Budget(16, 16)) for _ in range(2)}
    assert len(rounds) == 1


@pytest.mark.parametrize("spec", COPYING)
def test_copying_takes_few_rounds(spec: str) -> None:
    rng = random.Random(5)
    prompt = [rng.randrange(1000) for _ in range(400)]
    answer = [*prompt[100:200], 1, 2, 3, *prompt[205:300]]
    assert decode(build(spec), prompt, answer, Budget(32, 32)) <= 20 < len(answer) // 5


@pytest.mark.parametrize("spec", COPYING)
def test_a_prediction_is_drafted_from_before_anything_else_is_known(spec: str) -> None:
    drafter = build(spec)
    expected = tuple(range(100, 160))
    state = after(drafter, [1, 2, 3, 100, 101, 102, 103], SequenceContext(1, prediction=expected))
    assert list(drafter.draft(state, Budget(8, 8)).token_N)[:6] == [104, 105, 106, 107, 108, 109]
    assert not len(drafter.draft(after(drafter, [1, 2, 3, 100, 101, 102, 103]), Budget(8, 8)))


@pytest.mark.parametrize("spec", SPECS)
def test_two_drafters_share_nothing(spec: str) -> None:
    one, other = build(spec), build(spec)
    decode(one, list(range(50)) * 2, list(range(30)), Budget(8, 8))
    state = after(other, [3, 4])
    assert not len(other.draft(state, Budget(8, 8)))


@pytest.mark.parametrize("spec", ("ngram_hash", "ngram_hash:native=no", "suffix", "suffix:native=no", "recycling"))
def test_what_one_scope_taught_another_does_not_draft(spec: str) -> None:
    drafter = build(spec)
    text = [5, 6, 7, 8, 9, 10, 11, 12] * 3
    state = drafter.start(SequenceContext(1, scope="mine"))
    drafter.observe(state, Commit(text))
    drafter.observe(state, Commit(text, verdict=Verdict(tuple(range(len(text) - 1)), text[-1])))
    drafter.finish(state)
    seen = {scope: len(drafter.draft(after(drafter, text[2:6], SequenceContext(text[2], scope=scope)), Budget(8, 8)))
            for scope in ("mine", "yours", "")}
    assert seen["mine"] > 0 == seen["yours"] == seen[""]


def test_a_batch_is_drafted_as_each_alone() -> None:
    for spec in SPECS:
        drafter = build(spec, StubTarget())
        states = [after(drafter, text) for text in ([1, 2, 3, 1, 2], [4, 4, 4, 4], [7, 8])]
        budgets = [Budget(5, 5), Budget(0, 5), Budget(3, 2)]
        together = drafter.propose(states, budgets).trees
        alone = [drafter.propose([state], [budget]).trees[0] for state, budget in zip(states, budgets, strict=True)]
        assert list(together) == alone
        assert any(len(tree) for tree in alone), spec
