"""What `docs/coming-from.md` promises in its column "here" exists."""

from __future__ import annotations

import re
from pathlib import Path

from _pytest.capture import CaptureFixture

from outrider.cli.main import main
from outrider.drafting import registry

TEXT = (Path(__file__).parents[1] / "docs" / "coming-from.md").read_text(encoding="utf-8")
HERE = [line.split(" | ", 1)[1] for line in TEXT.splitlines() if line.startswith("| ") and " | " in line]
VERBS = (["serve"], ["generate"], ["chat"], ["bench", "serve"], ["bench", "cost"], ["bench", "run"])


def test_every_flag_is_known(capsys: CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert main([*verb, "--help"]) == 0
    shown = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    flags = {flag for cell in HERE for flag in re.findall(r"--[a-z][a-z-]+", cell)}
    assert flags and flags <= shown, f"unknown: {sorted(flags - shown)}"


def test_every_drafter_is_known() -> None:
    named = {name for cell in HERE for name in re.findall(r"(?:--drafter \"?|\+)([a-z_0-9]+)", cell)} - {"auto"}
    assert named and named <= {*registry.names()}, f"unknown: {sorted(named)}"
