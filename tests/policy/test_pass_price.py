from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.policy.interface import Load
from outrider.policy.pass_price import MAX_ROWS, Curve, PassPrice

CURVE = Curve((1, 2, 4, 8), (0.010, 0.012, 0.016, 0.032), (1, 4), (1e-6, 4e-6))
FLAT = Curve((1, 8, 16, 32), (0.02,) * 4, (1,), (0.0,))


def rising(count: int, least: float) -> st.SearchStrategy[tuple[float, ...]]:
    values = st.floats(least, 1.0)
    return st.lists(values, min_size=count, max_size=count).map(lambda found: tuple(sorted(found)))


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    grids = [draw(st.lists(st.integers(1, 96), min_size=1, max_size=8, unique=True).map(sorted)) for _ in range(2)]
    base, slopes = draw(rising(len(grids[0]), 1e-6)), draw(rising(len(grids[1]), 0.0))
    return Curve(tuple(grids[0]), base, tuple(grids[1]), tuple(slope * 1e-4 for slope in slopes))


LOADS = st.lists(st.builds(Load, st.integers(1, 80), st.integers(0, 8000)), min_size=1, max_size=4)
PASSES = st.lists(st.tuples(LOADS, st.floats(1e-7, 100.0)), max_size=40)


def told(curve: Curve, passes: Sequence[tuple[Sequence[Load], float]]) -> PassPrice:
    price = PassPrice(curve)
    for loads, seconds in passes:
        price.observe(loads, seconds)
    return price


def repeated(price: PassPrice, rows: int, seconds: float, times: int, context: int = 0) -> None:
    for _ in range(times):
        price.observe([Load(rows, context)], seconds)


def test_grid_points_are_as_measured_and_lines_between() -> None:
    price = PassPrice(CURVE)
    assert price.base_s[:9] == pytest.approx([0.0, 0.010, 0.012, 0.014, 0.016, 0.020, 0.024, 0.028, 0.032])
    assert price.base_s[100] == pytest.approx(0.032 + 92 * 0.004)
    assert price.context_s[:6] == pytest.approx([0.0, 1e-6, 2e-6, 3e-6, 4e-6, 5e-6])
    assert len(price.base_s) == len(price.context_s) == MAX_ROWS + 1


def test_a_pass_costs_its_rows_and_every_context_by_its_own_rows() -> None:
    price = PassPrice(CURVE)
    loads = [Load(1, 1000), Load(3, 500), Load(2, 0)]
    assert price.seconds(loads) == pytest.approx(0.024 + 1000 * 1e-6 + 500 * 3e-6)
    assert price.seconds([]) == 0.0
    assert price.seconds([Load(MAX_ROWS, 0), Load(10, 0)]) == pytest.approx(price.base_s[-1] + 10 * 0.004)


def test_a_single_point_lets_every_row_cost_as_much() -> None:
    price = PassPrice(Curve((1,), (0.01,), (1,), (2e-6,)))
    assert price.base_s[40] == pytest.approx(0.4)
    assert price.context_s[3] == pytest.approx(6e-6)


@given(curves(), PASSES)
def test_more_rows_never_cost_less(curve: Curve, passes: list[tuple[list[Load], float]]) -> None:
    price = told(curve, passes)
    for values in (price.base_s, price.context_s):
        assert type(values) is list and len(values) == MAX_ROWS + 1
        assert all(0.0 <= below <= above < math.inf for below, above in pairwise(values))
    assert price.base_s[0] == 0.0 < price.base_s[1]


@given(curves(), PASSES)
def test_no_observation_moves_the_price_beyond_its_bounds(curve: Curve,
                                                          passes: list[tuple[list[Load], float]]) -> None:
    """But for what several passes show to be another price."""
    price = told(curve, passes)
    found = price.curve
    if price.scale == 1.0:
        for before, after in zip((*curve.base_n, *curve.slope_n), (*found.base_n, *found.slope_n), strict=True):
            assert before / 16.1 <= after <= before * 16.1


@given(curves(), PASSES, LOADS, st.floats(1e-7, 100.0))
def test_one_more_pass_moves_the_price_by_little(curve: Curve, passes: list[tuple[list[Load], float]],
                                                 loads: list[Load], seconds: float) -> None:
    """By more where earlier ones said the same."""
    price = told(curve, passes)
    before, scale = price.curve, price.scale
    price.observe(loads, seconds)
    after = price.curve
    if price.scale == scale:
        for old, new in zip((*before.base_n, *before.slope_n), (*after.base_n, *after.slope_n), strict=True):
            assert abs(new - old) <= (0.25 if len(passes) > 1 else 0.05) * old + 1e-15


@pytest.mark.parametrize("factor", [0.001, 0.3, 3.0, 500.0])
def test_a_price_that_is_wrong_by_far_is_scaled_as_a_whole(factor: float) -> None:
    wrong: list[str] = []
    price = PassPrice(CURVE, lambda: wrong.append("it"))
    for _ in range(3):
        for rows in (1, 4, 8):
            price.observe([Load(rows, 1000)], factor * PassPrice(CURVE).seconds([Load(rows, 1000)]))
    assert price.curve.base_n == pytest.approx([factor * at for at in CURVE.base_n], rel=0.06)
    assert price.curve.slope_n == pytest.approx([factor * at for at in CURVE.slope_n], rel=0.06)
    assert price.scale == pytest.approx(factor, rel=0.06) and bool(wrong) == (factor < 0.5)


