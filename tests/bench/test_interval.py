"""Student's t in closed form, and the interval of a mean ratio."""

from __future__ import annotations

import math
import random

import pytest

from outrider.bench.interval import ratio_interval, student_t


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (7, 2.3646),
                                            (10, 2.2281), (30, 2.0423), (121, 1.9798)])
def test_the_tables_say_the_same(freedom: int, t: float) -> None:
    assert student_t(freedom) == pytest.approx(t, abs=5e-5)


def test_one_degree_of_freedom_is_a_tangent() -> None:
    assert student_t(1) == pytest.approx(math.tan(0.95 * math.pi / 2), rel=1e-9)


def test_a_ratio_and_its_inverse_lie_alike() -> None:
    there, back = ratio_interval([1.1, 1.3, 1.2]), ratio_interval([1 / 1.1, 1 / 1.3, 1 / 1.2])
    assert there is not None and back is not None
    assert there.low < 1.2 < there.high
    assert (there.low * back.high, there.high * back.low) == pytest.approx((1.0, 1.0))


def test_two_pairs_by_hand() -> None:
    found = ratio_interval([math.exp(0.1), math.exp(0.3)])
    assert found is not None
    assert math.log(found.high) == pytest.approx(0.2 + 12.7062 * 0.1, abs=1e-4)


def test_too_little_says_nothing() -> None:
    assert ratio_interval([]) is ratio_interval([1.5]) is ratio_interval([1.5, 0.0]) is None


def test_the_truth_is_inside_nineteen_times_of_twenty() -> None:
    draw = random.Random(3)
    found = [ratio_interval([math.exp(draw.gauss(0.2, 0.1)) for _ in range(4)]) for _ in range(2000)]
    inside = sum(one is not None and one.low <= math.exp(0.2) <= one.high for one in found)
    assert 1850 <= inside <= 1950
