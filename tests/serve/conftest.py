"""One toy server for all tests that only ask it things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiny_server import TinyServer, serving


@pytest.fixture(scope="session")
def shared_server() -> Iterator[TinyServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared_server: TinyServer) -> Iterator[TinyServer]:
    """Idle and whole after every test."""
    yield shared_server
    shared_server.settle()
