"""The names that a server answers to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from outrider.errors import ConfigError
from outrider.serve.hosts import hosts_of, name_of
from outrider.serve.run import listen
from outrider.serve.settings import Settings
from tiny_server import TinyServer, error_of, serving


@pytest.fixture(scope="module")
def local() -> Iterator[TinyServer]:
    with serving(Settings(hosts=("localhost", "box.example"))) as server:
        yield server


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1:80", "127.1.2.3", "[::1]",
                                  "[::1]:8000", "box.example:443"])
def test_its_own_names_are_answered(local: TinyServer, host: str) -> None:
    for path in ("/health", "/v1/models", "/"):
        assert local.get(path, host=host).status_code == 200
    assert local.post("/v1/completions", {"prompt": "a", "max_tokens": 1}, host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "xlocalhost",
                                  "127.0.0.1.evil.example", "[::2]", "10.0.0.1", "[127.0.0.1", "a:localhost"])
def test_no_others_are(local: TinyServer, host: str) -> None:
    for path in ("/health", "/v1/models", "/", "/nothing"):
        assert error_of(local.get(path, host=host), 403)["code"] == "host_not_allowed"
    error = error_of(local.post("/v1/completions", {"prompt": "a"}, host=host), 403)
    assert error["type"] == "permission_error" and "--allow-host" in error["message"]


def test_several_names_must_all_be_known(local: TinyServer) -> None:
    address = ("127.0.0.1", int(local.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert line.recv(15).split()[1] in (b"400", b"403")
    with socket.create_connection(address, timeout=30) as line:
        line.sendall(b"GET /health HTTP/1.0\r\n\r\n")  # no browser's
        assert line.recv(15).split()[1] == b"200"


def test_any_name_does_unless_told(server: TinyServer) -> None:
    assert server.get("/health", host="any.example").status_code == 200


@pytest.mark.parametrize(("address", "called", "extra", "names"), [
    ("127.0.0.1", "127.0.0.1", (), ("localhost", "127.0.0.1")),
    ("127.0.0.1", "My-Box", ("a.example",), ("localhost", "my-box", "a.example")),
    ("127.0.0.1", "localhost", ("*",), ()),
    ("0.0.0.0", "0.0.0.0", (), ()),
    ("0.0.0.0", "0.0.0.0", ("A.example",), ("localhost", "0.0.0.0", "a.example")),
])
def test_names_of_a_socket(address: str, called: str, extra: tuple[str, ...], names: tuple[str, ...]) -> None:
    with listen(address, 0) as bound:
        assert hosts_of(bound, called, extra) == names


@pytest.mark.parametrize("bad", ["", " a", "http://a", "a:80", "[::1"])
def test_names_have_no_ports(bad: str) -> None:
    with listen("127.0.0.1", 0) as bound, pytest.raises(ConfigError, match="--allow-host"):
        hosts_of(bound, "127.0.0.1", (bad,))


def test_ports_are_no_part_of_a_name() -> None:
    assert [name_of(host) for host in ("A:1", "[::1]:2", "a.:3", "")] == ["a", "[::1]", "a", ""]
