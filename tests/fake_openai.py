"""A server on this machine that answers as a test says, byte for byte, and notes what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

HEAD = "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}\r\n"
Asked = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    head: str
    body: Asked


Answer = Callable[[Request], Sequence[bytes]]


@dataclass(slots=True)
class Fake:
    url: str
    asked: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def bodies(self, path: str) -> list[Asked]:
        return [request.body for request in self.asked if request.path == path]


@contextmanager
def serving(answer: Answer) -> Iterator[Fake]:
    """Runs until the block is left. Each piece of an answer is a write of its own; then the connection is closed."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = _read(self)
            with fake.lock:
                fake.asked.append(request)
                fake.at_once += 1
                fake.most_at_once = max(fake.most_at_once, fake.at_once)
            try:
                for piece in answer(request):
                    self.wfile.write(piece)
                    self.wfile.flush()
            finally:
                with fake.lock:
                    fake.at_once -= 1

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        fake = Fake(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


def _read(handler: socketserver.StreamRequestHandler) -> Request:
    lines = []
    while (line := handler.rfile.readline().decode().rstrip("\r\n")):
        lines.append(line)
    lengths = [int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length")]
    body = json.loads(handler.rfile.read(lengths[0])) if lengths else {}
    return Request(lines[0].split()[1], "\n".join(lines), body)


def head(status: int = 200, kind: str = "text/event-stream", more: str = "") -> bytes:
    return HEAD.format(status=status, kind=kind, more=more).encode()


def document(content: object, status: int = 200) -> list[bytes]:
    body = json.dumps(content).encode()
    return [head(status, "application/json", f"Content-Length: {len(body)}\r\n"), body]


def refusal(message: str, status: int = 400) -> list[bytes]:
    return document({"error": {"message": message, "type": "invalid_request_error", "code": None}}, status)


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def text_event(text: str, finish_reason: str | None = None, **more: object) -> bytes:
    return event({"choices": [{"index": 0, "text": text, "finish_reason": finish_reason}], **more})


def chat_event(finish_reason: str | None = None, **delta: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def usage(tokens: int, prompt: int = 5, **more: object) -> dict[str, object]:
    return {"usage": {"completion_tokens": tokens, "prompt_tokens": prompt}, **more}


DONE = b"data: [DONE]\n\n"


def stream(*events: bytes) -> list[bytes]:
    """Ends where the connection does."""
    return [head(), *events]


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def plain_answer(request: Request) -> Sequence[bytes]:
    """A well-mannered server: one model, answers of two chunks that count as many tokens as were asked for."""
    if request.path == "/v1/models":
        return document({"data": [{"id": "toy"}]})
    if request.path == "/metrics":
        return document({}, 404)
    tokens = int(str(request.body["max_tokens"]))
    pieces = [chat_event(role="assistant", content=""), chat_event(content="a"), chat_event("length", content="b")] \
        if "messages" in request.body else [text_event("a"), text_event("b", "length")]
    return stream(*pieces, event({"choices": [], **usage(tokens)}), DONE)
