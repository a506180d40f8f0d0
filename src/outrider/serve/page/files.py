"""`GET /` and the files that the page at it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePath

from fastapi import APIRouter, Request
from starlette.responses import Response

from outrider.serve.service import Service

INDEX = "index.html"
NAMES = (INDEX, "answer.css", "style.css", "icon.svg", "answer.js", "api.js", "chat.js", "compare.js", "drafters.js",
         "main.js", "parts.js", "record.js", "run.js", "settings.js", "strip.js", "theme.js", "tip.js")
KINDS: Mapping[str, str] = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
                            ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
PATHS = frozenset({"/", *(f"/page/{name}" for name in NAMES if name != INDEX)})
# Nothing but these files runs or is fetched, and no text of a model's can become markup.
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                               "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file, and the tag by which browsers know whether theirs is the same."""

    data: bytes
    kind: str
    tag: str

    @classmethod
    def read(cls, name: str) -> PageFile:
        data = (resources.files("outrider.serve.page") / name).read_bytes()
        return cls(data, KINDS[PurePath(name).suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')

    def response(self, http: Request) -> Response:
        headers = {**HEADERS, "etag": self.tag}
        if http.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        return Response(self.data, headers={**headers, "content-type": self.kind})


def router(service: Service) -> APIRouter:
    """None of these need a key: they hold nothing of anybody's."""
    found = APIRouter(include_in_schema=False)
    for name in NAMES:
        path = "/" if name == INDEX else f"/page/{name}"
        found.add_api_route(path, PageFile.read(name).response, methods=["GET", "HEAD"], response_model=None)
    return found
