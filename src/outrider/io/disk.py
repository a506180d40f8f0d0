"""What a directory holds while others change it, and telling a full disk from other mistakes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

NO_SPACE_TEXT = "No space left on device"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, is a disk or a quota that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full() -> OSError:
    """The error that the system would have raised, where another program reported it in words."""
    return OSError(errno.ENOSPC, NO_SPACE_TEXT)


def files_below(directory: Path) -> Iterator[Path]:
    """All files below `directory`; what vanishes or may not be read meanwhile is left out (`rglob` would raise)."""
    for folder, _, names in os.walk(directory):
        yield from (Path(folder, name) for name in names)


def size_of(directory: Path) -> int:
    """Bytes of all files below `directory`, links not followed."""
    total = 0
    for path in files_below(directory):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
