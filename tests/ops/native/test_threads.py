"""The limits of control groups, on made-up trees of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from outrider.ops.native.threads import available_threads, cpu_limit


def put(groups: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)


def first(place: str, quota: int) -> dict[str, str]:
    """A group of version 1."""
    return {f"{place}/cpu.cfs_quota_us": f"{quota}\n", f"{place}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("files", "membership", "limit"),
    [
        ({}, "", None),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"cpu.max": "nonsense"}, "0::/\n", None),
        ({"cpu.max": "100000 0"}, "0::/\n", None),
        ({"a/b/cpu.max": "300000 100000", "a/cpu.max": "200000 100000"}, "0::/a/b\n", 2.0),  # the one above pays less
        ({"a/b/cpu.max": "max 100000", "other/cpu.max": "100000 100000"}, "0::/a/b\n", None),
        ({"cpu.max": "100000 100000"}, "0::/of/the/host\n", 1.0),  # a container that sees its group as the root
        (first("cpu", 250000), "1:cpu:/\n0::/\n", 2.5),
        (first("cpu", -1), "1:cpu:/\n", None),
        (first("cpu/docker/x", 50000), "4:memory:/m\n3:cpu,cpuacct:/of/the/host\n2:cpu:/docker/x\n", 0.5),
        (first("cpu,cpuacct/a/b", 400000) | first("cpu,cpuacct/a", 300000), "3:cpu,cpuacct:/a/b\n", 3.0),
        (first("cpuset/a", 100000), "3:cpuset:/a\n", None),
        (first("cpu", 100000), "", 1.0),
        ({"cpu/cpu.cfs_quota_us": "100000"}, "1:cpu:/\n", None),  # no period
    ],
)
def test_the_least_that_a_group_pays_for(
    tmp_path: Path, files: dict[str, str], membership: str, limit: float | None
) -> None:
    put(tmp_path / "groups", files)
    put(tmp_path, {"membership": membership})
    assert cpu_limit(tmp_path / "groups", tmp_path / "membership") == limit


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "nothing", tmp_path / "nowhere") is None


def test_there_is_always_a_thread() -> None:
    assert available_threads() >= 1
