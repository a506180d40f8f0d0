"""`outrider models`: what can be used on this machine, what a model is, and removing our own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from outrider.cli.flags import parse
from outrider.cli.model_page import facts_document, facts_lines, find_drafters
from outrider.errors import ConfigError, UnknownReferenceError, suggestion
from outrider.io.cache_home import partial_directory
from outrider.io.disk import size_of
from outrider.io.download import is_stored, stored_path
from outrider.io.local_stores import FoundModel, found_models
from outrider.io.model_facts import read_facts
from outrider.io.progress import readable_size
from outrider.io.reference import Library, resolve

SUMMARY = "list models, show one, remove one"
ACTIONS = ("show", "rm")


@dataclass(frozen=True, slots=True)
class List:
    """List the catalogue and the models that other programs have on this machine.

    `outrider models show MODEL` describes one; `outrider models rm NAME` removes one that Outrider pulled.
    """

    json: bool = False
    """Print one JSON document instead of tables."""


@dataclass(frozen=True, slots=True)
class Show:
    """Describe a model: architecture, quantisation, sizes, chat template, infill tokens, drafters that fit."""

    model: tyro.conf.Positional[str]
    """A path, a catalogue name, owner/repo, owner/repo:QUANT or ollama:NAME:TAG."""
    json: bool = False
    """Print one JSON document instead of lines."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a model that Outrider pulled. Files of other programs are never touched."""

    model: tyro.conf.Positional[str]
    """Its name in the catalogue."""


def run(argv: list[str]) -> int:
    library = Library.of_user()
    if argv[:1] == ["show"]:
        return _show(parse(Show, argv[1:], "outrider models show"), library)
    if argv[:1] == ["rm"]:
        return _remove(parse(Remove, argv[1:], "outrider models rm"), library)
    words = argv[1:] if argv[:1] == ["list"] else argv
    if words and not words[0].startswith("-"):
        hint = suggestion(words[0], ("list", *ACTIONS))
        raise ConfigError(f"unknown action '{words[0]}'{hint}; see 'outrider models --help'")
    return _list(parse(List, words, "outrider models"), library)


def _list(options: List, library: Library) -> int:
    found = found_models(library.stores)
    if options.json:
        print(json.dumps({"catalogue": _catalogue_rows(library), "found": [_found_row(model) for model in found]}))
        return 0
    console = Console(highlight=False)
    table = _table("model", "here", "size", "what it is", "licence")
    for entry in library.catalogue.entries:
        here = "yes" if is_stored(entry, library.home) else ""
        table.add_row(entry.name, here, readable_size(entry.num_bytes), f"{entry.arch}; {entry.about}", entry.licence)
    console.print(table)
    if found:
        others = _table("in other programs' stores, used in place", "store", "size")
        for model in found:
            others.add_row(model.reference, model.store, readable_size(model.num_bytes))
        console.print(others)
    return 0


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number == 0 and heading == "model")
    return table


def _catalogue_rows(library: Library) -> list[dict[str, object]]:
    return [
        {
            "name": entry.name,
            "here": is_stored(entry, library.home),
            "path": str(stored_path(entry, library.home)),
            "num_bytes": entry.num_bytes,
            "sha256": entry.sha256,
            "arch": entry.arch,
            "licence": entry.licence,
        }
        for entry in library.catalogue.entries
    ]


def _found_row(model: FoundModel) -> dict[str, object]:
    return {
        "reference": model.reference,
        "store": model.store,
        "path": str(model.path),
        "num_bytes": model.num_bytes,
    }


def _show(options: Show, library: Library) -> int:
    facts = read_facts(resolve(options.model, library=library))
    drafters = find_drafters(facts, library)
    if options.json:
        print(json.dumps(facts_document(facts, drafters)))
    else:
        print("\n".join(facts_lines(facts, drafters)))
    return 0


def _remove(options: Remove, library: Library) -> int:
    ours = [entry.name for entry in library.catalogue.entries if stored_path(entry, library.home).is_file()]
    removable = f"removable: {', '.join(ours) or 'nothing'}"
    entry = library.catalogue.find(options.model)
    if entry is None:
        raise ConfigError(f"'{options.model}' was not pulled by Outrider and is left alone; {removable}")
    path, unfinished = stored_path(entry, library.home), partial_directory(library.home, entry.name)
    if not path.is_file() and not unfinished.is_dir():
        raise UnknownReferenceError(f"'{entry.name}' is not here; {removable}")
    freed = size_of(unfinished) + (path.stat().st_size if path.is_file() else 0)
    shutil.rmtree(unfinished, ignore_errors=True)
    path.unlink(missing_ok=True)
    print(f"removed {entry.name} ({readable_size(freed)})")
    return 0
