"""What the published drafters compute on tiny random models, as recorded in tests/golden/drafters (see its README)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parent / "golden" / "drafters"


@dataclass(frozen=True, slots=True)
class DraftGolden:
    """A checkpoint, what the target hands its drafter, and what the published implementation computes from it.

    `kind` is dflash, eagle3 or specblock, `layout` the files' format. `taps` count layers from 0, each the output of
    that layer. `arrays` is read by the properties and by name, for what only some cases have. Shapes: embed and head
    [V, H], tokens [T], residuals [layers, T, H], starts [R]: the anchors' positions; the rest as the README says.
    """

    name: str
    kind: str
    layout: str
    taps: tuple[int, ...]
    target_layers: int
    arrays: Mapping[str, Tensor]

    @property
    def folder(self) -> Path:
        """The checkpoint's directory."""
        return GOLDEN / self.name

    @property
    def embed(self) -> Tensor:
        return self.arrays["embed"].float()

    @property
    def head(self) -> Tensor:
        return self.arrays["head"].float()

    @property
    def residuals(self) -> Tensor:
        return self.arrays["residuals"].float()

    @property
    def features(self) -> Tensor:
        """The tapped outputs side by side, [T, taps × H]."""
        return torch.cat(tuple(self.residuals[list(self.taps)]), dim=-1)

    @property
    def tokens(self) -> list[int]:
        return [int(token) for token in self.arrays["tokens"].tolist()]

    @property
    def starts(self) -> list[int]:
        return [int(start) for start in self.arrays["starts"].tolist()]


@dataclass(frozen=True, slots=True)
class AcceptedRun:
    """One prompt, the text with it that the target writes, and how many drafts each round accepted.

    Corrections and bonus tokens are not counted; rounds begin at the first token behind the prompt. Rounds that the
    end of the text would shorten are left out, so `accepted` may stop before `tokens` do.
    """

    prompt: list[int]
    tokens: list[int]
    accepted: list[int]


@dataclass(frozen=True, slots=True)
class AcceptedGolden:
    """A trained drafter, its target, and its greedy rounds by the published implementation."""

    name: str
    kind: str
    num_drafts: int
    runs: list[AcceptedRun]

    @property
    def folder(self) -> Path:
        return GOLDEN / self.name

    @property
    def target(self) -> Path:
        """The target's checkpoint, one for all."""
        return GOLDEN / "accepted-target"


def accepted_names() -> list[str]:
    return sorted(path.parent.name for path in GOLDEN.glob("*/accepted.json"))


def accepted_golden(name: str) -> AcceptedGolden:
    facts = _facts(GOLDEN / name / "accepted.json")
    runs = facts["runs"]
    assert isinstance(runs, list)
    return AcceptedGolden(
        name=name,
        kind=str(facts["kind"]),
        num_drafts=int(str(facts["num_drafts"])),
        runs=[AcceptedRun(run["prompt"], run["tokens"], run["accepted"]) for run in runs],
    )


def golden_names(kind: str, layout: str = "") -> list[str]:
    """The cases of a kind, and of one format if given, for `pytest.mark.parametrize`."""
    return [name for name, facts in _all_facts() if facts["kind"] == kind and layout in ("", facts["format"])]


def draft_golden(name: str) -> DraftGolden:
    facts = _facts(GOLDEN / name / "case.json")
    taps = facts["taps"]
    assert isinstance(taps, list)
    arrays = load_file(GOLDEN / name / "case.safetensors")
    return DraftGolden(
        name=name,
        kind=str(facts["kind"]),
        layout=str(facts["format"]),
        taps=tuple(int(tap) for tap in taps),
        target_layers=int(str(facts["target_layers"])),
        arrays=arrays,
    )


def _all_facts() -> Iterator[tuple[str, Mapping[str, object]]]:
    for path in sorted(GOLDEN.glob("*/case.json")):
        yield path.parent.name, _facts(path)


def _facts(path: Path) -> Mapping[str, object]:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found
