"""`outrider bench simulate`: policies on recordings, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from outrider.cli.bench.screen import show, tell
from outrider.cli.flags import parse
from outrider.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outrider.bench.recording import Recording
    from outrider.bench.simulate_report import Row
    from outrider.policy.pass_price import Curve

SUMMARY = "policies on recordings, without a model"
ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSimulate:
    """Run policies over recordings of `outrider bench record` on a virtual clock, and compare them.

    Every workload of a recording is run from the beginning, by a policy that knows nothing yet.
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")]
    """Recordings."""
    policy: str = "adaptive,fixed:4,fixed:8,fixed:16"
    """adaptive, fixed:K or none, separated by commas."""
    only: str = ""
    """Also with only these members of the drafter: groups, joined by +, separated by commas."""
    batch: str = "1"
    """Sequences at once, numbers separated by commas."""
    curve: Path | None = None
    """What `outrider bench cost --json` printed, on another machine perhaps; unless given, the recording's own price.
    """
    calibration: bool = False
    """Also compare the chances that were given to verified nodes with what came of them."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    options = parse(BenchSimulate, argv, "outrider bench simulate")
    if not options.files:
        raise ConfigError("no recording given: name one or more files of 'outrider bench record'")
    from outrider.bench.cost_curve import read_curve
    from outrider.bench.recording import read
    from outrider.bench.simulate_report import calibration_table, document, table

    batches = read_batches(options.batch)
    curve = read_curve(options.curve) if options.curve else None
    recordings = {path.name.partition(".")[0]: read(path) for path in options.files}
    groups = read_groups(options.only, {seat.name for found in recordings.values() for seat in found.setting.seats})
    rows: list[Row] = []
    for name, recording in recordings.items():
        for workload, part in recording.by_workload().items():
            rows += _rows(options, f"{name}, {workload}", part, groups, batches, curve)
    tell("")
    show(table(rows))
    if options.calibration:
        show(calibration_table([trial for row in rows if row.members == ALL for trial in row.outcome.trials]))
    if options.json:
        print(document(rows))
    return 0


def read_batches(words: str) -> list[int]:
    """`1,8` as numbers. Raises: ConfigError."""
    batches = [int(word) if word.strip().isdecimal() else 0 for word in words.split(",")]
    if min(batches) < 1:
        raise ConfigError(f"--batch: got '{words}', expected numbers from 1 on separated by commas, such as 1,8")
    return batches


def read_groups(words: str, known: set[str]) -> list[str]:
    """All members, and the groups that are named. Raises: ConfigError for a member that no recording has."""
    groups = [group.strip() for group in words.split(",") if group.strip()]
    for name in (name for group in groups for name in group.split("+")):
        if name not in known:
            raise ConfigError(f"--only: '{name}' is no member of a recorded drafter{suggestion(name, known)}: "
                              f"expected some of {', '.join(sorted(known))}")
    return [ALL, *groups]


def _rows(options: BenchSimulate, name: str, recording: Recording, groups: Sequence[str], batches: Sequence[int],
          curve: Curve | None) -> list[Row]:
    """All policies, batches and groups of members; groups that this recording does not have are left out."""
    from outrider.bench.simulate import policy_maker, simulate
    from outrider.bench.simulate_report import Row

    policies = {policy.strip(): policy_maker(policy.strip()) for policy in options.policy.split(",")}
    names = [seat.name for seat in recording.setting.seats]
    rows = []
    for batch in batches:
        plain = simulate(recording, policy_maker("none"), curve=curve, batch=batch)
        for group in groups:
            wanted = set(names if group == ALL else group.split("+"))
            for policy, make in policies.items() if wanted <= set(names) else ():
                tell(f"{name}: {policy}, {group}")
                only = [index for index, one in enumerate(names) if one in wanted]
                found = simulate(recording, make, curve=curve, batch=batch, only=only)
                rows.append(Row(name, policy, group, plain.seconds / found.seconds, found))
    return rows
