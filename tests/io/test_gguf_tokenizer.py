"""Tokenizers from GGUF metadata, on tiny vocabularies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_vocabularies
from outrider.errors import CheckpointError, RequestError
from outrider.io.gguf_tokenizer import from_gguf
from outrider.io.infill_tokens import InfillTokens
from outrider.io.sentencepiece_merges import merges_by_score
from outrider.io.tokenizer import Tokenizer, same_vocabulary
from tiny_vocabularies import PREFIX

BYTES = from_gguf(tiny_vocabularies.byte_level(), where="tiny")
PIECES = from_gguf(tiny_vocabularies.sentencepiece(), where="tiny")
PREFIXED = from_gguf(tiny_vocabularies.sentencepiece(space_prefix=True), where="tiny")

fragments = st.sampled_from(["<|im_end|>", "<tool>", "hello", " ", "\r\n", "👩\u200d💻"])
unicode_text = st.lists(st.text() | fragments).map("".join)


def spelt(tokenizer: Tokenizer, text: str, *, special: bool = False) -> list[str | None]:
    return [tokenizer.piece(token) for token in tokenizer.encode(text, special=special)]


@given(unicode_text, st.booleans())
def test_byte_level_text_comes_back(text: str, special: bool) -> None:
    assert BYTES.decode(BYTES.encode(text, special=special), skip_special=False) == text


@given(unicode_text, st.sampled_from([PIECES, PREFIXED]))
def test_sentencepiece_text_comes_back(text: str, tokenizer: Tokenizer) -> None:
    expected = text.replace("\u2581", " ")
    assert tokenizer.decode(tokenizer.encode(text, special=False), skip_special=False) == expected


@given(unicode_text, st.sampled_from([BYTES, PIECES]))
def test_untrusted_text_holds_no_control_token(text: str, tokenizer: Tokenizer) -> None:
    assert not tokenizer.special_ids & set(tokenizer.encode(text, special=False))


def test_merges_apply_in_order_and_stay_inside_words() -> None:
    assert spelt(BYTES, "hello wow") == ["hello", "Ġw", "o", "w"]
    assert spelt(BYTES, "é") == ["Ã©"]


def test_sentencepiece_joins_the_best_score_first() -> None:
    assert spelt(PIECES, "hello w") == ["hello", "\u2581w"]
    assert spelt(PIECES, "llo") == ["ll", "o"]  # "ll" scores above "lo"
    assert spelt(PIECES, "x  é中") == ["<0x78>", "\u2581\u2581", "é", "中"]


def test_merges_are_ordered_as_published_files_order_them() -> None:
    pieces = ["a", "b", "ab", "aba", "ba", None]
    merges = merges_by_score(pieces, np.asarray([-9.0, -9.0, -2.0, -1.0, -2.0, 0.0]))
    assert merges == [("ab", "a"), ("a", "ba"), ("a", "b"), ("b", "a")]


def test_a_space_prefix_is_added_and_taken_away() -> None:
    assert spelt(PREFIXED, "hello") == ["\u2581", "hello"]
    assert spelt(PIECES, "hello") == ["hello"]
    ids = PREFIXED.encode("hello", special=False)
    assert (PREFIXED.decode(ids), PREFIXED.decode(ids, continues=True)) == ("hello", " hello")


def test_special_tokens_are_parsed_only_on_request() -> None:
    text = "<|im_start|>h<tool><|im_end|>"
    assert spelt(BYTES, text, special=True) == ["<|im_start|>", "h", "<tool>", "<|im_end|>"]
    literal = BYTES.encode(text, special=False)
    assert BYTES.token_id("<tool>") in literal and BYTES.decode(literal) == text
    parsed = BYTES.encode(text, special=True)
    assert (BYTES.decode(parsed), BYTES.decode(parsed, skip_special=False)) == ("h<tool>", text)


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("gpt-2", "a123", ["a", "12", "3"]),
        ("smollm", "a123", ["a", "1", "2", "3"]),
        ("qwen2", "a123", ["a", "1", "2", "3"]),
        ("qwen2", "e\u0301", ["Ã©"]),
        ("gpt-2", "e\u0301", ["e", "Ì", "ģ"]),
        ("llama-bpe", "a1234", ["a", "12", "3", "4"]),
        ("tekken", "hello12", ["hello", "1", "2"]),
    ],
)
def test_word_rules(pre: str, text: str, words: list[str]) -> None:
    tokenizer = from_gguf(tiny_vocabularies.byte_level(pre), where="tiny")
    assert spelt(tokenizer, text) == words


def test_llama3_takes_a_word_that_is_a_token_without_merging() -> None:
    metadata = tiny_vocabularies.byte_level("llama-bpe")
    metadata[PREFIX + "merges"] = ["1 2"]
    assert spelt(from_gguf(metadata, where="tiny"), "hello") == ["hello"]


def test_roles_come_from_the_file_and_from_names() -> None:
    marks = [BYTES.token_id(f"<|fim_{part}|>") or -1 for part in ("prefix", "suffix", "middle")]
    assert BYTES.infill == InfillTokens(*marks, ends=frozenset(marks))
    assert BYTES.eos_ids == {BYTES.token_id("<|im_end|>")}
    assert (PIECES.bos_id, PIECES.eos_ids, PIECES.infill) == (1, {2}, None)
    metadata = tiny_vocabularies.sentencepiece()
    stated = dict(
        zip(["fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id", "eot_token_id"], (5, 6, 7, 8), strict=True)
    )
    metadata |= {PREFIX + key: token for key, token in stated.items()}
    tokenizer = from_gguf(metadata, where="tiny")
    assert (tokenizer.infill, tokenizer.eos_ids) == (InfillTokens(5, 6, 7, ends=frozenset({5, 6, 7})), {2, 8})
    metadata |= {PREFIX + "fim_sep_token_id": 9, PREFIX + "prefix_token_id": 10}
    assert from_gguf(metadata, where="tiny").infill == InfillTokens(5, 6, 7, None, 9, frozenset({5, 6, 7, 9}))


def test_older_files_name_infill_tokens_otherwise() -> None:
    metadata = tiny_vocabularies.sentencepiece()
    metadata |= {PREFIX + f"{role}_token_id": token for role, token in (("prefix", 5), ("suffix", 6))}
    assert from_gguf(metadata, where="tiny").infill is None
    metadata[PREFIX + "middle_token_id"] = 7
    assert from_gguf(metadata, where="tiny").infill == InfillTokens(5, 6, 7, ends=frozenset({5, 6, 7}))


def test_the_beginning_token_is_put_once_and_only_where_wanted() -> None:
    assert PIECES.with_bos([7, 8]) == PIECES.with_bos([1, 7, 8]) == [1, 7, 8]
    assert PIECES.with_bos([]) == [1]
    assert BYTES.with_bos([7, 8]) == [7, 8]


def test_token_bytes_of_padding_and_of_ids_above_the_vocabulary() -> None:
    assert BYTES.token_bytes(BYTES.vocab_size - 1) == BYTES.token_bytes(BYTES.vocab_size + 99) == b""
    assert PIECES.token_bytes(3 + 0xE4) == b"\xe4"
    with pytest.raises(IndexError, match="negative"):
        BYTES.token_bytes(-1)


def test_of_two_ids_with_one_piece_both_stand_for_it() -> None:
    metadata = tiny_vocabularies.byte_level()
    tokens = [*_list(metadata, "tokens"), "hello"]
    metadata |= {PREFIX + "tokens": tokens, PREFIX + "token_type": [*_list(metadata, "token_type"), 1]}
    tokenizer = from_gguf(metadata, where="tiny")
    assert [tokenizer.token_bytes(token) for token, piece in enumerate(tokens) if piece == "hello"] == [b"hello"] * 2


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(RequestError, match=r"lone surrogate \(U\+D83D\) at character 2"):
        BYTES.encode("ab\ud83d", special=False)


def test_padding_and_added_tokens_of_one_side_do_not_make_vocabularies_differ() -> None:
    padded = tiny_vocabularies.byte_level()
    padded[PREFIX + "tokens"] = [*_list(padded, "tokens"), "[PAD2]"]
    padded[PREFIX + "token_type"] = [*_list(padded, "token_type"), 5]
    wider = from_gguf(padded, where="tiny")
    assert wider.fingerprint() == BYTES.fingerprint() and same_vocabulary(wider, BYTES) is None
    named = tiny_vocabularies.byte_level()
    named[PREFIX + "token_type"] = [*_list(named, "token_type")[:-1], 4]
    later = from_gguf(named, where="tiny")
    assert later.fingerprint() != BYTES.fingerprint() and same_vocabulary(BYTES, later) is None


def test_the_first_difference_is_named() -> None:
    assert same_vocabulary(PIECES, PREFIXED) is None
    assert same_vocabulary(BYTES, PIECES) == "token 0 is '!' in one and '<unk>' in the other"
    longer = tiny_vocabularies.byte_level()
    longer[PREFIX + "token_type"] = [*_list(longer, "token_type")[:-1], 1]
    size = BYTES.vocab_size - 1
    found = same_vocabulary(BYTES, from_gguf(longer, where="tiny"))
    assert found == f"token {size} is absent in one and '[PAD]' in the other"


def _list(metadata: dict[str, object], name: str) -> list[object]:
    value = metadata[PREFIX + name]
    assert isinstance(value, list)
    return value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", "bert", r"'bert' is not supported; supported: gpt2 .*, llama"),
        ("pre", "viking", r"'viking' is not supported; supported: default, .*qwen2"),
        ("model", None, "'tokenizer.ggml.model' is missing"),
        ("tokens", None, "'tokenizer.ggml.tokens' must be a list of strings"),
        ("merges", None, "'tokenizer.ggml.merges' must be a list of strings"),
        ("merges", ["h zz"], "the vocabulary contradicts itself"),
        ("merges", ["nospace"], "the vocabulary contradicts itself"),
        ("token_type", [1, 2], "one number for each of the"),
        ("bos_token_id", 100_000, "'tokenizer.ggml.bos_token_id' must be a number from 0 to"),
        ("add_bos_token", 1, "must be true or false"),
    ],
)
def test_bad_metadata_is_one_line_that_names_the_file(key: str, value: object, message: str) -> None:
    metadata = tiny_vocabularies.byte_level() | {PREFIX + key: value}
    with pytest.raises(CheckpointError, match=message) as error:
        from_gguf(metadata, where="model.gguf")
    assert str(error.value).startswith("model.gguf") and "\n" not in str(error.value)
