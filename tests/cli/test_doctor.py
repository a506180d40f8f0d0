"""`outrider doctor`: what it says follows from what the system says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import outrider
from outrider.cli import doctor, machine
from outrider.cli.main import main


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "read_bandwidth", lambda num_threads: 12.34)


@pytest.mark.usefixtures("quick")
def test_lines_and_document_have_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for label in ("outrider", "python", "processor", "instructions", "threads", "torch", "gpu", "extras", "cache"):
        assert f"\n{label}" in f"\n{shown}"
    assert "12.3 GB/s" in shown
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == outrider.__version__
    assert document["processor"]["instructions"] in ("avx512_vnni", "avx2", "neon", "portable")


@pytest.mark.parametrize(
    ("flags", "name", "path"),
    [
        ("fpu avx avx2 avx512f avx512_vnni", "x86_64", "avx512_vnni"),
        ("fpu avx avx2", "AMD64", "avx2"),
        ("fpu sse2", "x86_64", "portable"),
        ("", "aarch64", "neon"),
        ("", "arm64", "neon"),
    ],
)
def test_the_instruction_path(flags: str, name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert machine._instructions(f"model name\t: X\nflags\t\t: {flags}\n", name) == path


def test_extras_are_read_from_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "numpy>=1",
        'pytest; extra == "test"',
        'no-such-package-here>=2; extra == "serve"',
        'pytest>=8; extra == "serve"',
    ]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: requirements)
    assert doctor._extras() == {"test": True, "serve": False}
