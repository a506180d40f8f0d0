"""Sampling values: checked once, one line each, never silently changed."""

from __future__ import annotations

import math

import pytest

from outrider.core.sampling import Sampling
from outrider.errors import ConfigError

BAD: list[tuple[str, object]] = [
    ("temperature", -0.1), ("temperature", math.nan), ("temperature", math.inf), ("temperature", "hot"),
    ("temperature", True), ("top_k", -1), ("top_k", 1.5), ("top_p", 0.0), ("top_p", 1.1), ("top_p", math.nan),
    ("min_p", -0.1), ("min_p", 1.5), ("repetition_penalty", 0.0), ("presence_penalty", 1e9),
    ("frequency_penalty", math.nan), ("seed", -1), ("seed", 2**64), ("seed", 1.0), ("n", 0), ("n", 5000),
    ("max_tokens", -1), ("max_tokens", 3.5), ("max_tokens", None), ("logprobs", -1), ("logprobs", 101),
    ("min_tokens", -1), ("min_tokens", 2.5), ("min_tokens", 257),
    ("stop", ("",)), ("stop", (3,)), ("stop", 3), ("stop_ids", ("a",)), ("stop_ids", (-1,)), ("stop_ids", (True,)),
    ("stop_ids", 1.5), ("logit_bias", {1: math.inf}), ("logit_bias", {1: "x"}), ("logit_bias", {"1": 1.0}),
    ("logit_bias", {-1: 1.0}), ("logit_bias", [(1, 1.0)]),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_invalid_values_are_one_line_errors(name: str, value: object) -> None:
    for make in (lambda: Sampling(**{name: value}), lambda: Sampling.of(None, **{name: value})):  # type: ignore[arg-type]
        with pytest.raises(ConfigError) as caught:
            make()
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        Sampling.of(temprature=1.0)


def test_single_stops_are_taken_as_one() -> None:
    assert Sampling(stop="END").stop == ("END",)  # type: ignore[arg-type]
    assert Sampling(stop_ids=[1, 2]).stop_ids == (1, 2)  # type: ignore[arg-type]


def test_a_seed_is_kept_or_drawn_fresh() -> None:
    assert Sampling(seed=7).seeded().seed == 7
    fresh = {Sampling().seeded().seed for _ in range(8)}
    assert len(fresh) == 8 and None not in fresh


def test_changes_leave_the_base_alone() -> None:
    base = Sampling(temperature=0.5, seed=1)
    assert Sampling.of(base, seed=2) == Sampling(temperature=0.5, seed=2)
    assert base.seed == 1
