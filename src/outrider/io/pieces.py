"""How the two families of vocabularies spell bytes as text.

    byte-level (GPT-2)   every byte is one printable character: a space is `Ġ`, a newline `Ċ`
    SentencePiece        text as it is, a space is U+2581, bytes outside the vocabulary are `<0x0A>`

Source: byte-level alphabet, Radford et al. 2019 (GPT-2), §2.2; byte fallback, SentencePiece's `--byte_fallback`.
"""

from __future__ import annotations

import re

SPACE = "\u2581"

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_LOOKS_SPECIAL = re.compile(r"<\|.*\|>|<\uff5c.*\uff5c>|<pad>|<mask>|<unused\d+>", re.DOTALL)


def _byte_alphabet() -> dict[str, int]:
    """Printable Latin-1 characters stand for themselves, the other bytes for the code points from 256 on."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    rest = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + index): byte for index, byte in enumerate(rest)}


BYTE_OF = _byte_alphabet()


def byte_level_bytes(piece: str) -> bytes:
    """A piece with any character outside the alphabet is an added token, written as it is."""
    try:
        return bytes([BYTE_OF[char] for char in piece])
    except KeyError:
        return piece.encode()


def sentencepiece_bytes(piece: str) -> bytes:
    if len(piece) == 6 and (byte := _BYTE_PIECE.fullmatch(piece)):
        return bytes([int(byte[1], 16)])
    return piece.replace(SPACE, " ").encode()


def looks_special(piece: str) -> bool:
    """Markup that files sometimes forget to flag: Qwen's fill-in-the-middle tokens, Gemma's unused ones."""
    return _LOOKS_SPECIAL.fullmatch(piece) is not None
