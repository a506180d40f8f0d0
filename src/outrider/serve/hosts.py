"""`KnownHosts`: who may be meant by a request. A page of a stranger's can have its own name resolve to 127.0.0.1, and
its scripts may then read whatever answers there under that name: so a server on loopback answers to its own only.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from outrider.errors import ConfigError
from outrider.serve.errors import ApiError

ANY = "*"
LOCAL = "localhost"


def hosts_of(bound: socket.socket, called: str, extra: Sequence[str]) -> tuple[str, ...]:
    """The names that a server answers to on this socket: `localhost`, which stands for all addresses of loopback, the
    one it was `called` by, and `extra`; away from loopback any, unless there are `extra`. Raises: ConfigError."""
    for name in extra:
        if name != ANY and (not name or name != name.strip() or "/" in name or name_of(name) != name.lower()):
            raise ConfigError(f"--allow-host: got '{name}', expected a host name without a port, or *")
    names = tuple(name.lower() for name in extra)
    if ANY in names:
        return ()
    return (LOCAL, name_of(called), *names) if names or _is_loopback(bound.getsockname()[0]) else ()


def name_of(host: str) -> str:
    """A Host header without its port: `[::1]:80` is `[::1]`. In small letters, as names do not tell them apart."""
    host = host.strip().lower()
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return name.removesuffix(".")


class KnownHosts:
    """Plain ASGI, within the gate, which words its refusals. Clients that send no Host are no browsers."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app, self._names = app, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for host in Headers(scope=scope).getlist("host"):
                if not self._knows(name_of(host)):
                    raise ApiError(403, "this server does not answer to the name in the header 'Host': ask for "
                                        "localhost, or start it with --allow-host NAME", code="host_not_allowed")
        await self.app(scope, receive, send)

    def _knows(self, name: str) -> bool:
        return name in self._names or (LOCAL in self._names and _is_loopback(name.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
