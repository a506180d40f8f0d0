"""One process at a time: a lock that the system releases when its holder dies."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def exclusive(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; if another holds it, call `on_wait` once and wait for it.

    The file stays: removing it would let a waiter and a newcomer lock two different files of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        waiting = False
        while not _held(descriptor):
            if not waiting:
                on_wait()
            waiting = True
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _held(descriptor: int) -> bool:
    try:
        _try_lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    return True
