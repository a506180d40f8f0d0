"""What a benchmark prints: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from outrider.bench.identity import Divergence
from outrider.bench.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the figures come from."""

    processor: str
    instructions: str
    cpus: int
    threads: int
    device: str
    torch: str
    outrider: str


def table(runs: Sequence[Run]) -> Table:
    """A row for each run, workloads set apart; with the interval of the speedup if there were passes enough."""
    has_intervals = any(run.speedup_low is not None for run in runs)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(("workload", "drafter", "tokens", "tok/s", "speedup", "in total", "tokens/round",
                                   "accepted", "prefill tok/s", "first token", "identical",
                                   *(["speedup, 95 %"] if has_intervals else []))):
        shown.add_column(name, justify="left" if number < 2 else "right", no_wrap=number > 1)
    for index, run in enumerate(runs):
        is_last = index + 1 == len(runs) or runs[index + 1].workload != run.workload
        shown.add_row(
            run.workload, run.drafter, str(run.tokens), f"{run.tok_s:.1f}", f"{run.speedup:.2f}x",
            f"{run.speedup_total:.2f}x", f"{run.tokens_per_round:.2f}",
            f"{run.accept_rate:.0%}" if run.drafted else "-", f"{run.prefill_tok_s:.0f}", f"{run.ttft_s:.2f} s",
            "yes" if run.identical else f"no ({len(run.divergences)})",
            *([_interval_text(run)] if has_intervals else []), end_section=is_last,
        )
    return shown


def _interval_text(run: Run) -> str:
    return "-" if run.speedup_low is None else f"{run.speedup_low:.3f} to {run.speedup_high:.3f}"


def divergence_lines(runs: Sequence[Run]) -> list[str]:
    """A line for each divergence, with its gap."""
    return [f"{run.workload}, {run.drafter}: prompt {item.prompt} differs at token {item.token}, {gap_text(item.gap)}"
            for run in runs for item in run.divergences]


def gap_text(gap: float) -> str:
    return f"gap {gap:.2e}" if math.isfinite(gap) else "no near-tie"


def document(model: str, machine: Machine, runs: Sequence[Run]) -> str:
    """One line of JSON; an infinite gap is null there."""
    rows = [{**asdict(run), "divergences": [divergence_row(item) for item in run.divergences]} for run in runs]
    return json.dumps({"model": model, "machine": asdict(machine), "runs": rows}, allow_nan=False)


def divergence_row(divergence: Divergence) -> dict[str, int | float | None]:
    gap = divergence.gap if math.isfinite(divergence.gap) else None
    return {"prompt": divergence.prompt, "token": divergence.token, "gap": gap}
