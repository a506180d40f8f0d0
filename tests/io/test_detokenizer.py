"""Streaming text: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_vocabularies
from outrider.errors import ConfigError
from outrider.io.detokenizer import IncrementalDetokenizer, StopMatcher, StopStep
from outrider.io.gguf_tokenizer import from_gguf
from outrider.io.tokenizer import Tokenizer

BYTES = from_gguf(tiny_vocabularies.byte_level(), where="tiny")
PIECES = from_gguf(tiny_vocabularies.sentencepiece(), where="tiny")
PREFIXED = from_gguf(tiny_vocabularies.sentencepiece(space_prefix=True), where="tiny")
tokenizers = st.sampled_from([BYTES, PIECES, PREFIXED])


@given(tokenizers, st.lists(st.lists(st.integers(0, 280), max_size=4)), st.booleans(), st.booleans())
def test_pushes_join_to_the_decoded_text(
    tokenizer: Tokenizer, groups: list[list[int]], skip_special: bool, continues: bool
) -> None:
    stream = IncrementalDetokenizer(tokenizer, skip_special=skip_special, continues=continues)
    joined = "".join(stream.push(group) for group in groups) + stream.finish()
    ids = [token for group in groups for token in group]
    assert joined == tokenizer.decode(ids, skip_special=skip_special, continues=continues)


@given(tokenizers, st.text())
def test_valid_text_streams_in_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    text = text.replace("\ufffd", "").replace("\u2581", "")
    stream = IncrementalDetokenizer(tokenizer)
    shown = ""
    for token in tokenizer.encode(text, special=False):
        shown += stream.push([token])
        assert text.startswith(shown)
    assert shown + stream.finish() == text == shown


def test_an_emoji_appears_with_its_last_byte() -> None:
    stream = IncrementalDetokenizer(PIECES)
    pushed = [stream.push([3 + byte]) for byte in "😀".encode()]
    assert pushed == ["", "", "", "😀"]


def test_an_unfinished_character_becomes_a_replacement_at_the_end_only() -> None:
    stream = IncrementalDetokenizer(BYTES)
    ids = BYTES.encode("h😀", special=False)
    assert stream.push(ids[:-1]) == "h"
    assert (stream.finish(), stream.finish()) == ("\ufffd", "")


def test_a_leading_space_is_dropped_once_and_only_at_the_beginning_of_a_text() -> None:
    ids = PREFIXED.encode("  hello", special=False)
    stream = IncrementalDetokenizer(PREFIXED)
    assert stream.push([1]) + "".join(stream.push([token]) for token in ids) == "  hello"
    assert IncrementalDetokenizer(PREFIXED, continues=True).push(ids) == "   hello"


def reference(stops: list[str], text: str) -> StopStep:
    """Read letter by letter: the first end of any stop string, and of those the longest."""
    for end in range(len(text) + 1):
        met = [stop for stop in stops if text[:end].endswith(stop)]
        if met:
            stop = max(met, key=len)
            return StopStep(text[: end - len(stop)], stop)
    return StopStep(text, None)


def run(stops: list[str], pieces: list[str]) -> StopStep:
    matcher, shown = StopMatcher(stops), ""
    for piece in pieces:
        step = matcher.push(piece)
        shown += step.text
        if step.stopped is not None:
            return StopStep(shown, step.stopped)
    return StopStep(shown + matcher.flush(), None)


letters = st.text("ab", min_size=1, max_size=6)


@given(st.lists(letters, max_size=4), st.lists(st.text("ab", max_size=5)))
def test_stops_are_those_of_the_reference_however_the_text_is_cut(stops: list[str], pieces: list[str]) -> None:
    assert run(stops, pieces) == reference(stops, "".join(pieces))


@given(st.lists(letters, min_size=1, max_size=3), st.lists(st.text("ab", max_size=3)))
def test_no_more_is_held_back_than_could_become_a_stop(stops: list[str], pieces: list[str]) -> None:
    matcher, read, shown = StopMatcher(stops), "", ""
    for piece in pieces:
        step = matcher.push(piece)
        if step.stopped is not None:
            break
        read, shown = read + piece, shown + step.text
        held = read[len(shown) :]
        assert not held or any(stop.startswith(held) for stop in stops)


def test_text_before_a_stop_is_shown_and_nothing_after() -> None:
    matcher = StopMatcher(["\nUser:"])
    assert matcher.push("It is 42.\nUs") == StopStep("It is 42.", None)
    assert matcher.push("er: more") == StopStep("", "\nUser:")
    with pytest.raises(ValueError, match="after the stop string"):
        matcher.push("x")


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        StopMatcher(["x", ""])


@given(st.lists(letters, max_size=3), letters, letters)
def test_a_forked_matcher_goes_its_own_way(stops: list[str], before: str, after: str) -> None:
    matcher = StopMatcher(stops)
    first = matcher.push(before)
    if first.stopped is not None:
        return
    matcher.fork().push("abba")  # leaves no trace
    twin = matcher.fork()
    step = matcher.push(after)
    assert twin.push(after) == step
    rest = "" if step.stopped is not None else matcher.flush()
    assert StopStep(first.text + step.text + rest, step.stopped) == reference(stops, before + after)


@given(tokenizers, st.lists(st.integers(0, 280)), st.lists(st.integers(0, 280)))
def test_a_forked_stream_goes_its_own_way(tokenizer: Tokenizer, before: list[int], after: list[int]) -> None:
    stream = IncrementalDetokenizer(tokenizer, skip_special=False)
    shown = stream.push(before)
    stream.fork().push([20, 20, 20])
    twin = stream.fork()
    text = stream.push(after) + stream.finish()
    assert twin.push(after) + twin.finish() == text
    assert shown + text == tokenizer.decode([*before, *after], skip_special=False)
