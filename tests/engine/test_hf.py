"""Engines over models run through transformers: the tokens are those of `none`, and those of our own decoder."""

from __future__ import annotations

import pytest
import torch

from hf_models import CHAINED, GOLDEN, PACKED, hf_target, loaded_golden
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.io.checkpoint import open_checkpoint
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.load import LoadedModel
from outrider.testing import check_drafter
from outrider.testing.tiny_drafts import tiny_draft
from tiny_engine import forger, generate, ids

MODEL_FREE = ("suffix", "ngram_hash:entries=65536", "prompt_lookup", "recycling", "suffix+recycling")
ROUND = (5, 6, 7, 8, 9, 10)
GREEDY = Sampling(max_tokens=24, seed=1, ignore_eos=True)
HOT = Sampling(max_tokens=24, temperature=0.7, top_p=0.9, seed=2, n=2, ignore_eos=True)
REQUESTS = [Request(ROUND * 4, GREEDY), Request((11, *ROUND, 12, *ROUND), HOT), Request((3,), HOT)]


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gemma3"])
@pytest.mark.parametrize("drafter", ["none", "suffix", "recycling"])
def test_the_tokens_are_those_of_our_decoder(name: str, drafter: str) -> None:
    checkpoint = open_checkpoint(GOLDEN / name)
    twin = DecoderTarget(load_decoder(checkpoint.spec, checkpoint.tensor, torch.float32, torch.device("cpu")),
                         checkpoint.spec.max_positions)
    assert ids(generate(loaded_golden(name), drafter, REQUESTS)) == ids(generate(twin, "none", REQUESTS))


@pytest.mark.parametrize("name", [*PACKED, *CHAINED, "mamba"])
def test_drafts_that_come_true_in_part_change_no_token(name: str) -> None:
    """Trees around the truth, long and short, so that every way of accepting and dropping occurs."""
    target = hf_target(name)
    wanted = generate(target, "none", REQUESTS, prefill_tokens=7)
    for seed, faith in enumerate((0.5, 0.9, 1.0)):
        found = generate(target, forger(target, wanted, seed, faith=faith), REQUESTS, max_draft=9)
        assert ids(found) == ids(wanted)
        accepted = sum(sample.stats.accepted for result in found for sample in result.samples)
        assert (accepted > 0) == target.info.rollback


@pytest.mark.parametrize("drafter", MODEL_FREE)
def test_every_drafter_on_a_hybrid(drafter: str) -> None:
    target = hf_target("delta")
    wanted = ids(generate(target, "none", REQUESTS))
    assert ids(generate(target, drafter, REQUESTS)) == wanted
    assert ids(generate(target, drafter, REQUESTS, max_sequences=1, prefill_tokens=5)) == wanted


@pytest.mark.parametrize(("name", "drafter"), [("llama", "recycling"), ("delta", "suffix"),
                                               ("llama", "model:target=toy"), ("delta", "model:target=toy;max=3")])
def test_contract(name: str, drafter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft model is the target itself: what it drafts comes true, and it too runs through the library."""
    draft = LoadedModel("toy", hf_target(name), None)
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: draft)
    check_drafter(drafter, target=hf_target(name))


@pytest.mark.parametrize("name", ["llama", "delta"])
@pytest.mark.parametrize("drafter", ["dflash:checkpoint=dflash2;branch=3", "eagle3:checkpoint=eagle3",
                                     "specblock:checkpoint=specblock"])
def test_trained_drafters_read_its_layers_and_borrow_its_tables(name: str, drafter: str,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    target = hf_target(name)
    monkeypatch.setattr("outrider.drafting.neural.open_drafter", lambda path, **_: tiny_draft(path, 0, target.spec))
    found = generate(target, drafter, REQUESTS)
    assert ids(found) == ids(generate(target, "none", REQUESTS))
    assert sum(sample.stats.drafted for result in found for sample in result.samples) > 100
