"""Real vocabularies against what the original tokenizers made of a hard corpus (`scripts/golden-tokenizers`)."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest

import real_models
from outrider.io.detokenizer import IncrementalDetokenizer
from outrider.io.gguf_header import read_header
from outrider.io.gguf_tokenizer import HeaderMetadata, from_gguf
from outrider.io.infill_tokens import InfillTokens
from outrider.io.pieces import SPACE
from outrider.io.tokenizer import Tokenizer, same_vocabulary

GOLDEN = Path(__file__).parent.parent / "golden" / "tokenizers"
CODER, LARGE_CODER = "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"
GEMMA, SMOLLM = "gemma-3-270m", "smollm2-135m-instruct"

pytestmark = pytest.mark.real_model


def load(name: str) -> Tokenizer:
    path = real_models.path(name)
    return from_gguf(HeaderMetadata(read_header(path)), where=path.name)


@pytest.fixture(scope="module", params=[SMOLLM, CODER, GEMMA])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tokenizer(name: str) -> Tokenizer:
    return load(name)


def corpus() -> list[str]:
    texts = json.loads((GOLDEN / "corpus.json").read_text(encoding="utf-8"))
    return [*texts["plain"], *texts["markup"]]


@pytest.mark.parametrize("mode", ["parsed", "literal"])
def test_ids_are_those_of_the_original(name: str, tokenizer: Tokenizer, mode: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))[mode]
    texts = corpus()
    found = {text: tokenizer.encode(text, special=mode == "parsed") for text in texts}
    assert found == dict(zip(texts, golden, strict=True))


def test_text_comes_back_whole_and_token_by_token(name: str, tokenizer: Tokenizer) -> None:
    for text in corpus():
        ids = tokenizer.encode(text, special=True)
        expected = {CODER: normalize("NFC", text), GEMMA: text.replace(SPACE, " ")}.get(name, text)
        stream = IncrementalDetokenizer(tokenizer, skip_special=False)
        pushed = "".join(stream.push([token]) for token in ids) + stream.finish()
        assert tokenizer.decode(ids, skip_special=False) == pushed == expected


def test_markup_in_untrusted_text_never_becomes_a_control_token(tokenizer: Tokenizer) -> None:
    for token in tokenizer.special_ids:
        piece = tokenizer.piece(token) or ""
        assert tokenizer.encode(piece, special=True) == [token]
        assert not tokenizer.special_ids & set(tokenizer.encode(piece, special=False))


def test_roles() -> None:
    smollm, coder, gemma = load(SMOLLM), load(CODER), load(GEMMA)
    assert (smollm.bos_id, smollm.add_bos, smollm.eos_id, smollm.eos_ids) == (1, False, 2, {0, 2})
    assert (coder.eos_id, coder.eos_ids, coder.vocab_size) == (151645, {151643, 151645}, 151936)
    assert coder.infill == InfillTokens(151659, 151661, 151660, 151663, 151664, frozenset(range(151659, 151665)))
    assert (gemma.bos_id, gemma.add_bos, gemma.eos_ids) == (2, True, {1, 106})
    assert gemma.template is None and gemma.infill is None


def test_which_models_may_draft_for_each_other() -> None:
    coder = load(CODER)
    assert same_vocabulary(coder, load(LARGE_CODER)) is None
    assert same_vocabulary(coder, load(SMOLLM)) == "token 0 is '!' in one and '<|endoftext|>' in the other"
