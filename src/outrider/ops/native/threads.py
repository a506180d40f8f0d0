"""How many threads this process may keep busy. Imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_threads() -> int:
    """Cores that affinity leaves and the control groups pay for, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit()
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def cpu_limit(groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> float | None:
    """CPUs that this process may use: the least that its control group or one above it pays for; None for no limit.

    Version 2 of control groups says so in one file, version 1 in two, both in units of a period.
    """
    limits = (_paid(folder) for folder in _folders(groups, membership))
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(groups: Path, membership: Path) -> Iterator[Path]:
    """Where limits may be written. Containers see their own group as the root, whatever `membership` says."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        lines = []
    own = [(groups / names if names else groups, place) for _, names, place in lines if not names or _is_cpu(names)]
    for root, place in [(groups, "/"), (groups / "cpu", "/"), *own]:
        folder = root / place.lstrip("/")
        yield from (folder, *(parent for parent in folder.parents if parent.is_relative_to(root)))


def _is_cpu(names: str) -> bool:
    return "cpu" in names.split(",")


def _paid(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()[:2]
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no such group; "max", or -1, where there is no limit
        return None
