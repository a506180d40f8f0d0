"""How many threads this process may keep busy."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def available_threads() -> int:
    """Cores that affinity leaves and the control group pays for, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """Whole cores of the control group's quota, rounded up; a large number where there is none."""
    try:
        allowed, period = _CPU_MAX.read_text().split()[:2]
        return math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return 1 << 16
