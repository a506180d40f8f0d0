"""Reading memory as fast as it goes. Imports no torch."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from outrider.ops.native.library import Library


class MemoryReader:
    """Calls release the GIL, so that threads read at once."""

    def __init__(self, library: Library) -> None:
        """Raises: NativeLibraryError if the library has no such function."""
        self._read = library.function("outrider_read", [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p])

    def __call__(self, words: npt.NDArray[np.int64]) -> int:
        """The bits of all `words` together: nothing can be left out."""
        bits = ctypes.c_int64()
        self._read(words.ctypes.data, words.size, ctypes.byref(bits))
        return bits.value
