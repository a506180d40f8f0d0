"""How a long transfer tells its user how far it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from outrider.io.disk import size_of


class Progress(Protocol):
    """What a transfer reports to. `done_bytes` counts what has arrived of the whole file."""

    def begin(self, label: str, total_bytes: int) -> None: ...

    def show(self, done_bytes: int) -> None: ...

    def note(self, line: str) -> None: ...


class Silent:
    """Reports nothing."""

    def begin(self, label: str, total_bytes: int) -> None: ...

    def show(self, done_bytes: int) -> None: ...

    def note(self, line: str) -> None: ...


class ProgressBar:
    """A bar on the terminal's error stream; where that is no terminal, only the notes, a line each."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, label: str, total_bytes: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(label, total=total_bytes)

    def show(self, done_bytes: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=done_bytes)

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


@contextlib.contextmanager
def watching(directory: Path, progress: Progress, done_bytes: int, most_bytes: int) -> Iterator[None]:
    """Report the growth of `directory` while another program or library fills it.

    The size on disk is the one measure that every version of every downloader shares. Reports stay between
    `done_bytes` and `done_bytes + most_bytes`.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            progress.show(done_bytes + min(most_bytes, size_of(directory)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def readable_size(num_bytes: int) -> str:
    """`468.6 MiB`, `1.0 GiB`."""
    size, unit = float(num_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{num_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
