"""`Tokenizer`: text to token ids and back, whatever file the vocabulary came from.

`directory_tokenizer.from_directory` and `gguf_tokenizer.from_gguf` build one. Once built it never changes, so
threads may share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, zip_longest

import tokenizers

from outrider.errors import RequestError
from outrider.io.infill_tokens import infill_tokens

# Tokens that end a turn or a text. Files name only one of them; chat models are trained to emit several.
_END_PIECES = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """What each id stands for.

    `pieces` is by id, None for padding rows. `added` tokens are found in text before it is split into words;
    `special` ones among them are control tokens, which only trusted text may contain. `spell` turns a piece into its
    bytes. With `space_prefix`, encoding puts a space before the text and decoding removes it.
    """

    pieces: tuple[str | None, ...]
    added: frozenset[int]
    special: frozenset[int]
    spell: Callable[[str], bytes]
    space_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRoles:
    """What a model file says some tokens are for; `end_ids` and `infill` are completed from well-known names."""

    bos_id: int | None = None
    add_bos: bool = False
    eos_id: int | None = None
    end_ids: frozenset[int] = frozenset()  # others that end an answer
    infill: Mapping[str, int] = field(default_factory=dict)  # by role, as in `infill_tokens.ROLES`
    template: str | None = None  # source of the chat template


class Tokenizer:
    """A vocabulary and its rules.

    `vocab_size` counts ids with padding rows, `template` is the source of the chat template. `eos_id` is the one token
    that the file names as the end, `eos_ids` are all that end an answer.

    Two backends share one model: `_parsing` knows every added token, `_literal` reads the special ones as text.
    """

    def __init__(self, backend: tokenizers.Tokenizer, table: TokenTable, roles: TokenRoles) -> None:
        self._parsing = backend
        self._literal = _literal_view(backend, table.special)
        self._spell, self.vocab_size = table.spell, len(table.pieces)
        # The backend has all pieces already: as Python strings they would take tens of megabytes again.
        self._unlike = {token: piece for token, piece in enumerate(table.pieces) if backend.id_to_token(token) != piece}
        self.special_ids = table.special
        self.added_ids = table.added
        self.space_prefix = table.space_prefix
        self.bos_id = roles.bos_id
        self.eos_id = roles.eos_id
        self.add_bos = roles.add_bos and roles.bos_id is not None
        self.template = roles.template
        ends = (self.token_id(piece) for piece in _END_PIECES)
        named = {token for token in ends if token in table.special}
        self.eos_ids = roles.end_ids | named | ({roles.eos_id} if roles.eos_id is not None else set())
        self.infill = infill_tokens(roles.infill, self.token_id)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Ids of `text`, without a beginning-of-text token (see `with_bos`).

        `special=True` reads control tokens written in the text (a rendered chat template) as such; `special=False`
        keeps them ordinary text (what a user typed). Raises: RequestError for text that is not valid Unicode.
        """
        backend = self._parsing if special else self._literal
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the text holds a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}; "
                "expected valid Unicode, so decode its bytes as UTF-8 first"
            ) from error
        return list(backend.encode(text, add_special_tokens=False).ids)

    def with_bos(self, ids: Sequence[int]) -> list[int]:
        """`ids` behind the beginning-of-text token, where this model wants one and the template has not put it."""
        wanted = self.bos_id is not None and self.add_bos and (not ids or ids[0] != self.bos_id)
        return [self.bos_id, *ids] if wanted and self.bos_id is not None else list(ids)

    def decode(self, ids: Iterable[int], *, skip_special: bool = True, continues: bool = False) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD.

        `continues` says that other text precedes, so that a leading space is real and not SentencePiece's own.
        """
        skipped = self.special_ids if skip_special else frozenset()
        data = b"".join(self.token_bytes(token) for token in ids if token not in skipped)
        text = data.decode("utf-8", "replace")
        return text.removeprefix(" ") if self.space_prefix and not continues else text

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token adds to the text; none for padding rows and for ids above the vocabulary."""
        if token < 0:
            raise IndexError(f"token id {token} is negative")
        piece = self.piece(token)
        return b"" if piece is None else self._spell(piece)

    def piece(self, token: int) -> str | None:
        """The token as the vocabulary spells it; None for padding rows and for ids above the vocabulary."""
        if not 0 <= token < self.vocab_size:
            return None
        return self._unlike[token] if token in self._unlike else self._parsing.id_to_token(token)

    def token_id(self, piece: str) -> int | None:
        """The id of exactly this piece, as the vocabulary spells it."""
        return self._parsing.token_to_id(piece)

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for token in range(self.vocab_size):
            piece = self.piece(token)
            if piece is not None:
                data = self._spell(piece)
                digest.update(b"%d %d " % (token, len(data)) + data)
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """A hash of which bytes each id stands for; padding rows do not count."""
        return self._fingerprint


def same_vocabulary(first: Tokenizer, second: Tokenizer) -> str | None:
    """What the first id is on which two vocabularies differ, or None where they agree.

    Padding rows do not count, nor do added tokens that only one side has (a later release of a model often names a
    few of the padding rows of an earlier one).
    """
    if first.fingerprint() == second.fingerprint():
        return None
    for token, (left, right) in enumerate(zip_longest(_spelt(first), _spelt(second))):
        only_second = not left and token in second.added_ids
        only_first = not right and token in first.added_ids
        if left == right or (not left and not right) or only_second or only_first:
            continue
        return f"token {token} is {_shown(left)} in one and {_shown(right)} in the other"
    return None


def _spelt(tokenizer: Tokenizer) -> list[bytes]:
    return [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]


def _shown(data: bytes | None) -> str:
    return repr(data.decode("utf-8", "backslashreplace")) if data else "absent"


def _literal_view(backend: tokenizers.Tokenizer, special: frozenset[int]) -> tokenizers.Tokenizer:
    """A second view of the same model (not a copy of it) that reads special tokens as ordinary text."""
    view = tokenizers.Tokenizer(backend.model)
    if backend.normalizer is not None:
        view.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        view.pre_tokenizer = backend.pre_tokenizer
    # In the order of their ids, because those that the model does not contain are numbered as they come. Special ones
    # that it does contain (thousands, in some) need not be known here at all.
    known = {token for token in special if backend.model.id_to_token(token) is not None}
    added = sorted(item for item in backend.get_added_tokens_decoder().items() if item[0] not in known)
    for is_special, group in groupby(added, key=lambda item: item[0] in special):
        tokens = [token for _, token in group]
        view.add_special_tokens(tokens) if is_special else view.add_tokens(tokens)
    view.encode_special_tokens = True
    return view
