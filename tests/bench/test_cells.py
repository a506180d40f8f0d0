"""Cells: the mean of paired ratios and how sure it is."""

from __future__ import annotations

import math

import pytest

from outrider.bench.cells import Ratio


def test_a_ratio_is_the_geometric_mean_with_the_interval_of_its_pairs() -> None:
    found = Ratio.of([math.exp(0.1), math.exp(0.3)])
    assert found.mean == pytest.approx(math.exp(0.2)) and found.pairs == (math.exp(0.1), math.exp(0.3))
    assert math.log(found.high) == pytest.approx(0.2 + 12.7062 * 0.1, abs=1e-4)
    assert math.log(found.low) == pytest.approx(0.2 - 12.7062 * 0.1, abs=1e-4)


def test_a_single_pair_is_not_sure_of_anything() -> None:
    assert Ratio.of([1.25]) == Ratio(1.25, 0.0, math.inf, (1.25,))
