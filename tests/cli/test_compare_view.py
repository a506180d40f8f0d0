"""The picture of a comparison: colours by source, whole characters, the last lines where there is little room."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from outrider.cli.compare_view import LivePanels, Painter, frame, legend, style_of
from outrider.io.gguf_tokenizer import from_gguf
from tiny_vocabularies import byte_level

TOKENIZER = from_gguf(SimpleNamespace(get=byte_level().get), where="tiny")


def fake_lane(text: str, sources: list[int], *, shown: str | None = None) -> Any:
    """A lane whose tokens are the bytes of `text`, of which `shown` may be seen yet."""
    output = [TOKENIZER.encode(bytes([byte]).decode("latin-1"), special=False)[0] if byte < 128 else byte_token(byte)
              for byte in text.encode()]
    seen = text if shown is None else shown
    sequence = SimpleNamespace(output=output, sources=sources, text=SimpleNamespace(text=seen))
    drafter = SimpleNamespace(sources=("suffix", "recycling"))
    return SimpleNamespace(name="suffix", sequence=sequence, is_done=True, tok_s=12.0, time_s=3.0,
                           engine=SimpleNamespace(drafter=drafter))


def byte_token(byte: int) -> int:
    return next(token for token in range(256) if TOKENIZER.token_bytes(token) == bytes([byte]))


def coloured(painter: Painter) -> list[tuple[str, str]]:
    text = painter.text()
    return [(text.plain[span.start : span.end], str(span.style)) for span in text.spans]


def test_each_source_has_its_colour_and_shared_guesses_are_underlined() -> None:
    assert style_of(0) == ""
    assert len({style_of(1 << bit) for bit in range(6)}) == 6
    assert style_of(0b110) == style_of(0b010) + " underline"


def test_tokens_are_coloured_by_who_guessed_them() -> None:
    painter = Painter(fake_lane("abc", [0, 1, 2]), TOKENIZER)
    assert painter.text().plain == "abc"
    assert coloured(painter) == [("b", style_of(1)), ("c", style_of(2))]


def test_a_character_of_several_tokens_is_shown_whole_with_the_last_of_them() -> None:
    painter = Painter(fake_lane("é!", [1, 2, 0]), TOKENIZER)
    assert painter.text().plain == "é!"
    assert coloured(painter) == [("é", style_of(2))]


@pytest.mark.parametrize(("shown", "seen"), [("ab", "ab"), ("", ""), ("abc\ufffd", "abc\ufffd")])
def test_nothing_is_shown_that_the_text_holds_back(shown: str, seen: str) -> None:
    assert Painter(fake_lane("abc", [0, 0, 0], shown=shown), TOKENIZER).text().plain == seen


def test_control_characters_do_not_shift_the_text() -> None:
    assert Painter(fake_lane("a\x0bbc", [1, 1, 1, 1]), TOKENIZER).text().plain == "abc"


def test_a_small_window_shows_the_last_lines_and_a_whole_frame_all() -> None:
    text = "\n".join(f"line {number}" for number in range(30))
    painters = [Painter(fake_lane(text, [0] * len(text)), TOKENIZER) for _ in range(2)]
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12, color_system="standard")
    with console.capture() as small:
        console.print(frame(painters, console))
    with console.capture() as whole:
        console.print(frame(painters, console, whole=True))
    assert "line 29" in small.get() and "line 3 " not in small.get() and small.get().count("\n") <= 12
    assert "line 29" in whole.get() and "line 3 " in whole.get()


def test_the_legend_names_every_source() -> None:
    line = legend(fake_lane("", []))
    assert "suffix, recycling" in line.plain and "underlined" in line.plain


def test_panels_are_drawn_on_terminals_only() -> None:
    painters = [Painter(fake_lane("abc", [0, 1, 2]), TOKENIZER)]
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=80, height=12)
        with LivePanels(console, painters) as panels:
            panels.refresh()
        assert isinstance(console.file, io.StringIO)
        assert bool(console.file.getvalue()) == is_terminal
