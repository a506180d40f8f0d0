"""What a user may call a model, and the file or directory it means.

    ./model.gguf, /models/llama, C:\\models\\x.gguf   a path
    qwen2.5-coder-0.5b-instruct                      a name of the catalogue
    owner/repo, owner/repo:Q4_K_M                    a hub repository, a quantisation in it
    ollama:name, ollama:name:tag                     a model of the local Ollama store
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from outrider.errors import UnknownReferenceError, suggestion
from outrider.io.cache_home import cache_home
from outrider.io.catalogue import Catalogue, Entry, load_catalogue
from outrider.io.download import is_stored, pull_entry, stored_path
from outrider.io.hub import fetch_repo
from outrider.io.local_stores import Stores, find_hub_snapshot, find_ollama, gguf_names, has_safetensors
from outrider.io.progress import Progress, ProgressBar, readable_size
from outrider.io.quant_tag import choose_gguf

KINDS = "a path, a catalogue name, owner/repo, owner/repo:QUANT or ollama:NAME:TAG"
_REPO = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(:(?P<tag>[\w.-]+))?")
_LOOKS_LIKE_PATH = re.compile(r"[.~]?[/\\]|\.\.[/\\]|~|[A-Za-z]:[/\\]|.*\.(gguf|safetensors)$|.*\\", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PathReference:
    path: Path


@dataclass(frozen=True, slots=True)
class EntryReference:
    entry: Entry


@dataclass(frozen=True, slots=True)
class HubReference:
    repo: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class OllamaReference:
    name: str
    tag: str


Reference = PathReference | EntryReference | HubReference | OllamaReference


@dataclass(frozen=True, slots=True)
class Library:
    """Everything in which a reference is looked up: our own store, the catalogue, other programs' stores."""

    home: Path
    catalogue: Catalogue
    stores: Stores

    @classmethod
    def of_user(cls) -> Library:
        return cls(cache_home(), load_catalogue(), Stores.of_user())


def resolve(reference: str, *, fetch: bool = False, library: Library | None = None) -> Path:
    """The file or directory that `reference` means; with `fetch`, downloading it first where it is not here.

    Raises:
        UnknownReferenceError: it leads nowhere, or is not here and `fetch` is off; the message has the remedy.
        DownloadError: it could not be fetched.
    """
    library = library or Library.of_user()
    parsed = parse_reference(reference, library.catalogue)
    path = locate(parsed, library)
    if path is not None:
        return path
    if fetch and isinstance(parsed, EntryReference | HubReference):
        with ProgressBar() as bar:
            return pull(parsed, library, bar)
    raise _not_here(reference, parsed)


def parse_reference(reference: str, catalogue: Catalogue) -> Reference:
    """Raises: UnknownReferenceError where the text is no kind of reference; near names are suggested."""
    text = reference.strip()
    path = _as_path(text)
    if text and _exists(path):
        return PathReference(path)
    if text.lower().startswith("ollama:") and len(text) > len("ollama:") and "\0" not in text:  # no file is called so
        name, _, tag = text[len("ollama:") :].partition(":")
        return OllamaReference(name, tag or "latest")
    if entry := catalogue.find(text):
        return EntryReference(entry)
    if text and _LOOKS_LIKE_PATH.match(text):
        return PathReference(path)
    if match := _REPO.fullmatch(text):
        entry = catalogue.find_file(match["repo"], match["tag"])
        return EntryReference(entry) if entry else HubReference(match["repo"], match["tag"])
    raise UnknownReferenceError(
        f"unknown model '{reference}'{_near(text, catalogue)}; expected {KINDS}; see 'outrider models'"
    )


def locate(reference: Reference, library: Library) -> Path | None:
    """Where the model lies on this machine, or None."""
    match reference:
        case PathReference(path):
            return _model_at(path) if _exists(path) else None
        case EntryReference(entry):
            return stored_path(entry, library.home) if is_stored(entry, library.home) else None
        case HubReference(repo, tag):
            return _in_stores(repo, tag, library.stores)
        case OllamaReference(name, tag):
            return find_ollama(library.stores.ollama, name, tag)


def pull(reference: EntryReference | HubReference, library: Library, progress: Progress) -> Path:
    """Fetch what is not here. Raises: DownloadError, UnknownReferenceError."""
    if isinstance(reference, EntryReference):
        return pull_entry(reference.entry, library.home, progress)
    return fetch_repo(reference.repo, reference.tag, library.stores.hub, progress)


def _as_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # `~nobody`: a user who does not exist, or who cannot
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or with a zero byte: no path at all
        return False


def _near(text: str, catalogue: Catalogue) -> str:
    """A suggestion: the only name that begins like the text, else the nearest one."""
    longer = [name for name in catalogue.names if text and name.startswith(text.lower().replace("_", "-"))]
    return suggestion(longer[0] if len(longer) == 1 else text, catalogue.names)


def _model_at(path: Path) -> Path:
    """A file, a safetensors directory, or the GGUF file that a directory means."""
    if path.is_file() or has_safetensors(path):
        return path
    names = gguf_names(path)
    if not names:
        raise UnknownReferenceError(
            f"no model in directory '{path}': expected a GGUF file, or config.json and safetensors"
        )
    if len(names) > 1:
        raise UnknownReferenceError(f"directory '{path}' has {len(names)} GGUF files; name one: {', '.join(names[:5])}")
    return path / names[0]


def _in_stores(repo: str, tag: str | None, stores: Stores) -> Path | None:
    """`owner/repo` in the hub library's cache, then in LM Studio's folders of the same names."""
    snapshot = find_hub_snapshot(stores.hub, repo)
    if snapshot is not None and tag is None and has_safetensors(snapshot):
        return snapshot
    directories = ([snapshot] if snapshot else []) + [root / repo for root in stores.lm_studio]
    for directory in directories:
        names = gguf_names(directory)
        try:
            return directory / choose_gguf(names, tag, repo)
        except UnknownReferenceError:
            continue
    return None


def _not_here(given: str, reference: Reference) -> UnknownReferenceError:
    match reference:
        case PathReference(path):
            return UnknownReferenceError(f"no file or directory at '{path}'; a model is {KINDS}")
        case EntryReference(entry):
            return UnknownReferenceError(
                f"'{entry.name}' is not here yet; get it with 'outrider pull {entry.name}' "
                f"({readable_size(entry.num_bytes)})"
            )
        case HubReference():
            return UnknownReferenceError(f"'{given}' is not here yet; get it with 'outrider pull {given}'")
        case OllamaReference(name, tag):
            return UnknownReferenceError(
                f"Ollama has no model '{name}:{tag}' here; see 'outrider models' or run 'ollama pull {name}:{tag}'"
            )
