"""Files from the model hub: one file of the catalogue, or a repository that a user names.

The hub's library is imported only when something is fetched; listing and resolving models work without it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outrider.errors import DownloadError, UnknownReferenceError
from outrider.io.catalogue import Entry
from outrider.io.checksum import verify
from outrider.io.disk import is_disk_full
from outrider.io.progress import Progress, watching
from outrider.io.quant_tag import GGUF, choose_gguf

CONNECT_TIMEOUT_S = 5.0
_WEIGHTS = ".safetensors"
# What a model needs besides its weights: configuration, tokenizer, chat template.
_BESIDES = re.compile(r"[^/]*\.(json|jinja)|tokenizer\.model|merges\.txt|vocab\.txt")


class HubUnavailableError(Exception):
    """The hub cannot serve this file now; another source may."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository; `sha256` is known for the large ones."""

    name: str
    num_bytes: int
    sha256: str | None


def fetch_entry(entry: Entry, area: Path, progress: Progress) -> Path:
    """Download the hub file of `entry` into `area`, going on with what is there from an earlier try.

    Raises:
        HubUnavailableError: no connection, no such file, or not the file of the catalogue.
        DownloadError: what arrived does not match the checksum; it was dropped.
    """
    with _as_unavailable():
        hub = _library()
        found = hub.get_hf_file_metadata(hub.hf_hub_url(entry.repo, entry.file), timeout=CONNECT_TIMEOUT_S)
    if found.etag != entry.sha256:
        raise HubUnavailableError(f"its file {entry.file} has another checksum now")
    with _as_unavailable(), watching(area, progress, 0, entry.num_bytes):
        path = Path(hub.hf_hub_download(entry.repo, entry.file, local_dir=area, tqdm_class=_no_bar()))
    verify(path, entry.sha256)
    return path


def fetch_repo(repo: str, tag: str | None, cache: Path, progress: Progress) -> Path:
    """Download a repository's model into the hub library's own cache and return the file or directory to load.

    With a `tag` the GGUF file of that quantisation; without one the safetensors files if there are any, else the
    GGUF file of the most usual quantisation.

    Raises:
        UnknownReferenceError: no such repository, or nothing in it that fits.
        DownloadError: no connection, or a checksum that does not match.
    """
    files = _chosen(repo, tag, _list_files(repo))
    progress.begin(f"{repo}", sum(file.num_bytes for file in files))
    hub = _library()
    blobs = cache / f"models--{repo.replace('/', '--')}" / "blobs"
    path = cache
    for file in files:
        with _as_download_error(repo), watching(blobs, progress, 0, sum(file.num_bytes for file in files)):
            path = Path(hub.hf_hub_download(repo, file.name, cache_dir=cache, tqdm_class=_no_bar()))
        if file.sha256:
            verify(path, file.sha256)
    return path if files[-1].name.lower().endswith(GGUF) else _root(path, files[-1].name)


def _list_files(repo: str) -> list[HubFile]:
    with _as_download_error(repo):
        info = _library().HfApi().model_info(repo, files_metadata=True, timeout=CONNECT_TIMEOUT_S)
    return [
        HubFile(item.rfilename, item.size or 0, item.lfs.sha256 if item.lfs else None) for item in info.siblings or ()
    ]


def _chosen(repo: str, tag: str | None, files: Iterable[HubFile]) -> list[HubFile]:
    """The files to fetch; the last one is the model itself or lies beside it."""
    by_name = {file.name: file for file in files}
    weights = [name for name in by_name if name.endswith(_WEIGHTS) and "/" not in name]
    if tag is None and weights:
        return [by_name[name] for name in by_name if name in weights or _BESIDES.fullmatch(name)]
    return [by_name[choose_gguf(list(by_name), tag, repo)]]


def _root(path: Path, name: str) -> Path:
    """The snapshot directory in which `path` is the file `name`."""
    return path.parents[name.count("/")]


def _library() -> Any:
    # Any: the names used here are stable, their types are not, from one version of the library to the next.
    import huggingface_hub

    return huggingface_hub


def _no_bar() -> type[Any]:
    """The hub library's progress bar, switched off: ours is already there."""
    bar: Any = _library().utils.tqdm

    class NoBar(bar):  # type: ignore[misc]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **{**options, "disable": True})

    return NoBar


@contextlib.contextmanager
def _as_unavailable() -> Iterator[None]:
    """Whatever goes wrong with the hub, another source may work; only a full disk is the same everywhere."""
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise
        raise HubUnavailableError(_first_line(error)) from error


@contextlib.contextmanager
def _as_download_error(repo: str) -> Iterator[None]:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise DownloadError(f"'{repo}' is gated: accept its terms on the hub, then run 'hf auth login'") from error
    except RepositoryNotFoundError as error:
        raise UnknownReferenceError(f"the hub has no public repository '{repo}'; check its spelling") from error
    except Exception as error:
        if is_disk_full(error):
            raise
        reason = f"'{repo}' could not be fetched from the hub ({_first_line(error)})"
        raise DownloadError(f"{reason}; check the connection") from error


def _first_line(error: Exception) -> str:
    lines = re.sub(r"^\[Errno -?\d+\] ", "", str(error).strip()).splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__