def test_a_machine_that_was_busy_for_a_while_had_no_wrong_price() -> None:
    wrong: list[str] = []
    price = PassPrice(CURVE, lambda: wrong.append("it"))
    for factor in (1.0, 5.0, 1.0):
        repeated(price, 1, factor * 0.010, 6)
    assert price.base_s[8] == pytest.approx(0.032, rel=0.05) and not wrong


def test_what_passes_agree_on_is_believed_at_once_and_a_hiccup_is_not() -> None:
    agreed, hiccups = PassPrice(CURVE), PassPrice(CURVE)
    repeated(agreed, 1, 0.02, 12)
    assert agreed.base_s[1] > 1.7 * 0.010
    for _ in range(12):
        repeated(hiccups, 1, 0.010, 4)
        repeated(hiccups, 1, 0.1, 1)
    assert hiccups.base_s[1] < 1.1 * 0.010


@given(curves(), PASSES)
def test_lists_lag_behind_by_little(curve: Curve, passes: list[tuple[list[Load], float]]) -> None:
    price = told(curve, passes)
    fresh = PassPrice(price.curve)
    if passes:
        rows = min(sum(load.rows for load in passes[-1][0]), curve.rows_n[-1])
        assert price.base_s[rows] == pytest.approx(fresh.base_s[rows], rel=0.02)
    assert price.context_s == pytest.approx(fresh.context_s, rel=0.02)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 2.0])
@pytest.mark.parametrize("rows", [1, 3, 8, 20])
def test_the_price_of_what_is_run_comes_to_what_it_takes(rows: int, factor: float) -> None:
    price = PassPrice(CURVE)
    goal = factor * price.base_s[rows]
    repeated(price, rows, goal, 150)
    assert price.base_s[rows] == pytest.approx(goal, rel=0.02)


@pytest.mark.parametrize("rows", [1, 9, 15, 16])
def test_a_flat_price_falls_where_it_was_too_high(rows: int) -> None:
    price = PassPrice(FLAT)
    repeated(price, rows, 0.015, 60)
    assert price.base_s[rows] == pytest.approx(0.015, rel=0.02)
    assert price.base_s[1] <= price.base_s[rows]


def test_sizes_are_corrected_apart() -> None:
    price = PassPrice(CURVE)
    for _ in range(300):
        price.observe([Load(1, 0)], 0.010)
        price.observe([Load(8, 0)], 0.048)
    assert price.base_s[1] == pytest.approx(0.010, rel=0.03)
    assert price.base_s[8] == pytest.approx(0.048, rel=0.03)


def test_a_machine_that_gets_slower_is_followed_at_once_in_all_sizes() -> None:
    price = PassPrice(CURVE)
    repeated(price, 1, 0.018, 8)
    assert price.base_s[1] == pytest.approx(0.018, rel=0.05)
    assert price.base_s[8] == pytest.approx(0.032 + 0.008, rel=0.1)
    repeated(price, 1, 0.010, 8)
    assert price.base_s[1] == pytest.approx(0.010, rel=0.05)
    assert price.base_s[8] == pytest.approx(0.032, rel=0.1)


def test_attention_is_corrected_apart_from_the_rest() -> None:
    price = PassPrice(CURVE)
    for _ in range(300):
        price.observe([Load(1, 0)], 0.010)
        price.observe([Load(1, 10_000)], 0.010 + 2 * 0.010)
    assert price.base_s[1] == pytest.approx(0.010, rel=0.04)
    assert price.context_s[1] == pytest.approx(2e-6, rel=0.04)


def test_lists_stay_the_same_objects() -> None:
    price = PassPrice(CURVE)
    base_s, context_s = price.base_s, price.context_s
    repeated(price, 4, 0.03, 50)
    assert price.base_s is base_s and price.context_s is context_s
    assert base_s[4] > 0.025


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_duration_is_not_heard(seconds: float) -> None:
    assert told(CURVE, [([Load(2, 5)], seconds)]).curve == CURVE


def test_prompts_and_empty_passes_are_not_heard() -> None:
    assert told(CURVE, [([Load(MAX_ROWS + 1, 0)], 1.0), ([], 1.0)]).curve == CURVE


@pytest.mark.parametrize("parts", [
    ((), (), (1,), (0.0,)), ((1, 2), (0.1,), (1,), (0.0,)), ((2, 1), (0.1, 0.2), (1,), (0.0,)),
    ((0, 1), (0.1, 0.2), (1,), (0.0,)), ((1, MAX_ROWS + 1), (0.1, 0.2), (1,), (0.0,)),
    ((1, 2), (0.2, 0.1), (1,), (0.0,)), ((1, 2), (0.1, math.inf), (1,), (0.0,)),
    ((1, 2), (math.nan, 0.1), (1,), (0.0,)), ((1,), (0.0,), (1,), (0.0,)), ((1,), (0.1,), (1,), (-1.0,)),
    ((1,), (0.1,), (), ()), ((1,), (1e30,), (1,), (0.0,)),
])
def test_a_curve_is_sound_or_not_at_all(parts: tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...],
                                                     tuple[float, ...]]) -> None:
    with pytest.raises(ValueError):
        Curve(*parts)
