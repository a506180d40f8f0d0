"""Lines, the clock and likely ends end an infill where they should."""

from __future__ import annotations

import math

import pytest

from outrider.core.request import Delta, Logprobs, TokenLogprob
from outrider.serve.infill_ending import EndRules, InfillText
from tiny_engine import EOS, tiny_tokenizer

TOKENS = tiny_tokenizer()


def delta(text: str, finish: str | None = None, entries: tuple[Logprobs, ...] = ()) -> Delta:
    ids = tuple(TOKENS.encode(text, special=False))
    return Delta(0, text, ids, (0,) * len(ids), finish, entries)  # type: ignore[arg-type]


def entry(*top: tuple[str, float]) -> Logprobs:
    found = [TokenLogprob(EOS if piece == "<eos>" else TOKENS.token_id(piece) or 0, math.log(chance))
             for piece, chance in top]
    return Logprobs(found[0], tuple(found))


@pytest.mark.parametrize(("indent", "pieces", "text"), [
    (2, ["ab\n", "  cd\n", " ef"], "ab\n  cd\n"),
    (2, ["ab\n  cd\n ef", "gh"], "ab\n  cd\n"),
    (2, ["ab\n", "  ", "cd\n", "  ef"], "ab\n  cd\n  ef"),
    (2, ["ab\n", " ", "cd"], "ab\n"),
    (2, ["ab\n", "\n", "  cd"], "ab\n"),
    (0, ["ab\n", "cd"], "ab\ncd"),
])
def test_a_line_that_is_indented_by_less_ends_it(indent: int, pieces: list[str], text: str) -> None:
    found = InfillText(EndRules(TOKENS, (), indent))
    told = ""
    for piece in pieces:
        if not found.is_over:
            told += found.push(delta(piece), 0.0)
    assert found.text == text
    assert found.stop_type == ("limit" if text != "".join(pieces) else "none")


def test_once_the_time_is_up_it_ends_with_the_line() -> None:
    found = InfillText(EndRules(TOKENS, (), 0, limit_s=1.0))
    assert found.push(delta("ab\ncd"), 10.0) == "ab\ncd"
    assert found.push(delta("ef"), 11.5) == "ef" and not found.is_over
    assert found.push(delta("g\n  h"), 11.6) == "g\n"
    assert found.stop_type == "limit" and found.text == "ab\ncdefg\n"


def test_a_likely_end_ends_it() -> None:
    rules = EndRules(TOKENS, (), weighs_ends=True, top_p=0.99, ends=frozenset({EOS}))
    surely, maybe = entry(("a", 0.9), ("b", 0.05)), entry(("a", 0.7), ("<eos>", 0.2))
    no_idea = entry(("a", 0.1), *((letter, 0.09) for letter in "bcdefghi"))
    assert [rules.ends_here(one) for one in (surely, maybe, no_idea)] == [False, True, True]
    found = InfillText(rules)
    assert found.push(delta("aaa", None, (surely, surely, maybe))) == "aa"
    assert found.stop_type == "eos" and len(found.token_n) == 2


def test_tokens_that_begin_alike_count_together() -> None:
    spread = [(f"{first}{second}", 0.09) for first in "abc" for second in "xyz"]
    rules = EndRules(TOKENS, (), weighs_ends=True, ends=frozenset({EOS}))
    assert rules.ends_here(entry(*spread))
    assert not rules.ends_here(entry(*spread[:3], ("a", 0.05), *spread[3:]))


def test_why_the_engine_ended_it() -> None:
    rules = EndRules(TOKENS, ("cd",), ends=frozenset({EOS}))
    for finish, ids, wanted in (("length", "ab", "limit"), ("stop", "ab", "word")):
        found = InfillText(rules)
        found.push(delta(ids, finish))
        assert found.stop_type == wanted
    found = InfillText(rules)
    found.push(Delta(0, "a", (TOKENS.token_id("a") or 0, EOS), (0, 0), "stop"))
    assert (found.stop_type, found.text) == ("eos", "a")
