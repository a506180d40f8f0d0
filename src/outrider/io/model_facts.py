"""What a model file says about itself, without loading it: the facts behind `outrider models show`.

Reads headers only, and tolerates what the loader would refuse: a model that cannot run can still be described.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from outrider.errors import CheckpointError
from outrider.io.directory_tokenizer import from_directory
from outrider.io.fields import Fields
from outrider.io.gguf_header import GgufHeader, read_header
from outrider.io.gguf_tokenizer import HeaderMetadata, from_gguf
from outrider.io.tokenizer import Tokenizer

_MAX_HEADER_BYTES = 100 << 20  # the limit of the safetensors format itself


@dataclass(frozen=True, slots=True)
class TypeShare:
    """How much of a model is stored in one tensor type."""

    type: str
    num_tensors: int
    num_values: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyFacts:
    """What the tokenizer knows. `trouble` says why it could not be read; the rest is empty then."""

    has_template: bool = False
    infill_tokens: tuple[str, ...] = ()
    fingerprint: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Sizes are 0 where the file does not state them."""

    path: Path
    format: str
    architecture: str
    num_bytes: int
    types: tuple[TypeShare, ...]
    context: int
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    vocab_size: int
    vocabulary: VocabularyFacts

    @property
    def num_parameters(self) -> int:
        return sum(share.num_values for share in self.types)


def read_facts(path: Path) -> ModelFacts:
    """Raises: CheckpointError where the file is no model, truncated or damaged."""
    return _directory_facts(path) if path.is_dir() else _gguf_facts(path)


def _gguf_facts(path: Path) -> ModelFacts:
    header = read_header(path)
    fields = header.fields
    arch = fields.text("general.architecture")
    heads = fields.integer(f"{arch}.attention.head_count", 0)
    tokens = header.arrays.get("tokenizer.ggml.tokens")
    return ModelFacts(
        path=path,
        format="GGUF",
        architecture=arch,
        num_bytes=path.stat().st_size,
        types=_gguf_types(header),
        context=fields.integer(f"{arch}.context_length", 0),
        num_layers=fields.integer(f"{arch}.block_count", 0),
        hidden_size=fields.integer(f"{arch}.embedding_length", 0),
        num_heads=heads,
        num_kv_heads=fields.integer(f"{arch}.attention.head_count_kv", heads),
        vocab_size=tokens.count if tokens else 0,
        vocabulary=_vocabulary(path),
    )


def _directory_facts(path: Path) -> ModelFacts:
    config = _config(path)
    text = config.section("text_config") if config.has("text_config") else config
    heads = text.integer("num_attention_heads", 0)
    files = sorted(path.glob("*.safetensors"))
    return ModelFacts(
        path=path,
        format="safetensors",
        architecture=config.text("model_type", "unknown"),
        num_bytes=sum(file.stat().st_size for file in files),
        types=_safetensors_types(files),
        context=text.integer("max_position_embeddings", 0),
        num_layers=text.integer("num_hidden_layers", 0),
        hidden_size=text.integer("hidden_size", 0),
        num_heads=heads,
        num_kv_heads=text.integer("num_key_value_heads", heads),
        vocab_size=text.integer("vocab_size", 0),
        vocabulary=_vocabulary(path),
    )


def _vocabulary(path: Path) -> VocabularyFacts:
    try:
        tokenizer = _tokenizer(path)
    except CheckpointError as error:
        return VocabularyFacts(trouble=str(error))
    infill = (tokenizer.piece(token) for token in tokenizer.infill.marks) if tokenizer.infill else ()
    return VocabularyFacts(
        has_template=tokenizer.template is not None,
        infill_tokens=tuple(piece for piece in infill if piece is not None),
        fingerprint=tokenizer.fingerprint(),
    )


def _tokenizer(path: Path) -> Tokenizer:
    if path.is_dir():
        return from_directory(path)
    return from_gguf(HeaderMetadata(read_header(path)), where=str(path))


def _gguf_types(header: GgufHeader) -> tuple[TypeShare, ...]:
    return _shares(
        TypeShare(tensor.type.name, 1, math.prod(tensor.shape), tensor.num_bytes) for tensor in header.tensors.values()
    )


def _safetensors_types(files: Iterable[Path]) -> tuple[TypeShare, ...]:
    single: list[TypeShare] = []
    for file in files:
        for name, value in _safetensors_header(file).items():
            if name != "__metadata__" and isinstance(value, dict):
                first, last = value["data_offsets"]
                single.append(TypeShare(str(value["dtype"]), 1, math.prod(value["shape"]), last - first))
    return _shares(single)


def _safetensors_header(file: Path) -> Mapping[str, object]:
    """The table of contents that a safetensors file begins with: its length in 8 bytes, then JSON."""
    with file.open("rb") as stream:
        num_bytes = int.from_bytes(stream.read(8), "little")
        text = stream.read(num_bytes) if num_bytes <= _MAX_HEADER_BYTES else b""
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise CheckpointError(f"{file}: not a safetensors file, or damaged; fetch it again")
    return table


def _config(path: Path) -> Fields:
    file = path / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: expected a JSON object")
    return Fields(str(file), values)


def _shares(single: Iterable[TypeShare]) -> tuple[TypeShare, ...]:
    """Shares of equal type added up, the largest first."""
    by_type: dict[str, TypeShare] = {}
    for share in single:
        before = by_type.get(share.type, TypeShare(share.type, 0, 0, 0))
        by_type[share.type] = TypeShare(
            share.type,
            before.num_tensors + share.num_tensors,
            before.num_values + share.num_values,
            before.num_bytes + share.num_bytes,
        )
    return tuple(sorted(by_type.values(), key=lambda share: -share.num_bytes))
