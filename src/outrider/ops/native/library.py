"""Finding, loading and asking the native library.

    OUTRIDER_NATIVE_LIBRARY   a path: this library and no other
    OUTRIDER_ISA              the kernel set to use instead of the best one, for tests and comparisons

Without the first the library is taken from the package, where a wheel has it, or else from build/native of the checkout
that the package is imported from, where an editable install builds it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from outrider.errors import ConfigError, NativeLibraryError

if TYPE_CHECKING:
    from _ctypes import _CDataType

INTERFACE_VERSION = 7  # of csrc/api/library.cpp
PACKAGE = Path(__file__).resolve().parents[2]

MISSING = (
    "this installation has no native kernels, so the model runs on the much slower reference implementation; "
    "to build them, install a C++ compiler (GCC or Clang) and install Outrider again"
)


class Library:
    """The loaded library. Its functions release the GIL; they keep no state that this object would own."""

    def __init__(self, path: Path) -> None:
        """Raises: NativeLibraryError if the file is no library of this version for this machine."""
        self.path = path
        try:
            self._dll = ctypes.CDLL(str(path))
        except OSError as error:
            raise NativeLibraryError(f"cannot load the native library {path}: {_one_line(error)}; "
                                     "install Outrider again, or correct OUTRIDER_NATIVE_LIBRARY") from None
        version = self.function("outrider_version", [])()
        if version != INTERFACE_VERSION:
            raise NativeLibraryError(f"the native library {path} has interface {version} where this Outrider needs "
                                     f"{INTERFACE_VERSION}: install Outrider again, so that both are built together")

    def function(self, name: str, argtypes: Sequence[type[_CDataType]],
                 restype: type[_CDataType] | None = ctypes.c_int32) -> Callable[..., int]:
        """A function of the C interface, declared; by convention it returns 0 or a negative error code.

        Raises: NativeLibraryError if the library has no such function.
        """
        try:
            function = self._dll[name]
        except AttributeError:
            raise NativeLibraryError(f"the native library {self.path} has no function '{name}': "
                                     "install Outrider again, so that it matches the Python code") from None
        function.argtypes = list(argtypes)
        function.restype = restype
        return function

    def names(self) -> tuple[str, ...]:
        """The kernel sets that run on this machine, best first; `portable` runs everywhere."""
        function = self._dll["outrider_kernel_name"]
        function.argtypes, function.restype = [ctypes.c_int32], ctypes.c_char_p
        found: list[str] = []
        while (name := function(len(found))) is not None:
            found.append(name.decode())
        return tuple(found)

    def kernels(self, name: str = "") -> int:
        """Handle of a kernel set, for the functions that ask for one; without a name OUTRIDER_ISA's, or the best.

        Raises: ConfigError if there is no such set, or this machine cannot run it.
        """
        wanted = name or os.environ.get("OUTRIDER_ISA", "")
        handle = self.function("outrider_kernels", [ctypes.c_char_p], ctypes.c_void_p)(wanted.encode())
        if not handle:
            names = ", ".join(self.names()) or "none"
            raise ConfigError(f"no native kernel set '{wanted}' on this machine; there is: {names}")
        return handle


def load() -> Library | None:
    """The native library, or None where none was built; then `MISSING` says what to tell the user.

    Raises: NativeLibraryError if there is one, or one is named, that cannot be used.
    """
    named = os.environ.get("OUTRIDER_NATIVE_LIBRARY", "")
    if named:
        path = Path(named)
        if not path.is_file():
            raise NativeLibraryError(f"OUTRIDER_NATIVE_LIBRARY names no file: {path}")
        return Library(path.resolve())
    found = next((path for path in candidates(PACKAGE) if path.is_file()), None)
    return Library(found) if found else None


def candidates(package: Path) -> list[Path]:
    """Where the library of the package in that folder may be, in order of preference."""
    places = [package / "_native" / file_name()]
    checkout = package.parent.parent
    if (checkout / "csrc" / "CMakeLists.txt").is_file():
        places.append(checkout / "build" / "native" / file_name())
    return places


def file_name() -> str:
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return "liboutrider_native" + suffix


def _one_line(error: OSError) -> str:
    return " ".join(str(error).split())
