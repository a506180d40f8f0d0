"""Stand-ins for where models come from: a directory of tiny packages, a patient listener."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from outrider.io.catalogue import Entry, Part


class Listener:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        self.notes: list[str] = []

    def begin(self, label: str, total_bytes: int) -> None:
        self.shown.append(0)

    def show(self, done_bytes: int) -> None:
        self.shown.append(done_bytes)

    def note(self, line: str) -> None:
        self.notes.append(line)


def pieces(num_parts: int, num_bytes: int = 5000) -> list[bytes]:
    """Different bytes for each part, of unequal length."""
    return [hashlib.shake_128(b"%d" % number).digest(num_bytes + 7 * number) for number in range(num_parts)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_entry(contents: list[bytes], name: str = "tiny-model") -> Entry:
    """The catalogue entry of a model that packages carry in parts."""
    whole = b"".join(contents)
    parts = tuple(
        Part(
            package=f"fake-{name}-part{number}",
            version="1.0",
            member=f"fake/data/part{number}.bin",
            num_bytes=len(data),
            sha256=sha256(data),
        )
        for number, data in enumerate(contents)
    )
    return Entry(
        name=name, repo="fake/Tiny-GGUF", file="tiny-q4_k_m.gguf", arch="llama", about="", licence="none",
        num_bytes=len(whole), sha256=sha256(whole), vocabulary="", parts=parts,
    )  # fmt: skip


def make_wheels(directory: Path, entry: Entry, contents: list[bytes], marker: Path | None = None) -> None:
    """A package index in a directory; importing one of its packages would create `marker`."""
    directory.mkdir(parents=True, exist_ok=True)
    for part, data in zip(entry.parts, contents, strict=True):
        distribution = part.package.replace("-", "_")
        info = f"{distribution}-{part.version}.dist-info"
        with zipfile.ZipFile(directory / f"{distribution}-{part.version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(part.member, data)
            wheel.writestr("fake/__init__.py", f"open({str(marker)!r}, 'w')")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            about = f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\n"
            wheel.writestr(f"{info}/METADATA", about)
            wheel.writestr(f"{info}/RECORD", "")


def pip_environment(directory: Path) -> dict[str, str]:
    """Variables that let pip see that directory and nothing else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory), "PIP_CONFIG_FILE": os.devnull}
