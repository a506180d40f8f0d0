"""Looking at directories while others change them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from outrider.io.disk import disk_full, files_below, is_disk_full, size_of


def test_a_folder_that_vanishes_meanwhile_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stays").write_bytes(b"12345")
    (tmp_path / "goes").mkdir()
    scandir = os.scandir

    def vanishing(path: str) -> object:
        if Path(path).name == "goes":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert size_of(tmp_path) == 5
    assert list(files_below(tmp_path)) == [tmp_path / "stays"]
    assert size_of(tmp_path / "nowhere") == 0


def test_a_full_disk_is_recognised_through_what_wraps_it() -> None:
    try:
        try:
            raise disk_full()
        except OSError as error:
            raise RuntimeError("writing failed") from error
    except RuntimeError as error:
        assert is_disk_full(error)
    assert not is_disk_full(PermissionError(errno.EACCES, "no"))
    assert not is_disk_full(None)
