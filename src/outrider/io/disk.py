"""Telling a full disk from other mistakes."""

from __future__ import annotations

import errno

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
