"""What `bench peers` prints: a table, a line for each peer that is missing, one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.table import Table

from outrider.bench.peers.catalogue import MissingPeer
from outrider.bench.peers.contest import Standing
from outrider.bench.report import Machine


def table(standings: Sequence[Standing]) -> Table:
    """A row for each engine and mode, workloads set apart."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(("workload", "engine", "mode", "tokens", "tok/s", "ratio", "prefill tok/s", "total",
                                   "ratio", "same tokens")):
        shown.add_column(name, justify="left" if number < 3 else "right", no_wrap=number > 2)
    for index, row in enumerate(standings):
        is_last = index + 1 == len(standings) or standings[index + 1].workload != row.workload
        shown.add_row(row.workload, row.engine, row.mode, str(row.tokens), f"{row.tok_s:.1f}", f"{row.ratio:.2f}",
                      f"{row.prefill_tok_s:.0f}", f"{row.total_s:.1f} s", f"{row.ratio_total:.2f}", f"{row.same:.0%}",
                      end_section=is_last)
    return shown


def missing_line(missing: MissingPeer) -> str:
    remedy = f"; to have it: {missing.install}" if missing.install else ""
    return f"{missing.peer}: {missing.reason}{remedy}"


def document(model: str, machine: Machine, versions: Mapping[str, str], standings: Sequence[Standing],
             missing: Sequence[MissingPeer]) -> str:
    """One line of JSON; `versions` are the peers'."""
    return json.dumps({"model": model, "machine": asdict(machine), "versions": dict(versions),
                       "rows": [asdict(row) for row in standings], "missing": [asdict(one) for one in missing]},
                      allow_nan=False)
