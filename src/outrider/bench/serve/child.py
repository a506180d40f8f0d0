"""A server of ours as a child of this process: started on a free port, and stopped whatever happens."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from outrider.bench.serve.contender import is_ready
from outrider.bench.serve.wire import Site
from outrider.errors import PeerError

HOST = "127.0.0.1"
START_S = 600.0
STOP_S = 10.0


@contextmanager
def started(command: Sequence[str], name: str, log: Path | None = None, start_s: float = START_S) -> Iterator[Site]:
    """Runs `command --host … --port …` and waits until it serves; what it says goes into `log`.

    Raises: PeerError where it never serves.
    """
    site = Site(HOST, free_port(), is_secure=False)
    with (tempfile.TemporaryFile() if log is None else log.open("w+b")) as said, _terminable():
        process = subprocess.Popen([*command, "--host", HOST, "--port", str(site.port)], stdin=subprocess.DEVNULL,
                                   stdout=said, stderr=subprocess.STDOUT)
        try:
            _await(process, site, said, name, start_s)
            yield site
        finally:
            _stop(process)


def our_command(model: str, options: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "outrider", "serve", model, *options]


def free_port() -> int:
    """One that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], site: Site, said: IO[bytes], name: str, start_s: float) -> None:
    end_s = time.monotonic() + start_s
    while not is_ready(site):
        if process.poll() is not None:
            raise PeerError(name, f"its server ended with code {process.returncode}{_last_line(said)}")
        if time.monotonic() > end_s:
            raise PeerError(name, f"its server did not answer within {start_s:g} s{_last_line(said)}")
        time.sleep(0.1)


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last}" if last else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends this process as an exception meanwhile, so that what it has started is stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
