"""Facts about this machine that explain how fast it decodes. Imports no torch."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from outrider.ops.native.threads import cpu_limit

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """`instructions` is the widest path that integer kernels can take here: avx512_vnni, avx2, neon or portable."""

    model: str
    instructions: str
    num_cpus: int
    num_usable: int
    cgroup_limit: float | None


def read_processor() -> Processor:
    """What the system says about its processor and how much of it we may use."""
    text = _CPU_INFO.read_text(errors="replace") if _CPU_INFO.is_file() else ""
    affinity = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    limit = cpu_limit()
    return Processor(
        model=_model(text),
        instructions=_instructions(text, platform.machine()),
        num_cpus=os.cpu_count() or 1,
        num_usable=min(affinity, math.ceil(limit)) if limit else affinity,
        cgroup_limit=limit,
    )


def read_gpus() -> list[str]:
    """Graphics processors, a line each, asked of the driver's own tools."""
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        if answer := _output(command):
            return [line.strip() for line in answer.splitlines() if line.strip()]
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        return [f"NVIDIA driver without nvidia-smi: {driver.read_text().splitlines()[0]}"]
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return ["Apple GPU"]
    return []


def _model(cpu_info: str) -> str:
    for key in ("model name", "Model", "Hardware"):
        if found := re.search(rf"^{key}\s*:\s*(.+)$", cpu_info, re.MULTILINE):
            return found[1].strip()
    if sys.platform == "darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]).strip() or platform.machine()
    return platform.processor() or platform.machine()


def _instructions(cpu_info: str, machine: str) -> str:
    if machine.lower() in ("aarch64", "arm64"):
        return "neon"
    flags: set[str] = set()
    if found := re.search(r"^flags\s*:\s*(.+)$", cpu_info, re.MULTILINE):
        flags = set(found[1].split())
    elif sys.platform == "darwin":
        listed = _output(["sysctl", "-n", "machdep.cpu.features", "machdep.cpu.leaf7_features"])
        flags = {"avx512_vnni" if flag == "avx512vnni" else flag for flag in listed.lower().split()}
    return next((path for path in ("avx512_vnni", "avx2") if path in flags), "portable")


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
