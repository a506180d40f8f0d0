"""`Gate`: what every request passes before a route sees it: an id, a key, a bounded body; and a line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Collection, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outrider.serve.errors import ApiError, ClientGoneError, as_api_error, log_fault, response
from outrider.serve.keys import Keys
from outrider.serve.metrics import Metrics
from outrider.serve.settings import Settings

PUBLIC_PATHS = frozenset({"/", "/health", "/version"})  # nothing of anybody's is told there
_log = logging.getLogger(__name__)
_GOOD_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Gate:
    """Plain ASGI around the application. The body is read here as a whole, so that it can be refused as a whole."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics,
                 public_paths: Collection[str] = PUBLIC_PATHS) -> None:
        self.app, self._settings, self._metrics, self._public = app, settings, metrics, public_paths
        self._keys = Keys(settings.api_keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, send)
        try:
            self._admit(scope)
            await self.app(scope, await self._bounded(scope, receive), visit.send)
        except ClientGoneError:
            visit.status = 499
        except Exception as error:  # whatever no handler knew; the next request is served all the same
            log_fault(error)
            if not visit.status:
                await response(as_api_error(error))(scope, receive, visit.send)
        finally:
            visit.log(self._metrics)

    def _admit(self, scope: Scope) -> None:
        """Raises: ApiError (401)."""
        given = Headers(scope=scope).get("authorization", "")
        key_scope = self._keys.scope(given)
        is_open = scope["path"] in self._public or scope["method"] == "OPTIONS"
        if key_scope is None and not is_open:
            raise ApiError(401, "no valid API key: expected the header 'Authorization: Bearer KEY'",
                           code="invalid_api_key")
        scope.setdefault("state", {})["scope"] = key_scope or ""

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """A `receive` that gives the whole body at once. Raises: ApiError (408, 413), ClientGoneError."""
        if scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            return receive
        declared = Headers(scope=scope).get("content-length", "0")
        most = self._settings.max_body_bytes
        if declared.isdecimal() and int(declared[:20]) > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                body = await _read(receive, most)
        except TimeoutError:
            raise ApiError(408, "the body did not arrive in time", code="body_timeout") from None
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def given() -> Message:
            return pending.pop() if pending else await receive()

        return given


class _Visit:
    """One request on its way: its id, its status, how long it took."""

    def __init__(self, scope: Scope, send: Send) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _GOOD_ID.fullmatch(given) else secrets.token_hex(12)
        self.status = 0
        self._scope, self._send = scope, send
        self._begin_s = time.perf_counter()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode("ascii"))]
        await self._send(message)

    def log(self, metrics: Metrics) -> None:
        """Who asked for what and how it went; never what was said."""
        route = getattr(self._scope.get("route"), "path", "other")
        metrics.responded(route, self.status)
        seconds = time.perf_counter() - self._begin_s
        _log.info("%s %s %s %d %.3f s", self.id, self._scope["method"], route, self.status, seconds)


async def _read(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
        is_more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes", code="body_too_large")
