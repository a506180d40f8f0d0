"""Members: running means, rests, and what asking costs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import EMPTY_TREE
from outrider.policy.members import Mean, Member, Past, Rest
from scripted_policy import PLAIN_S, ROWS_FREE, Clock, Scripted, Table, always, chain, mixed

WORD = chain(1, 2)


def network(share: float = 0.1) -> Member:
    return Member(0, Scripted(always(WORD), Clock(), network=share), 0, share)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=100))
def test_a_mean_lies_among_its_values(values: list[float]) -> None:
    mean = Mean(1e6)
    for value in values:
        mean.add(value)
    assert min(values) - 1e-6 <= mean.value <= max(values) + 1e-6, "the value before the first counts nothing"


def test_a_mean_is_at_first_that_of_all_and_later_forgets() -> None:
    mean = Mean(0.0)
    for value in (1.0, 2.0, 6.0):
        mean.add(value)
    assert mean.value == pytest.approx(3.0)
    for _ in range(200):
        mean.add(9.0)
    assert mean.value == pytest.approx(9.0, abs=0.01)


def test_rests_grow_are_capped_and_end_with_the_first_word() -> None:
    rest, rests = Rest(), []
    for _ in range(12):
        rest.settle(False)
        skipped = 0
        while rest.skips():
            skipped += 1
        rests.append(skipped)
    assert rests[0] >= 1 and all(after in (before, 2 * before) for before, after in pairwise(rests))
    assert rests[-1] == rests[-2] == rests[-3] > rests[0]
    rest.settle(False)
    rest.settle(True)
    assert not rest.skips()
    rest.settle(False)
    assert rest.left == rests[0], "the next one is short again"


def calls(seconds: float, rounds: int = 200) -> int:
    """How often a lookup with nothing to say is asked."""
    clock = Clock()
    drafter = Scripted(always(EMPTY_TREE), clock, seconds=seconds)
    Table(drafter, ROWS_FREE, clock).sit().rounds(rounds)
    return len(drafter.calls)


def test_lookups_rest_only_where_asking_is_dear() -> None:
    assert calls(0.0) == calls(PLAIN_S * 1e-4) == 200
    assert 200 / 20 < calls(PLAIN_S * 0.2) < 60


def test_every_sequence_has_rests_of_its_own() -> None:
    clock, said = Clock(), WORD
    turns = iter(range(10**9))

    def for_the_first(budget: object) -> object:
        return said if next(turns) == 0 else EMPTY_TREE

    drafter = Scripted(for_the_first, clock, seconds=PLAIN_S)  # type: ignore[arg-type]
    played = Table(drafter, ROWS_FREE, clock).sit(2)
    for _ in range(30):
        turns = iter(range(10**9))
        played.round()
    assert drafter.calls.count(1) > drafter.calls.count(2), "mostly the first alone"
    assert len(drafter.calls) == 30


def test_one_that_speaks_again_is_asked_in_every_round() -> None:
    clock, said = Clock(), EMPTY_TREE
    drafter = Scripted(lambda budget: always(said)(budget), clock, seconds=PLAIN_S * 0.1)
    played = Table(drafter, ROWS_FREE, clock).sit()
    played.rounds(100)
    said = WORD
    played.rounds(40)
    before = len(drafter.calls)
    played.rounds(30)
    assert len(drafter.calls) == before + 30


def test_second_opinions_are_not_asked_for_where_the_first_is_sure() -> None:
    clock = Clock()
    sure, unsure = chain(1, score=0.9), chain(1, score=0.05)
    for said, asked in ((sure, 0), (unsure, 10), (EMPTY_TREE, 10)):
        first, second = Scripted(always(said), clock, name="first"), Scripted(always(WORD), clock, name="second")
        Table(mixed(first, second), ROWS_FREE, clock).sit().rounds(10)
        assert (len(first.calls), len(second.calls)) == (10, asked)


def test_a_networks_step_is_known_by_count_and_guessed_for_others() -> None:
    one = network()
    assert one.step_s(4, PLAIN_S) == pytest.approx(0.1 * PLAIN_S), "by what it reads"
    for _ in range(200):
        one.ran(0.3, [3], 0, PLAIN_S)  # far more than it reads: believed after a while
    assert one.step_s(1, PLAIN_S) == pytest.approx(0.1, rel=0.05)
    assert one.step_s(1, PLAIN_S) < one.step_s(2, PLAIN_S) < one.step_s(8, PLAIN_S) < 8 * one.step_s(1, PLAIN_S)
    for _ in range(200):
        one.ran(0.36, [3, 3], 0, PLAIN_S)
    assert one.step_s(2, PLAIN_S) == pytest.approx(0.12, rel=0.05)


def test_a_single_hiccup_is_not_believed() -> None:
    one = network()
    for _ in range(50):
        one.ran(0.003, [3], 0, PLAIN_S)
    before = one.step_s(1, PLAIN_S)
    one.ran(3.0, [3], 0, PLAIN_S)
    assert one.step_s(1, PLAIN_S) < 1.5 * before


def test_a_debts_price_is_learnt_apart() -> None:
    one = network()
    for _ in range(50):
        one.ran(0.003, [3], 1, PLAIN_S)
    assert one.debt_s(100, PLAIN_S) == pytest.approx(100 * 0.1 * PLAIN_S)
    one.ran(0.003 + 1000 * 0.002, [3], 1000, PLAIN_S)
    assert one.debt_s(100, PLAIN_S) == pytest.approx(0.2)
    assert one.step_s(1, PLAIN_S) == pytest.approx(0.001, rel=0.1)


def test_own_evidence_outweighs_that_of_others_and_fades() -> None:
    one, lucky = network(), Past()
    for _ in range(100):
        one.settle(Past(), 0, 4, 4)
    assert one.expected(Past()) < 0.1
    for _ in range(30):
        lucky.gain.add(4.0)
    assert one.expected(lucky) > 2.0
    for _ in range(300):
        one.left_out(lucky)
    assert one.expected(lucky) < 0.2


def test_a_gain_is_hoped_to_be_a_little_more_than_its_mean_and_less_so_the_more_is_known() -> None:
    one, past, hopes = network(), Past(), []
    for _ in range(60):
        for gain in (0, 2):
            one.settle(past, gain, 2, 2)
        hopes.append(one.expected(past) - 1.0)
    assert 0.0 < hopes[-1] < 0.2
    for _ in range(300):
        one.left_out(past)
    assert one.expected(past) - 1.0 > 2 * hopes[-1], "what is not asked is doubted"
