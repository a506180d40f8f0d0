"""A model hub on this machine: as much of its interface as its library needs to list and fetch files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fake_sources import sha256

COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Serves `files` of one repository and lists the sizes and checksums of `listed`."""

    def __init__(self, repo: str, files: Mapping[str, bytes], listed: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repo = repo
        self.files = files
        self.listing = _repo_document(repo, listed)


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: object) -> None: ...

    def _answer(self, with_body: bool) -> None:
        prefix = f"/{self.server.repo}/resolve/"
        name = self.path.removeprefix(prefix).split("/", 1)[-1]
        if self.path.startswith(f"/api/models/{self.server.repo}"):
            self._send(self.server.listing, "document", with_body)
        elif self.path.startswith(prefix) and name in self.server.files:
            self._send(self.server.files[name], sha256(self.server.files[name]), with_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, body: bytes, etag: str, with_body: bool) -> None:
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(body) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if with_body:
            self.wfile.write(body[first:])


@contextmanager
def hub_server(repo: str, files: Mapping[str, bytes], listed: Mapping[str, bytes] | None = None) -> Iterator[str]:
    """A running hub; yields its address, for `HF_ENDPOINT`. Where `listed` differs from `files`, the hub lies."""
    server = Hub(repo, files, listed or files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _repo_document(repo: str, files: Mapping[str, bytes]) -> bytes:
    siblings = [
        {"rfilename": name, "size": len(data), "lfs": {"size": len(data), "sha256": sha256(data), "pointerSize": 1}}
        for name, data in files.items()
    ]
    return json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}).encode()
