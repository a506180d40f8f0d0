"""GGUF metadata of two tiny vocabularies, one of each family, with padding and tokens of every type."""

from __future__ import annotations

from outrider.io.gguf_tokenizer import TokenType
from outrider.io.pieces import BYTE_OF, SPACE

PREFIX = "tokenizer.ggml."


def byte_level(pre: str = "gpt-2") -> dict[str, object]:
    """Every byte, a few merges; `<|im_start|>`, `<|im_end|>` and the three of fill-in-the-middle; one padding row."""
    merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "1 2", "Ã ©", "ð Ł"]
    learnt = [merge.replace(" ", "") for merge in merges]
    control = ["<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    tokens = [*BYTE_OF, *learnt, *control, "<tool>", "[PAD]"]
    types = [TokenType.NORMAL] * (len(BYTE_OF) + len(learnt)) + [TokenType.CONTROL] * len(control)
    return {
        PREFIX + "model": "gpt2",
        PREFIX + "pre": pre,
        PREFIX + "tokens": tokens,
        PREFIX + "token_type": [*types, TokenType.USER_DEFINED, TokenType.UNUSED],
        PREFIX + "merges": merges,
        PREFIX + "bos_token_id": tokens.index("<|im_start|>"),
        PREFIX + "eos_token_id": tokens.index("<|im_end|>"),
        PREFIX + "add_bos_token": False,
    }


def sentencepiece(*, space_prefix: bool = False) -> dict[str, object]:
    """`<unk>`, `<bos>`, `<eos>`, every byte, some letters and pieces with scores; two spaces are one token."""
    letters = [SPACE, *"helowrdé中", "\n"]
    learnt = {"he": -1.0, "ll": -2.0, "hell": -3.0, "lo": -2.5, "hello": -4.0, SPACE + "w": -5.0}
    tokens = ["<unk>", "<bos>", "<eos>", *(f"<0x{byte:02X}>" for byte in range(256)), "  ", *letters, *learnt]
    control = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    normal = [TokenType.NORMAL] * (len(letters) + len(learnt))
    scores = [0.0] * (3 + 256) + [-1000.0] + [-100.0 - rank for rank in range(len(letters))]
    return {
        PREFIX + "model": "llama",
        PREFIX + "tokens": tokens,
        PREFIX + "scores": [*scores, *learnt.values()],
        PREFIX + "token_type": [*control, *[TokenType.BYTE] * 256, TokenType.USER_DEFINED, *normal],
        PREFIX + "unknown_token_id": 0,
        PREFIX + "bos_token_id": 1,
        PREFIX + "eos_token_id": 2,
        PREFIX + "add_space_prefix": space_prefix,
    }
