"""Keeping only what matches its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

from outrider.errors import DownloadError


def verify(path: Path, sha256: str) -> None:
    """Raises: DownloadError where the file does not match; the file (and what a link points to) is removed."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise DownloadError(
            f"checksum of {path.name} is {found[:12]}…, expected {sha256[:12]}…; it was dropped, pull it again"
        )
