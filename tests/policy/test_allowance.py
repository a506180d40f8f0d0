"""An allowance's book-keeping: never more is spent than was earned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy.allowance import Allowance

ACTS = st.lists(st.tuples(st.sampled_from(["earn", "spend", "good", "bad"]), st.floats(0.0, 5.0)), max_size=80)


@given(st.floats(0.001, 0.5), ACTS)
def test_no_more_is_spent_than_its_share_of_all_time(share: float, acts: list[tuple[str, float]]) -> None:
    allowance, earned, spent = Allowance(share), 0.0, 0.0
    for act, seconds in acts:
        if act == "earn":
            allowance.earn(seconds)
            earned += seconds
        elif act == "spend":
            spent += seconds if allowance.spend(seconds) else 0.0
        else:
            allowance.judge(act == "good")
        assert spent <= share * earned + 1e-9


def test_it_waits_until_there_is_enough() -> None:
    allowance = Allowance(0.1)
    assert not allowance.is_ready and not allowance.spend(0.05)
    for seconds, is_enough in ((0.1, False), (0.3, False), (0.2, True)):
        allowance.earn(seconds)
        assert allowance.is_ready == is_enough
    assert [allowance.spend(0.05) for _ in range(2)] == [True, False]


def test_what_was_once_dear_may_be_tried_again_when_it_is_cheap() -> None:
    """The price that it waits for is that of the last wish, not the highest."""
    allowance = Allowance(0.1)
    allowance.earn(1.0)
    assert not allowance.spend(10.0) and allowance.spend(0.01)
    allowance.earn(1.0)
    assert allowance.is_ready


def earned(allowance: Allowance) -> float:
    """Of a second's time."""
    before = allowance._saved_s
    allowance.earn(1.0)
    return allowance._saved_s - before


def test_tries_that_find_nothing_become_rarer_and_one_that_does_restores_them() -> None:
    allowance, parts = Allowance(0.01), []
    for _ in range(6):
        parts.append(earned(allowance))
        allowance.judge(False)
    assert parts[0] == pytest.approx(0.01) and parts[1] == pytest.approx(0.005)
    assert parts[-1] == pytest.approx(parts[-2]) and parts[-1] > 0.0, "never none at all"
    allowance.judge(True)
    assert earned(allowance) == pytest.approx(0.01)


def test_savings_have_an_end() -> None:
    allowance = Allowance(0.1)
    for _ in range(100_000):
        allowance.earn(10.0)
    assert not allowance.spend(60.0), "a night's idling does not pay for a minute of tries"
