"""What a measurement under load prints: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from outrider.bench.serve.answer import Drafts
from outrider.bench.serve.contender import Contender
from outrider.bench.serve.figures import Spread
from outrider.bench.serve.trial import Ratio, Row


def rate_table(rows: Sequence[Row]) -> Table:
    """Rates, and ratios to the first contender where there are several."""
    is_race = any(row.ratio is not None for row in rows)
    ratios = ["ratio", "95 %", "decode ratio", "95 %"] if is_race else []
    shown = _table(("load", "server"), ("answers", "tokens", "tok/s", "decode tok/s", *ratios, "accepted", "errors",
                                        "client CPU"))
    for row in rows:
        done = sum(one.figures.completed for one in row.rounds)
        asked = sum(one.figures.requests for one in row.rounds)
        compared = [*_ratio_cells(row.ratio), *_ratio_cells(row.decode_ratio)] if is_race else []
        shown.add_row(row.level.name, row.name, str(done), str(sum(one.figures.tokens for one in row.rounds)),
                      f"{row.tok_s:.1f}", "-" if row.decode_tok_s is None else f"{row.decode_tok_s:.1f}", *compared,
                      accepted_text(row.drafts), str(asked - done), f"{row.client:.1%}")
    return shown


def latency_table(rows: Sequence[Row]) -> Table:
    """Percentiles of what one caller sees, in milliseconds."""
    kinds = ("first token", "per token", "gap", "whole")
    shown = _table(("ms", "server"), [name for kind in kinds for name in (f"{kind} p50", "p95", "p99")])
    for row in rows:
        spreads = (row.latency.first_token, row.latency.per_token, row.latency.gap, row.latency.end_to_end)
        shown.add_row(row.level.name, row.name, *(cell for one in spreads for cell in _spread_cells(one)))
    return shown


def notes(contenders: Sequence[Contender], rows: Sequence[Row]) -> list[str]:
    """What a reader must know of these figures: errors, settings that were refused, tokens that were not counted."""
    lines = [f"{one.name}: does not take {', '.join(one.refused)}" for one in contenders if one.refused]
    for row in rows:
        lines += [f"{row.name}, {row.level.name}: {fault.count} x {fault.name}" + (f": {fault.example}" if fault.example
                  else "") for fault in row.faults]
    lines += [f"{name}: the server does not count tokens, so chunks are counted: no measure of tokens"
              for name in sorted({row.name for row in rows if any(one.figures.are_chunks for one in row.rounds)})]
    lines += uneven_prompts(rows)
    return lines


def uneven_prompts(rows: Sequence[Row]) -> list[str]:
    """A line where contenders were not given prompts of the same length: another template, or another tokenizer."""
    counts: dict[str, set[int]] = {}
    for row in rows:
        lengths = sum(one.figures.prompt_tokens for one in row.rounds)
        if not row.faults:
            counts.setdefault(row.level.name, set()).add(lengths)
    return [f"{level}: the same prompts are {' and '.join(map(str, sorted(lengths)))} tokens on different servers"
            for level, lengths in counts.items() if len(lengths) > 1]


def document(contenders: Sequence[Contender], rows: Sequence[Row], workload: str) -> str:
    """One line of JSON; times are in milliseconds where the name says so, and null stands for what was not there."""
    servers = [{"name": one.name, "url": one.site.name, "model": one.terms.model, "speculation": one.terms.speculation,
                "refused": one.refused} for one in contenders]
    return json.dumps({"prompts": workload, "servers": servers, "rows": [_row_document(row) for row in rows]},
                      allow_nan=False)


def accepted_text(drafts: Drafts | None) -> str:
    """Of the tokens that were drafted, how many became part of an answer."""
    return f"{drafts.accepted / drafts.drafted:.0%}" if drafts is not None and drafts.drafted else "-"


def _row_document(row: Row) -> dict[str, object]:
    told = ("tok_s", "decode_tok_s", "decode_s", "wall_s", "request_s", "requests", "completed", "tokens",
            "prompt_tokens", "cached_tokens")
    rounds = [{name: getattr(one.figures, name) for name in told} | {"client_cpu": one.client} for one in row.rounds]
    return {"server": row.name, "at_once": row.level.at_once, "rate": row.level.rate, "tok_s": row.tok_s,
            "decode_tok_s": row.decode_tok_s, "ratio": _or_null(row.ratio), "decode_ratio": _or_null(row.decode_ratio),
            "latency_ms": asdict(row.latency), "drafts": _or_null(row.drafts), "client_cpu": row.client,
            "errors": [asdict(fault) for fault in row.faults], "rounds": rounds}


def _or_null(value: Ratio | Drafts | None) -> dict[str, object] | None:
    return None if value is None else asdict(value)


def _table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in texts:
        shown.add_column(name)
    for name in numbers:
        shown.add_column(name, justify="right", no_wrap=True)
    return shown


def _ratio_cells(ratio: Ratio | None) -> tuple[str, str]:
    if ratio is None:
        return ("-", "-")
    between = "-" if ratio.interval is None else f"{ratio.interval.low:.2f}-{ratio.interval.high:.2f}"
    return (f"{ratio.mean:.2f}", between)


def _spread_cells(spread: Spread | None) -> tuple[str, str, str]:
    if spread is None:
        return ("-", "-", "-")
    return (f"{spread.p50:.0f}", f"{spread.p95:.0f}", f"{spread.p99:.0f}")
