"""The tokenizer that belongs to a model file or directory."""

from __future__ import annotations

from pathlib import Path

from outrider.io.directory_tokenizer import from_directory
from outrider.io.gguf_header import read_header
from outrider.io.gguf_tokenizer import HeaderMetadata, from_gguf
from outrider.io.heap import give_back
from outrider.io.tokenizer import Tokenizer


def open_tokenizer(path: Path) -> Tokenizer:
    """From `tokenizer.json` in a directory, or from a GGUF file's own metadata. Raises: CheckpointError."""
    tokenizer = from_directory(path) if path.is_dir() else from_gguf(HeaderMetadata(read_header(path)), where=str(path))
    give_back()
    return tokenizer
