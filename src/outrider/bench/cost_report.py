"""What `bench cost` prints: a row for each n, three columns for each context, and one JSON document."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table

from outrider.bench.cost import Cost, CostRow, DraftCost


def table(cost: Cost) -> Table:
    """Times, ratios to one token, multiples of F."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("n", justify="right")
    cells: dict[int, list[CostRow]] = {}
    for row in cost.rows:
        cells.setdefault(row.n, []).append(row)
    for row in next(iter(cells.values())):
        for name in (f"context {row.context}: ms", "T(n)/T(1)", "F"):
            shown.add_column(name, justify="right", no_wrap=True)
    for n, found in cells.items():
        words = [word for row in found for word in (f"{row.ms:.2f}", f"{row.ratio:.2f}", f"{row.floors:.2f}")]
        shown.add_row(str(n), *words)
    return shown


def draft_table(draft: DraftCost) -> Table:
    """A row for each context."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("context", "commit ms", "propose ms", "nodes", "target passes", "F"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in draft.rows:
        floors = f"{(row.commit_ms + row.propose_ms) / draft.floor_ms:.2f}" if draft.floor_ms else "-"
        shown.add_row(str(row.context), f"{row.commit_ms:.2f}", f"{row.propose_ms:.2f}", str(row.nodes),
                      f"{row.passes:.2f}", floors)
    return shown


def draft_summary(draft: DraftCost) -> str:
    """What a round of the drafter reads, in one line."""
    return f"{draft.drafter}: {draft.read_gb:.3f} GB of weights as held, F = {draft.floor_ms:.2f} ms"


def summary(cost: Cost) -> str:
    """What F was made of, in one line."""
    return (f"F = {cost.floor_ms:.2f} ms: {cost.file_gb:.3f} GB of the file a token, read at "
            f"{cost.bandwidth_gb_s:.1f} GB/s with {cost.threads} threads; weights as held: {cost.packed_gb:.3f} GB")


def document(cost: Cost) -> str:
    """One line of JSON; `draft` is there where a drafter was timed."""
    found = asdict(cost)
    if cost.draft is None:
        del found["draft"]
    return json.dumps(found, allow_nan=False)
