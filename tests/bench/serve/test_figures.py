"""Statistics over recorded times, by hand and as properties: no clock is read here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.bench.serve.answer import Answer, Drafts
from outrider.bench.serve.figures import Fault, Spread, Window, decoding, figures, percentile, spread

VALUES = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=50)
SHARES = st.floats(0.0, 1.0)


def answer(begin_s: float, *texts_s: float, tokens: int, last_s: float | None = None, error: str = "",
           drafts: Drafts | None = None) -> Answer:
    return Answer(begin_s=begin_s, texts_s=texts_s, last_s=texts_s[-1] if last_s is None else last_s, tokens=tokens,
                  prompt_tokens=10, error=error, detail="why" if error else "", drafts=drafts)


@given(VALUES, SHARES)
def test_percentiles_are_those_of_numpy(values: list[float], share: float) -> None:
    assert percentile(sorted(values), share) == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-9)


@given(VALUES, SHARES, SHARES)
def test_percentiles_rise_and_lie_between_the_extremes(values: list[float], one: float, other: float) -> None:
    ordered = sorted(values)
    low, high = percentile(ordered, min(one, other)), percentile(ordered, max(one, other))
    slack = 1e-9 * max(ordered[-1], 1.0)
    assert ordered[0] - slack <= low <= high + slack <= ordered[-1] + 2 * slack


def test_a_spread_is_in_milliseconds() -> None:
    assert spread([0.001 * number for number in range(101)]) == Spread(*(pytest.approx(p) for p in (50.0, 95.0, 99.0)))
    assert spread([]) is None


def test_one_answer_by_hand() -> None:
    found = figures([answer(1.0, 2.0, 3.0, 5.0, tokens=7)], 1.0, 6.0, at_once=1)
    assert (found.tokens, found.tok_s, found.request_s, found.completed) == (7, 7 / 5, 1 / 5, 1)
    latency = found.latency
    assert latency.first_token == Spread(1000.0, 1000.0, 1000.0)
    assert latency.per_token == Spread(500.0, 500.0, 500.0)  # three seconds for six tokens after the first
    assert latency.gap is not None and latency.gap.p50 == 1500.0
    assert latency.end_to_end == Spread(4000.0, 4000.0, 4000.0)
    assert (found.decode_tok_s, found.decode_s) == (2.0, 3.0)


def test_prompts_are_not_decoding() -> None:
    """The second request waits for its first token from 3 to 6: only from 2 to 3 and from 6 on is anything counted."""
    first = answer(1.0, 2.0, 3.0, 6.0, 7.0, tokens=4)
    second = answer(3.0, 6.0, 7.0, tokens=3)
    found = decoding([first, second], at_once=0)
    assert found.seconds == pytest.approx(2.0)
    assert found.tokens == pytest.approx(1.0 + 1.0 + 2.0)


def test_in_a_closed_loop_only_full_moments_count() -> None:
    first = answer(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, tokens=5)
    second = answer(0.0, 2.0, 3.0, 4.0, tokens=5)
    found = decoding([first, second], at_once=2)
    assert found.seconds == pytest.approx(2.0)
    assert found.tokens == pytest.approx(2.0 + 4.0)
    assert decoding([first, second], at_once=3).tok_s is None


def test_a_gap_across_the_edge_counts_in_part() -> None:
    """The second answer's first token comes in the middle of a gap of the first one."""
    first = answer(0.0, 1.0, 5.0, tokens=9)
    second = answer(0.0, 3.0, 5.0, tokens=3)
    found = decoding([first, second], at_once=2)
    assert (found.tokens, found.seconds) == (pytest.approx(4.0 + 2.0), pytest.approx(2.0))


def test_errors_are_counted_and_named_and_bring_no_tokens() -> None:
    bad = [answer(0.0, 1.0, tokens=50, error="HTTP 500"), answer(0.0, 1.0, tokens=50, error="connection lost"),
           answer(0.0, 1.0, tokens=50, error="HTTP 500")]
    found = figures([*bad, answer(0.0, 1.0, 2.0, tokens=2)], 0.0, 2.0, at_once=4)
    assert (found.requests, found.completed, found.tokens, found.tok_s) == (4, 1, 2, 1.0)
    assert found.faults == (Fault("HTTP 500", 2, "why"), Fault("connection lost", 1, "why"))
    assert found.decode_tok_s is None


def test_nothing_came_at_all() -> None:
    found = figures([answer(0.0, tokens=0, last_s=1.0, error="x")], 0.0, 1.0, at_once=1)
    assert (found.tok_s, found.latency.first_token, found.drafts) == (0.0, None, None)


def test_answers_tell_of_drafts_before_counters_do() -> None:
    told = [answer(0.0, 1.0, tokens=1, drafts=Drafts(4, 1)), answer(0.0, 1.0, tokens=1, drafts=Drafts(6, 5))]
    assert figures(told, 0.0, 1.0, 1, Drafts(99, 0)).drafts == Drafts(10, 6)
    assert figures([answer(0.0, 1.0, tokens=1)], 0.0, 1.0, 1, Drafts(9, 3)).drafts == Drafts(9, 3)


@given(st.lists(st.tuples(st.floats(0, 5), st.lists(st.floats(0.01, 2), min_size=1, max_size=6), st.integers(1, 40)),
                min_size=1, max_size=6))
def test_no_more_tokens_are_decoded_than_came_after_the_first(rows: list[tuple[float, list[float], int]]) -> None:
    answers = []
    for begin_s, steps, tokens in rows:
        times_s = [begin_s + sum(steps[:number + 1]) for number in range(len(steps))]
        answers.append(answer(begin_s, *times_s, tokens=max(tokens, len(times_s))))
    found = decoding(answers, at_once=0)
    spans = max(one.last_s for one in answers) - min(one.texts_s[0] for one in answers)
    assert 0.0 <= found.tokens <= sum(one.num_tokens - 1 for one in answers) * (1 + 1e-9)
    assert found.seconds <= spans + 1e-9
    assert decoding(answers, at_once=len(answers)).seconds <= found.seconds + 1e-9


@given(st.floats(0, 9), st.floats(0, 9), st.floats(0, 9))
def test_neighbouring_windows_share_what_one_would_have(before: float, length: float, edge: float) -> None:
    after = before + length
    parts = Window(0.0, edge).share_of(before, after) + Window(edge, 20.0).share_of(before, after)
    whole = Window(0.0, 20.0).share_of(before, after)
    assert math.isclose(parts, whole, rel_tol=1e-6) or length < 1e-6
