"""Files in which drafters keep what they learnt across sequences.

    OUTRIDER-MEMORY\\n | header length, u32 | header, JSON | arrays, raw, little-endian | CRC-32 of all before, u32

A file is written beside its place and moved there, so that a reader finds the old one or the new one and never a half.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outrider.errors import CheckpointError, VocabularyError

_MAGIC = b"OUTRIDER-MEMORY\n"
_U32 = struct.Struct("<I")
_DTYPES = ("uint8", "int32", "uint32", "int64", "uint64")


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """What a file holds: whose it is, the tokens it speaks, the numbers that must fit the reader, and the arrays."""

    kind: str
    version: int
    fingerprint: str
    facts: Mapping[str, int]
    arrays: Mapping[str, NDArray[np.generic]]

    def require(self, path: Path, **facts: int) -> None:
        """Raises: CheckpointError for the first fact that differs from the reader's."""
        for name, expected in facts.items():
            if (found := self.facts.get(name)) != expected:
                raise CheckpointError(f"'{path}': {name} is {found}, this drafter has {expected}; "
                                      f"use the file with the settings and target it was made for")


def write(path: Path, content: MemoryFile) -> None:
    """Raises: CheckpointError where the file cannot be written; nothing is left behind then."""
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    listed = [{"name": name, "dtype": str(array.dtype), "shape": list(array.shape)} for name, array in arrays.items()]
    header = json.dumps({"kind": content.kind, "version": content.version, "fingerprint": content.fingerprint,
                         "facts": dict(content.facts), "arrays": listed}, sort_keys=True).encode()
    parts = [_MAGIC, _U32.pack(len(header)), header, *(array.tobytes() for array in arrays.values())]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    try:
        _write_atomically(path, [*parts, _U32.pack(checksum)])
    except OSError as error:
        raise CheckpointError(f"cannot write '{path}': {error.strerror or error}") from None


def _write_atomically(path: Path, parts: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, kind: str, version: int, fingerprint: str) -> MemoryFile:
    """The file of a drafter `kind` for the vocabulary `fingerprint`.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, or another drafter's.
        VocabularyError: it was made for another vocabulary.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read '{path}': {error.strerror or error}") from None
    if not data.startswith(_MAGIC):
        raise CheckpointError(f"'{path}' is no drafter memory; make one with 'outrider train'")
    if zlib.crc32(data[: -_U32.size]) != _U32.unpack(data[-_U32.size :])[0]:
        raise CheckpointError(f"'{path}' is truncated or damaged (checksum differs); make it anew")
    content = _parse(data)
    if (content.kind, content.version) != (kind, version):
        raise CheckpointError(f"'{path}' holds the memory of '{content.kind}' version {content.version}, "
                              f"expected '{kind}' version {version}")
    if content.fingerprint != fingerprint:
        raise VocabularyError(f"'{path}' was made for another vocabulary ({content.fingerprint[:12]}) than the "
                              f"target's ({fingerprint[:12]}); make one for this target")
    return content


def _parse(data: bytes) -> MemoryFile:
    """The parts of a file whose checksum is right, so whose lengths can be believed."""
    start = len(_MAGIC) + _U32.size
    end = start + _U32.unpack_from(data, len(_MAGIC))[0]
    header = json.loads(data[start:end])
    arrays: dict[str, NDArray[np.generic]] = {}
    for entry in header["arrays"]:
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(f"drafter memory with an array of type {entry['dtype']}, "
                                  f"expected one of {', '.join(_DTYPES)}")
        dtype, count = np.dtype(entry["dtype"]), int(np.prod(entry["shape"], dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(data, dtype, count, end).reshape(entry["shape"])
        end += count * dtype.itemsize
    return MemoryFile(header["kind"], header["version"], header["fingerprint"], header["facts"], arrays)
