"""The tokenizer of a model directory: tokenizer.json and the files that say what its tokens are for."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers

from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.pieces import byte_level_bytes, looks_special, sentencepiece_bytes
from outrider.io.tokenizer import Tokenizer, TokenRoles, TokenTable

_FILE = "tokenizer.json"


def from_directory(path: Path) -> Tokenizer:
    """Reads tokenizer.json, tokenizer_config.json, generation_config.json, config.json and chat_template.jinja.

    Raises: CheckpointError where tokenizer.json is missing, damaged or of a kind we cannot undo byte by byte.
    """
    file = path / _FILE
    if not file.is_file():
        raise CheckpointError(f"{path}: there is no {_FILE}; fetch the model again, or convert its tokenizer")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the backend raises nothing narrower
        raise CheckpointError(f"{file}: cannot be read: {error}".replace("\n", " ")) from error
    backend.no_truncation()
    backend.no_padding()
    return Tokenizer(backend, _table(backend, file), _roles(backend, path))


def _table(backend: tokenizers.Tokenizer, file: Path) -> TokenTable:
    steps = _steps(backend.decoder)
    kinds = {step.get("type") for step in steps}
    if not kinds & {"ByteLevel", "ByteFallback", "Metaspace"}:
        found = ", ".join(sorted(str(kind) for kind in kinds)) or "none"
        raise CheckpointError(
            f"{file}: the decoder {found} is not supported; supported: ByteLevel, ByteFallback, Metaspace"
        )
    vocab = backend.get_vocab(with_added_tokens=True)
    pieces: list[str | None] = [None] * (max(vocab.values(), default=-1) + 1)
    for piece, token in vocab.items():
        pieces[token] = piece
    added = backend.get_added_tokens_decoder()
    return TokenTable(
        pieces=tuple(pieces),
        added=frozenset(added),
        special=frozenset(token for token, item in added.items() if item.special or looks_special(item.content)),
        spell=byte_level_bytes if "ByteLevel" in kinds else sentencepiece_bytes,
        space_prefix=any(_drops_space(step) for step in steps),
    )


def _steps(decoder: tokenizers.decoders.Decoder | None) -> list[dict[str, object]]:
    """A decoder's steps as plain data; its pickled state is its JSON."""
    if decoder is None:
        return []
    state = json.loads(decoder.__getstate__())
    inner = state.get("decoders")
    return [state] if inner is None else list(inner)


def _drops_space(step: dict[str, object]) -> bool:
    if step.get("type") == "Metaspace":
        return step.get("prepend_scheme") != "never"
    return step.get("type") == "Strip" and step.get("content") == " " and step.get("start") == 1


def _roles(backend: tokenizers.Tokenizer, path: Path) -> TokenRoles:
    config = _read(path / "tokenizer_config.json")
    model, generation = _read(path / "config.json"), _read(path / "generation_config.json")
    bos = _named(backend, config, "bos_token")
    eos = _named(backend, config, "eos_token")
    stated = generation.integers("eos_token_id") or model.integers("eos_token_id")
    # The file's own post-processor is what runs where the configuration does not say.
    adds_bos = bos is not None and bos in backend.encode("", add_special_tokens=True).ids[:1]
    return TokenRoles(
        bos_id=bos,
        add_bos=config.flag("add_bos_token", adds_bos),
        eos_id=stated[0] if eos is None and stated else eos,
        end_ids=frozenset(stated),
        template=_template(config, path),
    )


def _read(file: Path) -> Fields:
    """An absent file counts as an empty one."""
    if not file.is_file():
        return Fields(str(file), {})
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: must hold a JSON object, not {type(values).__name__}")
    return Fields(str(file), values)


def _named(backend: tokenizers.Tokenizer, config: Fields, key: str) -> int | None:
    """A token given by its text, or by an object whose `content` is its text."""
    value = config.values.get(key)
    text = value.get("content") if isinstance(value, dict) else value
    return backend.token_to_id(text) if isinstance(text, str) else None


def _template(config: Fields, path: Path) -> str | None:
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = config.values.get("chat_template")
    if isinstance(found, list):  # several by name; the one for plain chats is called default
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None
