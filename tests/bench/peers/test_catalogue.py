"""Where peers are looked for, and what is said of those that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers.fake_peers import empty_python, fake_python, fake_server
from outrider.bench.peers.catalogue import PEERS, MissingPeer, PlacedPeer, find_peer
from outrider.bench.peers.lineup import Wanted, look_up, modes_of
from outrider.errors import ConfigError, UnknownReferenceError


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTRIDER_HOME", str(tmp_path / "home"))
    for kind in PEERS.values():
        monkeypatch.delenv(kind.variable, raising=False)


def test_a_given_path_comes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = fake_python(tmp_path)
    monkeypatch.setenv("OUTRIDER_PEER_LLAMA_CPP", str(empty_python(tmp_path)))
    given = find_peer(f"llama.cpp={python}")
    assert isinstance(given, PlacedPeer)
    assert (given.command[0], Path(given.command[2]).name) == (str(python), "llama_cpp.py")
    assert all(Path(file).is_file() for file in given.command)
    monkeypatch.setenv("OUTRIDER_PEER_LLAMA_CPP", str(python))
    assert find_peer("llama.cpp") == given


def test_the_place_where_the_command_installs_is_looked_at(tmp_path: Path) -> None:
    kind = PEERS["llama.cpp"]
    (kind.home / "bin").mkdir(parents=True)
    (kind.home / "bin" / "python").symlink_to(fake_python(tmp_path))
    found = find_peer("llama.cpp")
    assert isinstance(found, PlacedPeer) and found.command[0] == str(kind.home / "bin" / "python")


def test_missing_peers_are_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    nowhere = find_peer("openvino")
    assert isinstance(nowhere, MissingPeer)
    assert nowhere.install == (f"python3 -m venv {tmp_path}/home/peers/openvino && "
                               f"{tmp_path}/home/peers/openvino/bin/pip install openvino-genai")
    assert '-m venv' in PEERS["llama.cpp"].install() and "GGML_NATIVE=ON" in PEERS["llama.cpp"].install()


def test_an_interpreter_without_the_package_is_told_what_to_install(tmp_path: Path) -> None:
    python = empty_python(tmp_path)
    found = find_peer(f"transformers={python}")
    assert found == MissingPeer("transformers", f"{python} has no package 'transformers'",
                                f"{python} -m pip install torch transformers accelerate gguf")


def test_a_server_is_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake_server(tmp_path)
    given = find_peer(f"llama-server={server}")
    assert isinstance(given, PlacedPeer) and given.variables == {"OUTRIDER_LLAMA_SERVER": str(server)}
    monkeypatch.setenv("PATH", "")
    assert isinstance(find_peer("llama-server"), MissingPeer)


@pytest.mark.parametrize(("word", "complaint"), [
    ("lama.cpp", "did you mean 'llama.cpp'"),
    ("llama.cpp=/nowhere/python", "no file at '/nowhere/python', expected a Python interpreter"),
    ("llama-server=/nowhere", "expected a llama-server binary"),
])
def test_mistakes_in_peers(word: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        find_peer(word)


def test_modes_are_what_a_peer_can_and_what_is_wanted(tmp_path: Path) -> None:
    llama, server = PEERS["llama.cpp"], PEERS["llama-server"]
    assert modes_of(llama, Wanted(peers=())) == ("plain", "lookup", "lookup-2")
    assert modes_of(llama, Wanted(peers=(), draft_model=tmp_path)) == ("plain", "lookup", "lookup-2")
    assert modes_of(server, Wanted(peers=(), draft_model=tmp_path)) == ("plain", "ngram-mod", "ngram-simple", "draft")
    assert modes_of(server, Wanted(peers=(), draft_model=tmp_path, modes=("draft", "lookup"))) == ("draft",)
    with pytest.raises(ConfigError, match=r"has none of lookup; it has plain, .*, and draft with --draft-model"):
        modes_of(server, Wanted(peers=(), modes=("lookup",)))


def test_mistakes_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no peer given"):
        look_up(Wanted(peers=()))
    with pytest.raises(ConfigError, match="expected NAME=PATH"):
        look_up(Wanted(peers=("llama.cpp",), models=("llama.cpp",)))
    with pytest.raises(UnknownReferenceError, match="--peer-model: no file or directory at 'gone'"):
        look_up(Wanted(peers=("llama.cpp",), models=("openvino=gone",)))
    with pytest.raises(UnknownReferenceError, match="--draft-model"):
        look_up(Wanted(peers=("llama.cpp",), draft_model=tmp_path / "gone.gguf"))
    found = look_up(Wanted(peers=(f"llama.cpp={fake_python(tmp_path)}",), models=(f"llama.cpp={tmp_path}",)))
    assert [entrant.model for entrant in found.present] == [str(tmp_path)] and not found.missing
