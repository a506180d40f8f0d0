"""Every family's marks are found under its own names, and only whole sets of them."""

from __future__ import annotations

import pytest

from outrider.io.infill_tokens import InfillTokens, infill_tokens

BAR = "\uff5c"
LOW = "\u2581"


@pytest.mark.parametrize("pieces", [
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    (f"<{BAR}fim{LOW}begin{BAR}>", f"<{BAR}fim{LOW}hole{BAR}>", f"<{BAR}fim{LOW}end{BAR}>"),
    (f"{LOW}<PRE>", f"{LOW}<SUF>", f"{LOW}<MID>"),
])
def test_marks_by_name(pieces: tuple[str, ...]) -> None:
    vocabulary = {piece: 10 + row for row, piece in enumerate(pieces)}
    assert infill_tokens({}, vocabulary.get) == InfillTokens(10, 11, 12, ends=frozenset({10, 11, 12}))
    for missing in pieces:
        assert infill_tokens({}, {piece: 1 for piece in pieces if piece != missing}.get) is None


def test_marks_of_files_and_what_ends_an_infill() -> None:
    vocabulary = {"<|fim_prefix|>": 1, "<|fim_suffix|>": 2, "<|fim_middle|>": 3, "<|fim_pad|>": 4, "<|repo_name|>": 5,
                  "<|file_sep|>": 6}
    found = infill_tokens({}, vocabulary.get)
    assert found == InfillTokens(1, 2, 3, 5, 6, frozenset(range(1, 7)))
    assert found.marks == (1, 2, 3) and not found.is_suffix_first
    assert infill_tokens({"repo": 9}, vocabulary.get) == InfillTokens(1, 2, 3, 9, 6, frozenset({1, 2, 3, 4, 6, 9}))


def test_codestral_marks_no_gap() -> None:
    found = infill_tokens({}, {"[PREFIX]": 1, "[SUFFIX]": 2, "[MIDDLE]": 3}.get)
    assert found == InfillTokens(1, 2, None, ends=frozenset({1, 2}))
    assert found.marks == (1, 2) and found.is_suffix_first


def test_half_a_set_from_the_file_is_none() -> None:
    assert infill_tokens({"prefix": 1, "suffix": 2}, lambda _: None) is None
    assert infill_tokens({"prefix": 1, "middle": 2}, lambda _: None) is None
    assert infill_tokens({}, lambda _: None) is None
