"""The folder trees that other programs leave behind, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

from outrider.io.local_stores import Stores


def stores_below(home: Path) -> Stores:
    """The default places of a user whose home directory is `home`."""
    return Stores.of_user({}, home)


def add_ollama(stores: Stores, name: str, tag: str, data: bytes, digest: str = "sha256:" + "a" * 64) -> Path:
    """A model in Ollama's store; `name` is the path below `manifests`."""
    manifest = stores.ollama / "manifests" / name / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "b" * 64, "size": 1},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(data)},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    blob = stores.ollama / "blobs" / digest.replace(":", "-")
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    return blob


def add_hub(stores: Stores, repo: str, files: dict[str, bytes], commit: str = "c" * 40, main: bool = True) -> Path:
    """A snapshot in the hub library's cache: links to blobs, as it makes them."""
    directory = stores.hub / f"models--{repo.replace('/', '--')}"
    snapshot = directory / "snapshots" / commit
    for number, (name, data) in enumerate(files.items()):
        blob = directory / "blobs" / f"{commit}{number}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(blob)
    if main:
        (directory / "refs").mkdir(parents=True, exist_ok=True)
        (directory / "refs" / "main").write_text(commit)
    return snapshot


def add_file(path: Path, data: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
