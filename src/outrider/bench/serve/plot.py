"""Rates and latencies over load as one SVG file, readable on light and dark ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from outrider.bench.serve.trial import Row

WIDTH, HEIGHT, MARGIN = 360.0, 240.0, 48.0
COLOURS = ("#3b7dd8", "#d9822b", "#2e9e6b", "#b054c9", "#c93c3c", "#7a7a7a")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: what is drawn of a row, None where it has none."""

    title: str
    value: Callable[[Row], float | None]


PANELS = (
    Panel("output tokens per second", lambda row: row.tok_s),
    Panel("decoding tokens per second", lambda row: row.decode_tok_s),
    Panel("first token, ms (p95)", lambda row: row.latency.first_token.p95 if row.latency.first_token else None),
    Panel("per token, ms (p95)", lambda row: row.latency.per_token.p95 if row.latency.per_token else None),
)


def drawing(rows: Sequence[Row]) -> str:
    """The whole file: a panel beside the other, and the names of the servers below."""
    names = list(dict.fromkeys(row.name for row in rows))
    width, height = WIDTH * len(PANELS), HEIGHT + 24.0 * len(names) + 8.0
    parts = [_panel(panel, rows, names, WIDTH * number) for number, panel in enumerate(PANELS)]
    parts += [_legend(name, number) for number, name in enumerate(names)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" '
            f'font-size="11" fill="#808080">{"".join(parts)}</svg>\n')


def top_of(most: float) -> float:
    """The first round number that is not below `most`."""
    unit = 1.0
    while unit * 10.0 < most:
        unit *= 10.0
    while unit > most > 0.0:
        unit /= 10.0
    return next(unit * step for step in _STEPS if unit * step >= most)


def _panel(panel: Panel, rows: Sequence[Row], names: Sequence[str], left: float) -> str:
    levels = list(dict.fromkeys(row.level for row in rows))
    top = top_of(max((panel.value(row) or 0.0 for row in rows), default=1.0) or 1.0)
    low, high = left + MARGIN, left + WIDTH - 12.0
    step = (high - low) / max(len(levels) - 1, 1)
    across = {level: low + step * number for number, level in enumerate(levels)}

    def down(value: float) -> float:
        return HEIGHT - MARGIN - value / top * (HEIGHT - 2.0 * MARGIN)

    parts = [_text(low, MARGIN - 16.0, panel.title, "start")]
    for value in (0.0, top / 2.0, top):
        parts.append(f'<path d="M{low:.1f} {down(value):.1f}H{high:.1f}" stroke="#808080" stroke-opacity=".3"/>')
        parts.append(_text(low - 6.0, down(value) + 4.0, f"{value:g}", "end"))
    parts += [_text(place, HEIGHT - MARGIN + 18.0, f"{level.at_once or level.rate:g}", "middle")
              for level, place in across.items()]
    parts.append(_text((low + high) / 2.0, HEIGHT - 12.0, "requests at once" if levels[0].at_once else "requests per s",
                       "middle"))
    for name, colour in zip(names, _colours(len(names)), strict=True):
        found = [(across[row.level], panel.value(row)) for row in rows if row.name == name]
        parts.append(_line([(place, down(value)) for place, value in found if value is not None], colour))
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _legend(name: str, number: int) -> str:
    height = HEIGHT + 24.0 * number + 8.0
    mark = f'<rect x="{MARGIN:g}" y="{height - 9.0:g}" width="10" height="10" fill="{_colours(number + 1)[number]}"/>'
    return mark + _text(MARGIN + 18.0, height, name, "start")


def _colours(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
