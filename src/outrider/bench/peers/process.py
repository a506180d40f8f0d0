"""A peer as a child process: one JSON line there, one back. It waits for its input while others compute."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from outrider.bench.peers.catalogue import PlacedPeer
from outrider.errors import PeerError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """What a peer loads; `draft_model` is empty where no mode needs one."""

    model: str
    modes: tuple[str, ...]
    threads: int
    context: int
    draft_model: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of one request, and the seconds until the first and the last of them, as the engine counted them."""

    ids: list[int]
    first_s: float
    total_s: float


class PeerProcess:
    """A loaded peer. Raises: PeerError when it cannot be loaded, and where it fails later."""

    def __init__(self, peer: PlacedPeer, order: LoadOrder) -> None:
        self.name = peer.kind.name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._child = subprocess.Popen(
            peer.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            encoding="utf-8", env=peer.environment())
        try:
            self.version = str(self._ask({"load": asdict(order)})["version"])
        except BaseException:
            self.close()
            raise

    def generate(self, mode: str, ids: Sequence[int], max_tokens: int, stop_ids: Sequence[int]) -> Answer:
        """Greedy tokens behind `ids`. Raises: PeerError."""
        reply = self._ask({"mode": mode, "ids": list(ids), "max_tokens": max_tokens, "stop_ids": list(stop_ids)})
        return Answer(list(reply["ids"]), float(reply["first_s"]), float(reply["total_s"]))

    def close(self) -> None:
        """Its input ends, and so does it; one that does not is killed."""
        assert self._child.stdin is not None and self._child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        self._errors.close()

    def _ask(self, message: dict[str, object]) -> dict[str, Any]:
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(self.name, f"it ended unexpectedly: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise PeerError(self.name, str(reply["error"]))
        return reply

    def _last_words(self) -> str:
        self._child.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._child.returncode}"
