"""How `outrider compare` looks: two panels that fill while both lanes run, colours for who guessed what."""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from outrider.bench.race import Lane
from outrider.bench.run import BASELINE
from outrider.io.detokenizer import IncrementalDetokenizer
from outrider.io.tokenizer import Tokenizer

COLOURS = ("bright_green", "bright_cyan", "bright_magenta", "bright_yellow", "bright_blue", "bright_red")
UNFINISHED = "\ufffd"  # what an answer ends with that stops inside a character
_FRAME_S = 0.08  # between two pictures
_FRAME_ROWS = 5  # borders of the panels, the legend, and air


def style_of(source: int) -> str:
    """The colour of the first drafter that guessed a token, underlined where others did too; nothing for our own."""
    if not source:
        return ""
    first = (source & -source).bit_length() - 1
    return COLOURS[first % len(COLOURS)] + (" underline" if source & (source - 1) else "")


class Painter:
    """One lane's text, token by token in the colour of its source."""

    def __init__(self, lane: Lane, tokenizer: Tokenizer) -> None:
        self.lane = lane
        self._detokenizer = IncrementalDetokenizer(tokenizer, continues=True)
        self._pieces: list[tuple[str, str]] = []  # text and style
        self._num_read = 0

    def text(self) -> Text:
        """All that may be shown by now: nothing of a stop string, no half character."""
        sequence, shown = self.lane.sequence, Text()
        output = sequence.output
        for token, source in zip(output[self._num_read :], sequence.sources[self._num_read :], strict=True):
            self._pieces.append((self._detokenizer.push([token]), style_of(source)))
        self._num_read = len(output)
        left = len(sequence.text.text)
        for piece, style in [*self._pieces, (UNFINISHED, "")]:
            shown.append(piece[:left], style)
            left -= min(left, len(piece))
        return shown

    def title(self) -> str:
        lane = self.lane
        name = "plain" if lane.name == BASELINE else lane.name
        return f"{name} · {lane.tok_s:.1f} tok/s · {lane.time_s:.1f} s" + (" ✓" if lane.is_done else "")


def frame(painters: Seq[Painter], console: Console, *, whole: bool = False) -> RenderableType:
    """Both panels and the legend; unless `whole`, only the last lines of each text, as many as fit."""
    height = None if whole else max(console.height - _FRAME_ROWS, 3)
    width = console.width // 2 - 4
    grid = Table.grid(expand=True)
    for _ in painters:
        grid.add_column(ratio=1)
    texts = [_last_lines(painter.text(), console, width, height) for painter in painters]
    tallest = max(text.plain.count("\n") + 1 for text in texts) + 2
    grid.add_row(*(Panel(text, title=painter.title(), height=tallest, border_style="green" if painter.lane.is_done
                         else "dim") for text, painter in zip(texts, painters, strict=True)))
    return Group(grid, legend(painters[-1].lane))


class LivePanels:
    """The panels while they fill, on a terminal; elsewhere nothing. Gone when the context ends."""

    def __init__(self, console: Console, painters: Seq[Painter]) -> None:
        self._console, self._painters = console, painters
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._drawn_s = 0.0

    def __enter__(self) -> LivePanels:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def refresh(self) -> None:
        """Draws if it is time to: drawing costs neither lane anything, but the viewer."""
        if self._live is not None and time.perf_counter() - self._drawn_s > _FRAME_S:
            self._live.update(frame(self._painters, self._console), refresh=True)
            self._drawn_s = time.perf_counter()


def legend(lane: Lane) -> Text:
    """Which colour is whose."""
    sources = lane.engine.drafter.sources
    line = Text("tokens guessed by ", style="dim")
    for bit, name in enumerate(sources):
        line.append(("" if bit == 0 else ", ") + name, style_of(1 << bit))
    line.append(" and accepted; ", style="dim")
    line.append(f"{'underlined: by several; ' if len(sources) > 1 else ''}uncoloured: the target's own", style="dim")
    return line


def outcome(plain: Lane, fast: Lane) -> Table:
    """Speeds and counts of both."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "tokens", "tok/s", "speedup", "tokens/round", "accepted", "drafted", "time"):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for lane in (plain, fast):
        stats = lane.stats
        speedup = lane.tok_s / plain.tok_s if plain.tok_s else 0.0
        table.add_row(lane.name, str(lane.sequence.num_output), f"{lane.tok_s:.1f}", f"{speedup:.2f}x",
                      f"{stats.tokens_per_round:.2f}", str(stats.accepted), str(stats.drafted), f"{lane.time_s:.2f} s")
    return table


def _last_lines(text: Text, console: Console, width: int, height: int | None) -> Text:
    lines = text.wrap(console, width)
    return Text("\n").join(lines if height is None else lines[-height:])
