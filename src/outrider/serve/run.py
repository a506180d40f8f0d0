"""Running the application: a socket, uvicorn around it, signals."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from fastapi import FastAPI

from outrider.errors import ConfigError
from outrider.serve.service import Service

_GRACE_S = 5  # for clients to read why their answers ended


class _Server(uvicorn.Server):
    """Tells the service when the end begins."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.begin_stop()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes any free one. Raises: ConfigError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
    return found


def address_of(found: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = found.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, service: Service, found: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C; then no more is accepted, and what runs is finished within `drain_s`."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=75, server_header=False,
                            timeout_graceful_shutdown=round(service.settings.drain_s) + _GRACE_S)
    server = _Server(config, service)
    # uvicorn raises the signal that stopped it once more at its end; having ended well is no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        asyncio.run(server.serve(sockets=[found]))
    finally:
        signal.signal(signal.SIGTERM, before)
