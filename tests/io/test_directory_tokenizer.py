"""Tokenizers from a model directory equal those from GGUF metadata with the same rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

import tiny_vocabularies
from outrider.errors import CheckpointError
from outrider.io.directory_tokenizer import from_directory
from outrider.io.gguf_tokenizer import from_gguf
from outrider.io.infill_tokens import InfillTokens
from outrider.io.tokenizer import same_vocabulary
from tiny_vocabularies import PREFIX

Write = Callable[..., Path]
TEXT = "<|im_start|>hello 12 é\n<tool> 中<|im_end|>"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes tokenizer.json with these changes, and other files as JSON or text."""

    def inner(change: Callable[[tokenizers.Tokenizer], None] = lambda _: None, **files: object) -> Path:
        metadata = tiny_vocabularies.byte_level()
        tokens, merges = metadata[PREFIX + "tokens"], metadata[PREFIX + "merges"]
        assert isinstance(tokens, list) and isinstance(merges, list)
        vocab = {token: row for row, token in enumerate(tokens) if not token.startswith(("<|", "<t", "[P"))}
        backend = tokenizers.Tokenizer(models.BPE(vocab, [tuple(merge.split(" ")) for merge in merges]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([AddedToken("<|im_start|>", normalized=False), "<|im_end|>"])
        backend.add_tokens(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<tool>"])
        change(backend)
        backend.save(str(tmp_path / "tokenizer.json"))
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        return tmp_path

    return inner


def test_same_as_from_gguf(write: Write) -> None:
    ours, other = from_directory(write()), from_gguf(tiny_vocabularies.byte_level(), where="tiny")
    assert same_vocabulary(ours, other) is None and ours.fingerprint() == other.fingerprint()
    for special in (True, False):
        assert ours.encode(TEXT, special=special) == other.encode(TEXT, special=special)
    assert (ours.special_ids, ours.infill) == (other.special_ids, other.infill)
    assert isinstance(ours.infill, InfillTokens)


def test_roles_come_from_the_configuration_files(write: Write) -> None:
    config = {"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|im_end|>", "add_bos_token": True}
    path = write(
        tokenizer_config__json=config | {"chat_template": "T"}, generation_config__json={"eos_token_id": [5, 6]}
    )
    ours = from_directory(path)
    assert ours.bos_id == ours.token_id("<|im_start|>") and ours.add_bos and ours.template == "T"
    assert (ours.eos_id, ours.eos_ids) == (ours.token_id("<|im_end|>"), {ours.token_id("<|im_end|>"), 5, 6})


def test_the_post_processor_says_whether_a_beginning_token_is_wanted(write: Write) -> None:
    config = {"bos_token": "<|im_start|>"}
    assert not from_directory(write(tokenizer_config__json=config)).add_bos

    def begins(backend: tokenizers.Tokenizer) -> None:
        token = ("<|im_start|>", backend.token_to_id("<|im_start|>"))
        backend.post_processor = processors.TemplateProcessing("<|im_start|> $A", special_tokens=[token])

    ours = from_directory(write(begins, tokenizer_config__json=config))
    assert ours.add_bos and ours.with_bos([1]) == [ours.bos_id, 1]
    assert ours.encode("h", special=True) == [ours.token_id("h")]


def test_a_template_file_comes_first_and_the_default_one_of_several(write: Write) -> None:
    several = [{"name": "tool_use", "template": "A"}, {"name": "default", "template": "B"}]
    assert from_directory(write(tokenizer_config__json={"chat_template": several})).template == "B"
    assert from_directory(write(chat_template__jinja="C")).template == "C"


def test_saved_truncation_and_padding_are_ignored(write: Write) -> None:
    def cut(backend: tokenizers.Tokenizer) -> None:
        backend.enable_truncation(2)
        backend.enable_padding(length=4)

    assert len(from_directory(write(cut)).encode("wwwww", special=False)) == 5


def test_sentencepiece_directories_drop_their_leading_space(tmp_path: Path) -> None:
    vocab = {"<unk>": 0, "▁": 1, "a": 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    backend = tokenizers.Tokenizer(models.BPE(vocab, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.save(str(tmp_path / "tokenizer.json"))
    ours = from_directory(tmp_path)
    ids = ours.encode("a é", special=False)
    assert ids == [1, 2, 1, 3 + 0xC3, 3 + 0xA9]
    assert ours.decode(ids) == backend.decode(ids) == "a é"
    assert ours.decode(ids, continues=True) == " a é"


def test_what_cannot_be_read_is_one_line(write: Write, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no tokenizer\.json"):
        from_directory(tmp_path)

    def wordpiece(backend: tokenizers.Tokenizer) -> None:
        backend.decoder = decoders.WordPiece()

    with pytest.raises(CheckpointError, match="the decoder WordPiece is not supported"):
        from_directory(write(wordpiece))
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: must hold a JSON object"):
        from_directory(write(tokenizer_config__json="[]"))
    (tmp_path / "tokenizer.json").write_text('{"version":')
    with pytest.raises(CheckpointError, match="cannot be read"):
        from_directory(tmp_path)
