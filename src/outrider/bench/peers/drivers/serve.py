"""The child's side of a peer: `python serve.py DRIVER.py` answers every JSON line with one, until its input ends.

    {"load": {"model", "modes", "threads", "context", "draft_model"}}   {"version": "…"}
    {"mode", "ids", "max_tokens", "stop_ids"}                           {"ids": […], "first_s": …, "total_s": …}
                                                  whatever goes wrong   {"error": "…"}

A driver holds a class `Peer` that takes the former's fields and has a `version` and a method `generate` that takes the
latter's. It imports nothing but the peer's own package, as this file imports nothing but the standard library: they run
where Outrider is not installed. Between two lines the process waits for input and takes no processor time.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def answer(peer_class: Any, peers: list[Any], message: dict[str, Any]) -> dict[str, Any]:
    """One reply; the loaded peer is kept in `peers`."""
    try:
        if "load" in message:
            peers.append(peer_class(**message["load"]))
            return {"version": str(peers[0].version)}
        reply: dict[str, Any] = peers[0].generate(**message)
        return reply
    except Exception as error:
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())}


def main() -> None:
    # Native libraries print to descriptor 1 as they please: replies go to a copy of it, and 1 to where errors go.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]  # drivers are named like packages
    try:
        peer_class = runpy.run_path(sys.argv[1])["Peer"]
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies, flush=True)
        return
    peers: list[Any] = []
    while line := sys.stdin.readline():
        print(json.dumps(answer(peer_class, peers, json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
