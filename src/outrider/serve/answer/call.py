"""One tool call that comes in pieces; here as a JSON object, in `spelt_call` in the other ways."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod

from outrider.serve.answer.json_scan import JsonScan

_HEADER = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=[^\s])')


class CallReader(ABC):
    """Gives away the name as soon as it is known, and the arguments as they come."""

    def __init__(self) -> None:
        self.raw = ""  # all that was read, as long as this may be no call
        self.name = ""  # empty until it is known
        self.is_done = self.is_broken = False
        self._ready = ""

    @abstractmethod
    def feed(self, text: str) -> str:
        """Returns what is behind the call; empty while it goes on."""

    def arguments(self) -> str:
        """What has come of them since the last call."""
        ready, self._ready = self._ready, ""
        return ready


class ObjectReader(CallReader):
    """`{"name": …, "arguments": {…}}`. Where the name comes last, or the arguments are a JSON text within a string, all
    of it comes at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._whole, self._value = JsonScan(), JsonScan()
        self._is_streamed = False

    def feed(self, text: str) -> str:
        size = self._whole.feed(text)
        self.raw += text[:size]
        self.is_broken = bool(self.raw.strip()) and not self.raw.lstrip().startswith("{")
        if self.is_broken:
            return text[size:]
        if self._is_streamed:
            self._stream(text[:size])
        elif not self.name and (header := _HEADER.match(self.raw)):
            self._begin(header)
        if self._whole.is_done:
            self.is_done = True
            self._end()
        return text[size:]

    def _begin(self, header: re.Match[str]) -> None:
        rest = self.raw[header.end() :]
        name = _loaded(header[1])
        if rest.startswith("{") and isinstance(name, str) and name:
            self.name, self._is_streamed = name, True
            self._stream(rest)

    def _stream(self, text: str) -> None:
        if not self._value.is_done:
            self._ready += text[: self._value.feed(text)]

    def _end(self) -> None:
        """The object is whole; what was streamed needs nothing more."""
        if self._is_streamed:
            return
        call = _loaded(self.raw)
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(name, str) or not name:
            self.is_broken = True
            return
        given = call.get("arguments", call.get("parameters"))
        parsed = _loaded(given) if isinstance(given, str) else given
        self.name = name
        self._ready = json.dumps(parsed if isinstance(parsed, dict) else {}, ensure_ascii=False)


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
