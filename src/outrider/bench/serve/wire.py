"""A request and its reply as they passed over the wire: bytes and times, read by others when all is over.

The client runs on the machine that it measures, so it does nothing but note what came and when.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, urlsplit

from outrider.errors import ConfigError

_END_OF_HEAD = b"\r\n\r\n"
_END_OF_CHUNKS = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes, and when they came."""

    time_s: float
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """`begin_s` is when it was due, `fault` what broke it off, in a word or two, "" where the reply came to its end."""

    begin_s: float
    end_s: float
    reads: tuple[Read, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server is: `root` is what comes before `/v1`."""

    host: str
    port: int
    is_secure: bool
    root: str = ""
    api_key: str = ""

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}{self.root}"

    def message(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A request as HTTP has it. It asks that the connection be closed: the end of the reply is then no question."""
        key = f"Authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        head = (f"{method} {self.root}{path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nConnection: close\r\n"
                f"Accept: */*\r\n{key}{content}\r\n")
        return head.encode() + body


def site_of(url: str, api_key: str = "") -> Site:
    """Reads `http://host:port`, with or without the `/v1` that clients are given. Raises: ConfigError."""
    parts = urlsplit(url)
    port = _port(parts)
    if parts.scheme not in ("http", "https") or not parts.hostname or port is None or parts.query or parts.fragment:
        raise ConfigError(f"got '{url}', expected a server's address such as http://127.0.0.1:8000")
    if any(mark <= " " for mark in url + api_key):
        raise ConfigError(f"got {url!r}: an address or a key cannot hold blanks or line ends")
    return Site(parts.hostname, port, parts.scheme == "https", parts.path.rstrip("/").removesuffix("/v1"), api_key)


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


async def exchange(site: Site, message: bytes, timeout_s: float, begin_s: float | None = None) -> Exchange:
    """Sends, and notes what comes back until the reply is over; never raises for what the server does."""
    begin_s = time.perf_counter() if begin_s is None else begin_s
    loop = asyncio.get_running_loop()
    recorder = _Recorder(message, loop.create_future())
    fault = ""
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: recorder, site.host, site.port,
                                         ssl=_certificates() if site.is_secure else None)
            fault = await recorder.over
    except TimeoutError:
        fault = f"no end within {timeout_s:g} s"
    except OSError as error:
        fault = f"cannot connect ({error.strerror or type(error).__name__})"
    finally:
        recorder.close()
    return Exchange(begin_s=begin_s, end_s=time.perf_counter(), reads=tuple(recorder.reads), fault=fault)


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust: dear to read, so once."""
    return ssl.create_default_context()


class _Recorder(asyncio.Protocol):
    """Notes every read. `over` becomes what broke the connection off, or "" at the end of the reply."""

    def __init__(self, message: bytes, over: asyncio.Future[str]) -> None:
        self.reads: list[Read] = []
        self.over = over
        self._message = message
        self._transport: asyncio.BaseTransport | None = None
        self._rest: int | None = None  # bytes of the body still to come, None where no length was given
        self._is_chunked = self._has_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self.reads.append(Read(time.perf_counter(), data))
        if not self._has_head:
            self._look_at_head()
        elif self._rest is not None:
            self._rest -= len(data)
        is_last = self._is_chunked and self._tail().endswith(_END_OF_CHUNKS)
        if is_last or (self._rest is not None and self._rest <= 0):
            self._end("")

    def connection_lost(self, error: Exception | None) -> None:
        is_short = self._rest is not None and self._rest > 0
        self._end("connection lost" if error or is_short or not self.reads else "")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _look_at_head(self) -> None:
        head, end, body = b"".join(read.data for read in self.reads).partition(_END_OF_HEAD)
        if not end:
            return
        self._has_head = True
        for line in head.lower().split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name == b"transfer-encoding":
                self._is_chunked = b"chunked" in value
            elif name == b"content-length" and value.strip().isdigit():
                self._rest = int(value) - len(body)

    def _tail(self) -> bytes:
        """The last few bytes, which may have come in two reads."""
        last = self.reads[-1].data
        before = self.reads[-2].data if len(last) < len(_END_OF_CHUNKS) and len(self.reads) > 1 else b""
        return before[-len(_END_OF_CHUNKS):] + last

    def _end(self, fault: str) -> None:
        if not self.over.done():
            self.over.set_result(fault)
