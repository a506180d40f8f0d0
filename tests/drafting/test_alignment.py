from __future__ import annotations

from outrider.drafting.alignment import FIRM_MATCH, Alignment, Source

SOURCE = list(range(100, 140))


def test_without_a_firm_match_there_is_no_place() -> None:
    alignment = Alignment()
    alignment.observe(5, FIRM_MATCH - 1, 20)
    assert alignment.resume([1, 2, 1]) is None


def test_a_copy_resumes_behind_its_last_place() -> None:
    """The source has the token 120 twice; the one close to where the copy stopped counts, newer or not."""
    text = [*SOURCE, 120, 999, *SOURCE[:15], 777, 120]
    alignment = Alignment()
    alignment.observe(14, FIRM_MATCH, 42 + 14)
    assert alignment.resume(text) == Source(21, 1)


def test_the_longest_match_near_the_place_wins() -> None:
    source = [100, 101, 5, 102, 103, 6, 5, 104]
    text = [*source, 900, 100, 101, 6, 5]
    alignment = Alignment()
    alignment.observe(1, FIRM_MATCH, 10)
    assert alignment.resume(text) == Source(7, 2)


def test_after_too_many_tokens_the_place_is_forgotten() -> None:
    text = [*SOURCE, *SOURCE[:10], *range(500, 560), 112]
    alignment = Alignment()
    alignment.observe(9, FIRM_MATCH, 49)
    assert alignment.resume(text) is None
    assert alignment.resume([*text[:55], 112]) == Source(13, 1)


def test_a_copy_is_independent() -> None:
    alignment = Alignment()
    other = alignment.copy()
    other.observe(3, FIRM_MATCH, 9)
    assert alignment.place != other.place
