"""The tokenizer that a GGUF file carries in its metadata (`tokenizer.ggml.*`).

A GGUF names the rules of its tokenizer instead of holding them: `model` is the family, `pre` the way text is split into
words. We rebuild the rules of the original tokenizer.json. Where llama.cpp reads the same file differently:

    Qwen2             composes text first (NFC): `e` + U+0301 is the token of `é`; llama.cpp leaves them apart
    Gemma             U+2581 in the text is a space, as in the vocabulary; llama.cpp spells it out
    Gemma             `</s>` is the HTML tag it was trained as; llama.cpp takes it for an end-of-text token
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import AddedToken, models, normalizers

from outrider.errors import CheckpointError
from outrider.io.fields import Fields
from outrider.io.gguf_header import GgufHeader
from outrider.io.gguf_types import STRING
from outrider.io.pieces import SPACE, byte_level_bytes, looks_special, sentencepiece_bytes
from outrider.io.sentencepiece_merges import merges_by_score
from outrider.io.tokenizer import Tokenizer, TokenRoles, TokenTable
from outrider.io.word_rules import WORD_RULES, word_splitter

_PREFIX = "tokenizer.ggml."
_INFILL_KEYS = {  # by role; the newer name goes first
    "prefix": ("fim_pre_token_id", "prefix_token_id"),
    "suffix": ("fim_suf_token_id", "suffix_token_id"),
    "middle": ("fim_mid_token_id", "middle_token_id"),
    "pad": ("fim_pad_token_id",),
    "repo": ("fim_rep_token_id",),
    "file": ("fim_sep_token_id",),
}
_END_KEYS = ("eot_token_id", "eom_token_id")
_ROLE_KEYS = ("bos_token_id", "eos_token_id", "unknown_token_id", *_END_KEYS, *chain(*_INFILL_KEYS.values()))


class Metadata(Protocol):
    """The entries of a GGUF file: scalars as Python values, arrays as sequences; None where there is no such key."""

    def get(self, key: str) -> object | None: ...


class TokenType(IntEnum):
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class HeaderMetadata:
    """A read GGUF header as `Metadata`; arrays are decoded on demand."""

    header: GgufHeader

    def get(self, key: str) -> object | None:
        array = self.header.arrays.get(key)
        if array is None:
            return self.header.fields.values.get(key)
        return array.texts() if array.item_type == STRING else array.numbers()


def from_gguf(metadata: Metadata, *, where: str) -> Tokenizer:
    """`where` names the file in errors.

    Raises: CheckpointError for unsupported tokenizers and for missing or contradictory entries.
    """
    entries = _Entries(where, metadata)
    model = entries.scalars.text(_PREFIX + "model")
    if model == "gpt2":
        return _byte_level(entries)
    if model == "llama":
        return _sentencepiece(entries)
    raise entries.scalars.unsupported(_PREFIX + "model", model, "gpt2 (byte-level BPE), llama (SentencePiece)")


class _Entries:
    """The entries that both families share, checked."""

    def __init__(self, where: str, metadata: Metadata) -> None:
        names = ("model", "pre", "add_bos_token", "add_space_prefix", *_ROLE_KEYS)
        keys = [*(_PREFIX + name for name in names), "tokenizer.chat_template"]
        self.where, self._metadata = where, metadata
        self.scalars = Fields(where, {key: metadata.get(key) for key in keys})
        self.tokens = self.texts("tokens")
        self.types = self.numbers("token_type", TokenType.NORMAL).astype(np.int64)

    def texts(self, name: str) -> Sequence[str]:
        value = self._metadata.get(_PREFIX + name)
        if not isinstance(value, list | tuple) or not value or not isinstance(value[0], str):
            raise CheckpointError(
                f"{self.where}: '{_PREFIX}{name}' must be a list of strings; fetch another conversion"
            )
        return value

    def numbers(self, name: str, default: float) -> npt.NDArray[np.generic]:
        """One number a token."""
        value = self._metadata.get(_PREFIX + name)
        found = np.asarray([default] * len(self.tokens) if value is None else value)
        if found.shape != (len(self.tokens),) or found.dtype.kind not in "iuf":
            raise CheckpointError(
                f"{self.where}: '{_PREFIX}{name}' must have one number for each of the {len(self.tokens)} tokens; "
                "fetch another conversion"
            )
        return found

    def token(self, name: str) -> int | None:
        key = _PREFIX + name
        return self.scalars.integer(key, high=len(self.tokens) - 1) if self.scalars.has(key) else None

    def flag(self, name: str, default: bool) -> bool:
        return self.scalars.flag(_PREFIX + name, default)


def _roles(entries: _Entries, *, add_bos: bool) -> TokenRoles:
    template = entries.scalars.text("tokenizer.chat_template", "")
    return TokenRoles(
        bos_id=entries.token("bos_token_id"),
        add_bos=entries.flag("add_bos_token", add_bos),
        eos_id=entries.token("eos_token_id"),
        end_ids=frozenset(token for name in _END_KEYS if (token := entries.token(name)) is not None),
        infill=_infill(entries),
        template=template or None,
    )


def _infill(entries: _Entries) -> dict[str, int]:
    """The marks that the file names, by role."""
    found: dict[str, int] = {}
    for role, names in _INFILL_KEYS.items():
        for token in map(entries.token, names):
            if token is not None:
                found.setdefault(role, token)
    return found


def _byte_level(entries: _Entries) -> Tokenizer:
    name = entries.scalars.text(_PREFIX + "pre", "default")
    rule = WORD_RULES.get(name)
    if rule is None:
        raise entries.scalars.unsupported(_PREFIX + "pre", name, ", ".join(WORD_RULES))
    table = _table(entries, tuple(entries.tokens), byte_level_bytes)
    merges = [_pair(merge) for merge in entries.texts("merges")]
    backend = _backend(entries, table, merges, whole_words=rule.whole_words)
    if rule.compose:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = word_splitter(rule)
    return Tokenizer(backend, table, _roles(entries, add_bos=rule.add_bos))


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _sentencepiece(entries: _Entries) -> Tokenizer:
    space_prefix = entries.flag("add_space_prefix", True)
    # Converters write the runs of spaces that are tokens of their own as spaces; the original vocabulary escapes them.
    tokens = tuple(piece.replace(" ", SPACE) for piece in entries.tokens)
    table = _table(entries, tokens, sentencepiece_bytes, space_prefix=space_prefix)
    scores = np.where(entries.types == TokenType.NORMAL, entries.numbers("scores", 0.0), 0.0)
    backend = _backend(entries, table, merges_by_score(table.pieces, scores), byte_fallback=True)
    escape = normalizers.Replace(" ", SPACE)
    prepend = normalizers.Sequence([normalizers.Prepend(SPACE), escape])
    backend.normalizer = prepend if space_prefix else escape
    return Tokenizer(backend, table, _roles(entries, add_bos=True))


def _table(
    entries: _Entries, tokens: tuple[str, ...], spell: Callable[[str], bytes], *, space_prefix: bool = False
) -> TokenTable:
    types = entries.types.tolist()
    control = {token for token, kind in enumerate(types) if kind in (TokenType.CONTROL, TokenType.UNKNOWN)}
    named = {token for token, kind in enumerate(types) if kind == TokenType.USER_DEFINED}
    pieces = [None if kind == TokenType.UNUSED else tokens[token] for token, kind in enumerate(types)]
    return TokenTable(
        pieces=tuple(pieces),
        added=frozenset(control | named),
        special=frozenset(control | {token for token in named if looks_special(tokens[token])}),
        spell=spell,
        space_prefix=space_prefix,
    )


def _backend(
    entries: _Entries,
    table: TokenTable,
    merges: list[tuple[str, str]],
    *,
    whole_words: bool = False,
    byte_fallback: bool = False,
) -> tokenizers.Tokenizer:
    vocab = {piece: token for token, piece in enumerate(table.pieces) if piece is not None}
    unknown = entries.token("unknown_token_id") if byte_fallback else None
    try:
        model = models.BPE(
            vocab,
            merges,
            unk_token=None if unknown is None else table.pieces[unknown],
            fuse_unk=byte_fallback,
            byte_fallback=byte_fallback,
            ignore_merges=whole_words,
        )
    except Exception as error:  # the backend raises nothing narrower
        raise CheckpointError(f"{entries.where}: the vocabulary contradicts itself: {error}") from error
    backend = tokenizers.Tokenizer(model)
    added = [(token, table.pieces[token] or "") for token in sorted(table.added)]
    special = [AddedToken(piece, special=True, normalized=False) for token, piece in added if token in table.special]
    named = [AddedToken(piece, normalized=False) for token, piece in added if token not in table.special]
    backend.add_special_tokens(special)
    backend.add_tokens(named)
    return backend
