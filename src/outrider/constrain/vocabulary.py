"""A model's vocabulary as llguidance wants it: the bytes of every token, and which of them end a text.

Source: llguidance's `TokenizerWrapper`, the interface for tokenizers of one's own.
"""

from __future__ import annotations

from collections.abc import Collection

import llguidance

from outrider.io.tokenizer import Tokenizer


def vocabulary_of(tokenizer: Tokenizer, size: int, end_ids: Collection[int]) -> llguidance.LLTokenizer:
    """`size` is that of the target, whose logits may have rows for more ids than the tokenizer names.

    Control tokens are no text, so that no grammar allows them; added ones that are not (such as `<tool_call>`) stand
    for the text they are written as. Takes half a second for 150,000 tokens.
    """
    wrapper = llguidance.TokenizerWrapper(_Spelling(tokenizer, size, min(end_ids)))
    return llguidance.LLTokenizer(wrapper, n_vocab=size, eos_token=sorted(end_ids),
                                  slices=llguidance.LLTokenizer.json_slices())


class _Spelling:
    """The attributes and the call that llguidance asks for."""

    def __init__(self, tokenizer: Tokenizer, size: int, end_id: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id, self.bos_token_id = end_id, tokenizer.bos_id
        self.tokens = [tokenizer.token_bytes(token) for token in range(size)]
        self.special_token_ids = [token for token in sorted(tokenizer.special_ids) if token < size]

    def __call__(self, text: bytes | str) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode()  # it comes up to the last whole character
        return self._tokenizer.encode(text, special=False)
