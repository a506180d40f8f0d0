"""Published drafters and the targets they were trained for (`outrider/data/drafters.json`)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """Tokens emitted per round (bonus included), as its source states it."""

    benchmark: str
    tokens_per_round: float
    settings: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDrafter:
    """`thinking` None: for both modes, for a target without, or not stated. `unchecked` names what we know by hearsay.

    `licence` and `block_size` None: not known, or there is no such thing.
    """

    target: str
    repo: str
    method: str
    format: str
    thinking: bool | None
    block_size: int | None
    licence: str | None
    unchecked: tuple[str, ...]
    figures: tuple[PublishedFigure, ...]


@dataclass(frozen=True, slots=True)
class DraftCatalogue:
    """In the order of preference among those for the same target."""

    entries: tuple[PublishedDrafter, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.target for entry in self.entries))

    def for_target(self, repo: str) -> tuple[PublishedDrafter, ...]:
        """Drafters for a hub repository, whoever else publishes the same model and in whatever file format."""
        wanted = _model(repo)
        return tuple(entry for entry in self.entries if _model(entry.target) == wanted)

    def at(self, path: Path) -> PublishedDrafter | None:
        """The drafter whose hub repository a local directory is a copy of, by the names of its folders."""
        parts = path.absolute().parts
        for entry in self.entries:
            owner, name = entry.repo.split("/")
            if f"models--{owner}--{name}" in parts or parts[-2:] == (owner, name):
                return entry
        return None


def load_drafters() -> DraftCatalogue:
    """The catalogue that this version ships with."""
    text = (resources.files("outrider") / "data" / "drafters.json").read_text(encoding="utf-8")
    return parse_drafters(text)


def parse_drafters(text: str) -> DraftCatalogue:
    entries = []
    for record in json.loads(text)["drafters"]:
        figures = tuple(PublishedFigure(**figure) for figure in record.pop("figures"))
        unchecked = tuple(record.pop("unchecked"))
        entries.append(PublishedDrafter(figures=figures, unchecked=unchecked, **record))
    return DraftCatalogue(tuple(entries))


def _model(repo: str) -> str:
    """The model's own name: `unsloth/Qwen3-4B-GGUF` is Qwen3-4B."""
    return re.sub(r"-(gguf|bf16)$", "", repo.split("/")[-1].lower())
