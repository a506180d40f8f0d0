"""Finding and asking the native library: what is chosen, what is said when it cannot be used."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from outrider.errors import ConfigError, NativeLibraryError
from outrider.ops.native import library
from outrider.ops.native.library import Library


@pytest.fixture
def native() -> Library:
    found = library.load()
    if found is None and not os.environ.get("CI"):
        pytest.skip("no native library was built here")
    assert found, "there must be a native library in continuous integration"
    return found


def checkout(folder: Path, *files: str) -> Path:
    """A package inside a checkout, with empty files of those names in the checkout; returns the package."""
    for file in ("csrc/CMakeLists.txt", *files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder / "src" / "outrider"


def test_portable_is_the_last_resort_of_every_machine(native: Library) -> None:
    assert native.names()[-1] == "portable"
    assert len(set(native.names())) == len(native.names())


def test_every_set_that_is_named_can_be_chosen(native: Library) -> None:
    handles = {native.kernels(name) for name in native.names()}
    assert len(handles) == len(native.names()) and 0 not in handles


def test_the_best_set_is_the_first(native: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUTRIDER_ISA", raising=False)
    assert native.kernels() == native.kernels(native.names()[0])


def test_the_environment_forces_a_set_but_a_name_given_wins(native: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_ISA", "portable")
    assert native.kernels() == native.kernels("portable")
    monkeypatch.setenv("OUTRIDER_ISA", "avx1024")
    with pytest.raises(ConfigError, match=r"avx1024.*portable"):
        native.kernels()
    assert native.kernels("portable")


def test_a_set_of_another_architecture_is_refused(native: Library) -> None:
    foreign = "avx2" if "neon" in native.names() else "neon"
    with pytest.raises(ConfigError, match=foreign):
        native.kernels(foreign)


def test_a_function_that_is_missing_is_named(native: Library) -> None:
    with pytest.raises(NativeLibraryError, match="'outrider_nothing'"):
        native.function("outrider_nothing", [ctypes.c_int32])


def test_only_the_interface_is_visible(native: Library) -> None:
    with pytest.raises(NativeLibraryError):
        native.function("_ZN8outrider16portable_kernelsEv", [], ctypes.c_void_p)


def test_a_path_that_leads_nowhere_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OUTRIDER_NATIVE_LIBRARY", str(tmp_path / "gone.so"))
    with pytest.raises(NativeLibraryError, match=r"gone\.so") as raised:
        library.load()
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_library_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setenv("OUTRIDER_NATIVE_LIBRARY", str(broken))
    with pytest.raises(NativeLibraryError, match="install Outrider again") as raised:
        library.load()
    assert "\n" not in str(raised.value)


def test_a_library_of_another_version_is_refused(native: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "INTERFACE_VERSION", 0)
    with pytest.raises(NativeLibraryError, match="interface"):
        Library(native.path)


def test_a_library_in_the_package_comes_before_that_of_the_checkout(tmp_path: Path) -> None:
    name = library.file_name()
    package = checkout(tmp_path, f"src/outrider/_native/{name}", f"build/native/{name}")
    assert library.candidates(package) == [package / "_native" / name, tmp_path / "build" / "native" / name]


def test_an_installed_package_looks_nowhere_but_in_itself(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "site-packages" / "outrider"
    assert library.candidates(package) == [package / "_native" / library.file_name()]


def test_without_a_library_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OUTRIDER_NATIVE_LIBRARY", raising=False)
    monkeypatch.setattr(library, "PACKAGE", checkout(tmp_path))
    assert library.load() is None
