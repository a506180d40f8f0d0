"""Giving memory that is no longer used back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

# Found on import: what is made among objects that are soon gone keeps a megabyte of Python's heap each.
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Pages of the heap that hold nothing any more, as far as Python and the C library (glibc) can be asked.

    Reading a vocabulary takes several times what stays of it. Both would keep that for later, and weights, which are
    mapped, never use it.
    """
    gc.collect()  # also empties the lists of tuples that Python keeps for later
    if _TRIM is not None:
        _TRIM(0)
