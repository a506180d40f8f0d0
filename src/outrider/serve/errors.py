"""Errors as OpenAI words them: `{"error": {"message", "type", "param", "code"}}` and a status that says whose fault."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from outrider.errors import CacheFullError, ConfigError, OutriderError, RequestError

_log = logging.getLogger(__name__)
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_PART = re.compile(r"(?!(?:body|str|int|bool)$)[a-z_]{1,40}|[0-9]{1,9}")  # of a field's path
_FIELD = re.compile(r"^([a-z_]+(?:\.[a-z_]+|\[\d+\])*): ")


class ApiError(OutriderError):
    """An answer that is an error. `param` names the field at fault, `retry_s` when to come back."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None,
                 retry_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry_s = status, param, code, retry_s


class ClientGoneError(Exception):
    """Nobody is left to answer."""


def refused(param: str, why: str, code: str = "unsupported_parameter") -> ApiError:
    """A field that cannot be had here."""
    return ApiError(400, f"{param}: {why}", param=param, code=code)


def as_api_error(error: BaseException) -> ApiError:
    """Whatever was raised as an answer; what is no fault of the client's tells nothing of itself."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestError | ConfigError | CacheFullError):
        found = _FIELD.match(str(error))
        return ApiError(400, str(error), param=found[1] if found else None, code="invalid_value")
    return ApiError(500, "the server failed on this request; its log says why", code="internal_error")


def document(error: ApiError) -> dict[str, object]:
    """The body, of an answer or of an event."""
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def response(error: ApiError) -> Response:
    headers = {}
    if error.retry_s is not None:
        headers["retry-after"] = str(error.retry_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status in (408, 500):
        headers["x-should-retry"] = "false"  # the same again would take as long and end the same way
    return Response(json.dumps(document(error)), error.status, headers, "application/json")


def log_fault(error: BaseException) -> None:
    """A line and a traceback for what is our own fault. Prompts are in neither."""
    if as_api_error(error).status >= 500 and not isinstance(error, ApiError):
        _log.error("a request failed", exc_info=error)


def install(app: FastAPI) -> None:
    """Every error that can leave a handler gets the one shape."""

    async def mended(request: Request, error: Exception) -> Response:
        log_fault(error)
        return response(as_api_error(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        kind = request.headers.get("content-type", "")
        if "json" not in kind and request.method == "POST":
            return response(ApiError(400, f"the body is '{kind:.60}': expected the header 'content-type: "
                                          "application/json'", code="invalid_content_type"))
        return response(_of_validation(error.errors()))

    async def refused_by_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        found = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}")
        answer = response(found)
        answer.headers.update(error.headers or {})
        return answer

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)

    app.add_exception_handler(OutriderError, mended)
    app.add_exception_handler(Exception, mended)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused_by_router)
    app.add_exception_handler(ClientGoneError, gone)


def _of_validation(errors: Sequence[Mapping[str, object]]) -> ApiError:
    """The first complaint; of the kinds that a field may have, about the one that what was sent comes closest to. What
    was sent is not repeated: it may be a prompt."""
    if errors[0].get("type") == "json_invalid":
        return ApiError(400, "the body is not valid JSON", code="invalid_json")
    first = _path(errors[0])
    same = [error for error in errors if _path(error)[: len(first)] == first]
    error = max(same, key=lambda error: len(_path(error)))
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _path(error)).lstrip(".") or None
    message = f"{param}: {error.get('msg')}" if param else f"the body is not valid: {error.get('msg')}"
    return ApiError(400, message, param=param, code="invalid_value")


def _path(error: Mapping[str, object]) -> tuple[str | int, ...]:
    """Where a complaint is, without the kinds (`str`, `list[...]`) that pydantic puts between."""
    location = error.get("loc")
    parts = location if isinstance(location, tuple) else ()
    return tuple(part for part in parts if isinstance(part, int) or _PART.fullmatch(part))
