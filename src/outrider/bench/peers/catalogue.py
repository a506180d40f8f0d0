"""The peers there are, where their environments are looked for, and the command that makes a missing one.

    --peer NAME=PATH                       first
    $OUTRIDER_PEER_LLAMA_CPP, …            then
    CACHE/peers/NAME                       then: where `install` puts it
    the environment that Outrider runs in  last, if it has the package
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from outrider.errors import ConfigError, suggestion
from outrider.io.cache_home import cache_home

DRIVERS = Path(__file__).parent / "drivers"
_BIN = "Scripts" if sys.platform == "win32" else "bin"


# The Python package's source holds all of llama.cpp.
_BUILD = (
    "pip download --no-deps --no-binary llama-cpp-python llama-cpp-python && tar xf llama_cpp_python-*.tar.gz && "
    "cmake -S llama_cpp_python-*/vendor/llama.cpp -B llama-build -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF && "
    "cmake --build llama-build --target llama-server, then --peer llama-server=llama-build/bin/llama-server"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerKind:
    """`module` is what its environment must hold, "" where the peer is a program; `modes` are those without a draft
    model, `drafts` whether it takes one; `packages` and `settings` are what `pip install` gets.
    """

    name: str
    driver: str
    module: str
    modes: tuple[str, ...]
    drafts: bool
    packages: tuple[str, ...] = ()
    settings: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that may say where it is."""
        return "OUTRIDER_PEER_" + self.name.upper().replace(".", "_").replace("-", "_")

    @property
    def home(self) -> Path:
        return cache_home() / "peers" / self.name

    def install(self) -> str:
        """What makes it available, in one line for a shell."""
        if not self.module:
            return _BUILD
        home = shlex.quote(str(self.home))
        setting = f"{self.settings} " if self.settings else ""
        return f"python3 -m venv {home} && {setting}{home}/{_BIN}/pip install {' '.join(self.packages)}"


PEERS: Mapping[str, PeerKind] = {kind.name: kind for kind in (
    PeerKind(name="llama.cpp", driver="llama_cpp.py", module="llama_cpp", modes=("plain", "lookup", "lookup-2"),
             drafts=False, packages=("--no-binary llama-cpp-python", "llama-cpp-python"),
             settings='CMAKE_ARGS="-DGGML_NATIVE=ON"'),
    PeerKind(name="llama-server", driver="llama_server.py", module="",
             modes=("plain", "ngram-mod", "ngram-simple"), drafts=True),
    PeerKind(name="openvino", driver="openvino.py", module="openvino_genai", modes=("plain", "lookup"), drafts=True,
             packages=("openvino-genai",)),
    PeerKind(name="transformers", driver="transformers.py", module="transformers", modes=("plain", "lookup"),
             drafts=True, packages=("torch", "transformers", "accelerate", "gguf")),
)}


@dataclass(frozen=True, slots=True)
class PlacedPeer:
    """A peer that can be started: `command` runs its driver, with `variables` added to the environment."""

    kind: PeerKind
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


    def environment(self) -> dict[str, str]:
        return child_environment() | dict(self.variables)


@dataclass(frozen=True, slots=True)
class MissingPeer:
    """One that cannot be run, why, and the command that would help, "" where none is known."""

    peer: str
    reason: str
    install: str


def child_environment() -> dict[str, str]:
    """Ours, less what would make another Python import from our environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def find_peer(word: str) -> PlacedPeer | MissingPeer:
    """NAME or NAME=PATH. Raises: ConfigError for a name that is no peer's or a path that leads nowhere."""
    name, _, given = word.partition("=")
    if name not in PEERS:
        raise ConfigError(f"--peer: unknown peer '{name}'{suggestion(name, PEERS)}; known: {', '.join(PEERS)}")
    kind = PEERS[name]
    path = given or os.environ.get(kind.variable, "")
    if path and not Path(path).expanduser().is_file():
        source = "--peer" if given else f"${kind.variable}"
        expected = "a Python interpreter" if kind.module else "a llama-server binary"
        raise ConfigError(f"{source}: no file at '{path}', expected {expected}")
    return _interpreted(kind, path) if kind.module else _program(kind, path)


def _interpreted(kind: PeerKind, path: str) -> PlacedPeer | MissingPeer:
    python = Path(path).expanduser() if path else kind.home / _BIN / "python"
    if not path and not python.is_file():
        if importlib.util.find_spec(kind.module) is None:
            return MissingPeer(kind.name, f"no environment for it at {kind.home}", kind.install())
        python = Path(sys.executable)
    check = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({kind.module!r}) is None)"
    if subprocess.run([python, "-c", check], capture_output=True, env=child_environment()).returncode:
        packages = " ".join(kind.packages)
        setting = f"{kind.settings} " if kind.settings else ""
        return MissingPeer(kind.name, f"{python} has no package '{kind.module}'",
                           f"{setting}{shlex.quote(str(python))} -m pip install {packages}")
    return PlacedPeer(kind, (str(python), str(DRIVERS / "serve.py"), str(DRIVERS / kind.driver)))


def _program(kind: PeerKind, path: str) -> PlacedPeer | MissingPeer:
    binary = str(Path(path).expanduser()) if path else shutil.which(kind.name)
    if binary is None:
        return MissingPeer(kind.name, "it is not on the PATH", kind.install())
    command = (sys.executable, str(DRIVERS / "serve.py"), str(DRIVERS / kind.driver))
    return PlacedPeer(kind, command, {"OUTRIDER_LLAMA_SERVER": binary})
