"""The server as a process: it finishes what runs when it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import tiny_server
from outrider.cli.main import main
from outrider.errors import ConfigError
from outrider.serve.run import address_of, listen

LONG = {"prompt": "ab", "max_tokens": 400, "temperature": 0.9, "ignore_eos": True, "stream": True}


@contextmanager
def process(drain_s: float) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(tiny_server.__file__)), str(drain_s)]
    started = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def told_after_the_signal(started: subprocess.Popen[str]) -> list[str]:
    """A stream in the midst of which the server is told to stop."""
    assert started.stdout is not None
    url = started.stdout.readline().strip()
    with httpx.Client(base_url=url, timeout=60, verify=False, transport=httpx.HTTPTransport(retries=20)) as client:
        with client.stream("POST", "/v1/completions", json=LONG) as found:
            lines = found.iter_lines()
            first = next(lines)
            started.send_signal(signal.SIGTERM)
            told = [first, *lines]
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health", verify=False)
    assert started.wait(60) == 0
    return [line for line in told if line]


def test_what_runs_is_finished() -> None:
    with process(60.0) as started:
        told = told_after_the_signal(started)
    assert told[-1] == "data: [DONE]" and '"finish_reason":"length"' in told[-2]


def test_what_takes_too_long_is_told_so() -> None:
    with process(0.0) as started:
        told = told_after_the_signal(started)
    assert told[-1] == "data: [DONE]" and '"server_stopping"' in told[-2]


def test_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as found:
        port = found.getsockname()[1]
        found.listen()
        assert address_of(found) == f"http://127.0.0.1:{port}"
        with pytest.raises(ConfigError, match=f"port {port}: .*in use"):
            listen("127.0.0.1", port)
        assert main(["serve", "nothing", "--port", str(port)]) == 2  # before a model is looked for
        assert "in use" in capsys.readouterr().err
    if socket.has_ipv6:
        with listen("::1", 0) as found:
            assert address_of(found).startswith("http://[::1]:")


@pytest.mark.parametrize(("flags", "complaint"), [
    (["--max-choices", "0"], "--max-choices: got 0"),
    (["--log-level", "loud"], "--log-level"),
    (["--api-key-file", "nowhere"], "--api-key-file: no file"),
    (["--api-key", " "], "a key is empty"),
    (["--prot", "1"], "did you mean '--port'"),
])
def test_mistakes_on_the_command_line(flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "nothing", "--port", "0", *flags]) == 2
    assert complaint in capsys.readouterr().err
