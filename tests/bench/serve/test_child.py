"""A server as a child: it is there inside the block and gone after it, however the block ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from outrider.bench.serve.child import our_command, started
from outrider.bench.serve.contender import is_ready
from outrider.bench.serve.wire import Site
from outrider.errors import PeerError

COMMAND = [sys.executable, str(Path(__file__).with_name("fake_child.py"))]


def test_it_serves_inside_the_block_and_not_after() -> None:
    with started([*COMMAND, "serve"], "toy", start_s=60.0) as site:
        assert is_ready(site)
    assert not is_ready(site)


def test_it_is_gone_after_an_exception() -> None:
    seen: list[Site] = []
    with pytest.raises(ValueError), started([*COMMAND, "serve"], "toy", start_s=60.0) as site:
        seen.append(site)
        raise ValueError
    assert not is_ready(seen[0])


def test_it_is_gone_when_this_process_is_told_to_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Site] = []
    with pytest.raises(SystemExit) as left, started([*COMMAND, "serve"], "toy", start_s=60.0) as site:
        seen.append(site)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert left.value.code == 128 + signal.SIGTERM
    assert not is_ready(seen[0]) and signal.getsignal(signal.SIGTERM) is before


def test_one_that_fails_is_told_with_its_last_word(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(PeerError, match=r"^toy: its server ended with code 3: no such model: toy$"), \
            started([*COMMAND, "fail"], "toy", log, start_s=60.0):
        pytest.fail("it serves")
    assert log.read_text().startswith("loading")


def test_our_own_command() -> None:
    assert our_command("m", ["--drafter", "none"])[1:] == ["-m", "outrider", "serve", "m", "--drafter", "none"]
