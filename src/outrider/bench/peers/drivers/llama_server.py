"""Any `llama-server` binary over HTTP on this machine: plain, with its n-grams, with a draft model."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

START_S = 300.0


class Peer:
    """A server for each mode; the binary's path is in $OUTRIDER_LLAMA_SERVER."""

    def __init__(self, model: str, modes: list[str], threads: int, context: int, draft_model: str) -> None:
        binary = os.environ["OUTRIDER_LLAMA_SERVER"]
        shown = subprocess.run([binary, "--version"], capture_output=True, text=True)
        self.version = (shown.stderr + shown.stdout).strip().splitlines()[0]
        common = [binary, "-m", model, "-c", str(context), "-t", str(threads), "-tb", str(threads), "-np", "1"]
        self._ports = {mode: _started([*common, *_speculation(binary, mode, draft_model)]) for mode in modes}

    def generate(self, mode: str, ids: list[int], max_tokens: int, stop_ids: list[int]) -> dict[str, object]:
        wanted = {"prompt": ids, "n_predict": max_tokens, "temperature": 0, "top_k": 1, "cache_prompt": False,
                  "return_tokens": True, "ignore_eos": not stop_ids}
        begin_s = time.perf_counter()
        reply = _asked(self._ports[mode], "/completion", wanted)
        total_s = time.perf_counter() - begin_s
        return {"ids": reply["tokens"], "first_s": reply["timings"]["prompt_ms"] / 1e3, "total_s": total_s}


def _speculation(binary: str, mode: str, draft_model: str) -> list[str]:
    """The flags of a mode; old servers have no `--spec-type`, and there a draft model is used when it is given."""
    if mode == "plain":
        return []
    if mode != "draft":
        return ["--spec-type", mode]
    known = subprocess.run([binary, "--help"], capture_output=True, text=True)
    return ["-md", draft_model, *(["--spec-type", "draft-simple"] if "--spec-type" in known.stdout else [])]


def _started(command: list[str]) -> int:
    """Runs a server and waits until it serves; it ends with this process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stdin=subprocess.DEVNULL)
    atexit.register(process.terminate)
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}: {' '.join(command)}")
        try:
            _asked(port, "/health", None)
            return port
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not answer within {START_S:.0f} s")


def _asked(port: int, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=3600) as response:
        reply: dict[str, Any] = json.load(response)
    return reply
