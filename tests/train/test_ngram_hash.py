from __future__ import annotations

from pathlib import Path

import pytest

import tiny_vocabularies
from outrider.core.tree import Budget
from outrider.drafters.ngram_hash import NgramHashDrafter
from outrider.errors import CheckpointError, ConfigError, VocabularyError
from outrider.io.gguf_tokenizer import from_gguf
from outrider.train.ngram_hash import train
from stub_target import StubTarget, after

TOKENIZER = from_gguf(tiny_vocabularies.byte_level(), where="tiny")
TEXT = "def resume(self, token_n): return the place where a copy goes on"
CONFIG = NgramHashDrafter.Config(entries=4096)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "code.py").write_text(TEXT)
    (root / "picture").write_bytes(b"\0\1\2")
    return root


def test_a_learnt_repository_is_drafted_from(repository: Path, tmp_path: Path) -> None:
    learnt = train(TOKENIZER, repository, tmp_path / "repo.pool", config=CONFIG)
    tokens = TOKENIZER.encode(TEXT, special=False)
    assert (learnt.files, learnt.tokens, learnt.skipped) == (1, len(tokens), {"binary": 1})
    config = NgramHashDrafter.Config(entries=4096, pool=str(tmp_path / "repo.pool"), frozen=True)
    target = StubTarget(vocab_size=TOKENIZER.vocab_size, fingerprint=TOKENIZER.fingerprint())
    drafter = NgramHashDrafter(config, target)
    assert list(drafter.draft(after(drafter, tokens[:24]), Budget(5, 5)).token_N) == tokens[24:29]
    with pytest.raises(VocabularyError, match="another vocabulary"):
        NgramHashDrafter(config, StubTarget())


def test_the_same_repository_gives_the_same_file(repository: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(TOKENIZER, repository, tmp_path / name, config=CONFIG)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nothing_to_learn_is_an_error_that_says_why(repository: Path, tmp_path: Path) -> None:
    (repository / "code.py").unlink()
    with pytest.raises(ConfigError, match=r"no text files to learn \(skipped: 1 binary\)"):
        train(TOKENIZER, repository, tmp_path / "repo.pool", config=CONFIG)
    assert not (tmp_path / "repo.pool").exists()


def test_a_place_that_cannot_be_written_is_one_line(repository: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot write"):
        train(TOKENIZER, repository, repository / "code.py" / "pool", config=CONFIG)
