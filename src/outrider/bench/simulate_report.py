"""What `bench simulate` prints: a row for each policy, what odds were worth, and one JSON document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from outrider.bench.simulate import Outcome, Trial, calibration


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one workload of one recording, `name`. `speedup` is to plain decoding at the same price and batch.
    """

    name: str
    policy: str
    members: str
    speedup: float
    outcome: Outcome


def table(rows: Sequence[Row]) -> Table:
    """A row for each outcome; recordings and workloads are set apart."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(("recording, workload", "policy", "members", "batch", "tok/s", "speedup",
                                   "tokens/round", "drafted/round", "accepted", "drafting", "asked per round")):
        shown.add_column(name, justify="left" if number in (0, 1, 2, 10) else "right", no_wrap=number < 10)
    for index, row in enumerate(rows):
        one = row.outcome
        is_last = index + 1 == len(rows) or rows[index + 1].name != row.name
        seldom = [f"{name} {count / one.rounds:.2f}" for name, count in one.asked.items() if count < 0.9 * one.rounds]
        shown.add_row(
            row.name, row.policy, row.members, str(one.batch), f"{one.tok_s:.1f}",
            f"{row.speedup:.3f}x", f"{one.tokens_per_round:.2f}", f"{one.drafted / one.rounds:.2f}",
            f"{one.accepted / one.drafted:.0%}" if one.drafted else "-", f"{one.draft_s / one.seconds:.1%}",
            ", ".join(seldom) or "all", end_section=is_last)
    return shown


def calibration_table(trials: Sequence[Trial]) -> Table:
    """A row for each tenth of the chances that nodes were given."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("chance", "nodes", "predicted", "observed", "difference"):
        shown.add_column(name, justify="right", no_wrap=True)
    for tenth in calibration(trials):
        shown.add_row(f"{tenth.low:.1f} to {tenth.low + 0.1:.1f}", str(tenth.count), f"{tenth.predicted:.3f}",
                      f"{tenth.observed:.3f}", f"{tenth.observed - tenth.predicted:+.3f}")
    return shown


def document(rows: Sequence[Row]) -> str:
    """One line of JSON."""
    return json.dumps({"outcomes": [_row(row) for row in rows]}, allow_nan=False)


def _row(row: Row) -> dict[str, object]:
    one = row.outcome
    return {
        "name": row.name, "policy": row.policy, "members": row.members,
        "batch": one.batch, "tokens": one.tokens, "seconds": one.seconds, "tok_s": one.tok_s, "speedup": row.speedup,
        "tokens_per_round": one.tokens_per_round, "rounds": one.rounds, "drafted": one.drafted,
        "accepted": one.accepted, "draft_s": one.draft_s, "asked": dict(one.asked),
        "calibration": [asdict(tenth) for tenth in calibration(one.trials)],
    }
