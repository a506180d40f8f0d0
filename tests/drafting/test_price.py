from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.drafting.price import FREE, Price

chances = st.floats(0.0, 1.0)


def test_a_node_pays_for_its_row_and_a_level_for_a_pass_and_its_rows() -> None:
    price = Price(level=0.3, row=0.1, worth=0.5)
    assert price.floor == pytest.approx(0.2)
    assert price.pays_level([0.81]) and not price.pays_level([0.79])
    assert price.pays_level([0.6, 0.41]) and not price.pays_level([0.6, 0.39]), "a pass is shared, rows are not"
    assert not price.pays_level([])


@given(st.lists(chances, min_size=1, max_size=6), st.floats(0.01, 2.0))
def test_what_a_dear_pass_is_worth_a_cheaper_one_is_too(survival_F: list[float], level: float) -> None:
    if Price(level).pays_level(survival_F):
        assert Price(level / 2).pays_level(survival_F)
        assert Price(level).pays_level([1.0, *survival_F[1:]])
    assert FREE.pays_level(survival_F) and FREE.floor == 0.0
