"""Models that other programs have already downloaded, found in place: nothing is copied, nothing is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from outrider.io.cache_home import user_caches
from outrider.io.disk import files_below
from outrider.io.quant_tag import GGUF, tag_of

OLLAMA_HOST = "registry.ollama.ai"
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SPLIT_TAIL = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model in another program's cache; `reference` is what to type to use it."""

    store: str
    reference: str
    path: Path
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where other programs keep their models on this machine. A directory need not exist."""

    ollama: Path
    lm_studio: tuple[Path, ...]
    llama_cpp: Path
    hub: Path

    @classmethod
    def of_user(cls, environment: Mapping[str, str] = os.environ, user_home: Path | None = None) -> Stores:
        """The places that each program documents, its environment variables respected."""
        home = user_home or Path.home()
        dot_cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
        hub_home = Path(environment.get("HF_HOME") or dot_cache / "huggingface")
        llama_cpp = user_caches(environment, home)
        return cls(
            ollama=Path(environment.get("OLLAMA_MODELS") or home / ".ollama" / "models"),
            lm_studio=(home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"),
            llama_cpp=Path(environment.get("LLAMA_CACHE") or llama_cpp / "llama.cpp"),
            hub=Path(environment.get("HF_HUB_CACHE") or hub_home / "hub").expanduser(),
        )


def found_models(stores: Stores) -> list[FoundModel]:
    """Everything that can be used in place, store by store, each store sorted by reference."""
    found = [*_ollama(stores.ollama), *_hub(stores.hub)]
    for directory in stores.lm_studio:
        found += _gguf_files("LM Studio", directory)
    found += _gguf_files("llama.cpp", stores.llama_cpp)
    order = {"Ollama": 0, "LM Studio": 1, "llama.cpp": 2, "Hugging Face": 3}
    return sorted(found, key=lambda model: (order[model.store], model.reference))


def find_ollama(root: Path, name: str, tag: str) -> Path | None:
    """The blob of `NAME:TAG`; `NAME` may carry a namespace and a host (`user/model`, `hf.co/owner/repo`)."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in (*parts, tag)) or any("\\" in part for part in (*parts, tag)):
        return None
    if len(parts) < 3:
        parts = [OLLAMA_HOST, *(["library"] if len(parts) == 1 else []), *parts]
    return _ollama_blob(root, root.joinpath("manifests", *parts, tag))


def find_hub_snapshot(root: Path, repo: str) -> Path | None:
    """The snapshot directory of `owner/repo`: the one that `main` points to, else the newest."""
    directory = root / f"models--{repo.replace('/', '--')}"
    main = directory / "refs" / "main"
    if main.is_file():
        snapshot = directory / "snapshots" / main.read_text(encoding="utf-8").strip()
        if snapshot.is_dir():
            return snapshot
    snapshots = [path for path in (directory / "snapshots").glob("*") if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)


def has_safetensors(snapshot: Path) -> bool:
    """Whether a directory holds a whole safetensors model: configuration and every shard of the index."""
    if not (snapshot / "config.json").is_file():
        return False
    index = snapshot / "model.safetensors.index.json"
    if not index.is_file():
        return any(snapshot.glob("*.safetensors"))
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, OSError):
        return False
    return all((snapshot / shard).is_file() for shard in shards)


def gguf_names(directory: Path) -> list[str]:
    """The GGUF files below a directory, relative to it; files that a broken link leaves behind do not count."""
    return sorted(
        path.relative_to(directory).as_posix() for path in files_below(directory) if _is_gguf(path) and path.is_file()
    )


def _ollama(root: Path) -> Iterator[FoundModel]:
    manifests = root / "manifests"
    for manifest in files_below(manifests):
        blob = _ollama_blob(root, manifest)
        if blob is not None:
            *parts, tag = manifest.relative_to(manifests).parts
            name = "/".join(parts).removeprefix(f"{OLLAMA_HOST}/").removeprefix("library/")
            yield FoundModel("Ollama", f"ollama:{name}:{tag}", blob, blob.stat().st_size)


def _ollama_blob(root: Path, manifest: Path) -> Path | None:
    """The model layer's blob. A manifest that is not what we know of its format counts as absent."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [str(layer["digest"]) for layer in layers if layer["mediaType"] == _OLLAMA_MODEL]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if len(digests) != 1 or not _DIGEST.fullmatch(digests[0]):
        return None
    blob = root / "blobs" / digests[0].replace(":", "-")
    return blob if blob.is_file() else None


def _hub(root: Path) -> Iterator[FoundModel]:
    for directory in root.glob("models--*--*"):
        repo = directory.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = find_hub_snapshot(root, repo)
        if snapshot is None:
            continue
        if has_safetensors(snapshot):
            size = sum(path.stat().st_size for path in snapshot.glob("*.safetensors"))
            yield FoundModel("Hugging Face", repo, snapshot, size)
        for name in gguf_names(snapshot):
            if not _SPLIT_TAIL.search(name):
                reference = f"{repo}:{tag}" if (tag := tag_of(name)) else str(snapshot / name)
                yield FoundModel("Hugging Face", reference, snapshot / name, (snapshot / name).stat().st_size)


def _gguf_files(store: str, directory: Path) -> Iterator[FoundModel]:
    for name in gguf_names(directory):
        path = directory / name
        yield FoundModel(store, str(path), path, path.stat().st_size)


def _is_gguf(path: Path) -> bool:
    return path.suffix.lower() == GGUF and not path.name.lower().startswith("mmproj")
