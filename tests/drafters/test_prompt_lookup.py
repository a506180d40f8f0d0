from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider.core.tree import Budget
from outrider.drafting.interface import SequenceContext
from outrider.errors import ConfigError
from stub_target import after, build

TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=50)


def search(text: list[int], longest: int, shortest: int) -> list[int]:
    """The readable twin: every length from the longest, every place from the newest."""
    for size in range(min(longest, len(text) - 1), shortest - 1, -1):
        for end in range(len(text) - 1, size - 1, -1):
            if text[end - size : end] == text[-size:]:
                return text[end:]
    return []


@given(TEXT, st.integers(1, 12), st.sampled_from([(8, 2), (3, 3), (5, 1)]))
def test_drafts_are_those_of_a_search(text: list[int], count: int, sizes: tuple[int, int]) -> None:
    drafter = build(f"prompt_lookup:max={count};max_ngram={sizes[0]};min_ngram={sizes[1]}")
    draft = drafter.draft(after(drafter, text), Budget(50, 50))
    assert list(draft.token_N) == search(text, *sizes)[:count]


def test_the_newest_of_equal_matches_wins_and_the_longer_before_the_newer() -> None:
    drafter = build("prompt_lookup")
    assert next(iter(drafter.draft(after(drafter, [1, 2, 5, 1, 2, 6, 1, 2]), Budget(1, 1)).token_N)) == 6
    assert next(iter(drafter.draft(after(drafter, [9, 1, 2, 5, 1, 2, 6, 9, 1, 2]), Budget(1, 1)).token_N)) == 5


def test_at_equal_length_the_prediction_goes_first_and_is_never_joined_to_the_text() -> None:
    drafter = build("prompt_lookup")
    state = after(drafter, [1, 2, 5, 8, 1, 2], SequenceContext(1, prediction=(7, 1, 2, 6)))
    assert list(drafter.draft(state, Budget(9, 9)).token_N) == [6]
    joined = after(drafter, [5, 8, 2, 1], SequenceContext(5, prediction=(2, 1)))
    assert not len(drafter.draft(joined, Budget(9, 9)))


def test_senseless_options_are_refused() -> None:
    for options in ("min_ngram=0", "min_ngram=4;max_ngram=3"):
        with pytest.raises(ConfigError, match="expected 1 <= min_ngram"):
            build(f"prompt_lookup:{options}")
