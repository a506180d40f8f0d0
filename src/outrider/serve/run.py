"""Running the application: a socket, uvicorn around it, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import uvicorn
from fastapi import FastAPI

from outrider.errors import ConfigError
from outrider.serve.settings import Settings

_log = logging.getLogger(__name__)


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


def serve(app: FastAPI, settings: Settings, found: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C; then no more is accepted, and what runs is finished within `drain_s`."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=75,
                            timeout_graceful_shutdown=max(1, round(settings.drain_s)), server_header=False)
    server = uvicorn.Server(config)
    # uvicorn raises the signal that stopped it once more at its end; having ended well is no failure.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        asyncio.run(server.serve(sockets=[found]))
    finally:
        signal.signal(signal.SIGTERM, before)
