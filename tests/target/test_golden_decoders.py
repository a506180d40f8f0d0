"""Our decoder against logits recorded with the library transformers (`scripts/golden-decoders`), family by family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from outrider.io.checkpoint import open_checkpoint
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.pack import Entry, pack
from tiny_engine import dense_logits

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "decoders"
NAMES = sorted(path.name for path in GOLDEN.iterdir())


def target_of(name: str, device: torch.device, dtype: torch.dtype = torch.float32) -> DecoderTarget:
    checkpoint = open_checkpoint(GOLDEN / name)
    decoder = load_decoder(checkpoint.spec, checkpoint.tensor, dtype, device)
    return DecoderTarget(decoder, checkpoint.spec.max_positions)


def assert_equal(found_TV: Tensor, wanted_TV: Tensor, tolerance: float = 1e-4) -> None:
    """`tolerance` is relative to the largest logit of a row."""
    gap_T = (found_TV.cpu() - wanted_TV).abs().amax(-1) / wanted_TV.abs().amax(-1)
    assert float(gap_T.max()) < tolerance, f"row {int(gap_T.argmax())} is off by {float(gap_T.max()):.1e}"
    assert torch.equal(found_TV.cpu().argmax(-1), wanted_TV.argmax(-1))


@pytest.mark.supports("families", "{name}", "torch, CPU", "random")
@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_the_recorded_ones(name: str, device: torch.device) -> None:
    golden = load_file(GOLDEN / name / "expected.safetensors")
    assert_equal(dense_logits(target_of(name, device), golden["tokens"].tolist()), golden["logits"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunk", [1, 5])
def test_logits_over_the_cache_equal_the_recorded_ones(name: str, chunk: int, device: torch.device) -> None:
    """A few tokens a pass, keys and values from the paged cache: windows reach back over it."""
    golden = load_file(GOLDEN / name / "expected.safetensors")
    tokens, target = golden["tokens"].tolist(), target_of(name, device)
    cache = target.new_cache(len(tokens))
    row = cache.open()
    for begin in range(0, len(tokens), chunk):
        part = tokens[begin : begin + chunk]
        step = pack(cache, [Entry(row, part)], target.device)
        found = target.forward(step, cache).logits_RV
        cache.keep(row, part, range(len(part)))
        assert_equal(found, golden["logits"][begin + len(part) - 1][None])


def test_the_tolerance_would_notice_a_rule_left_out(device: torch.device) -> None:
    """A control: the window, the rotation's scaling, the softcap or a bias left out is far outside it."""
    for name, change in (("mistral-window", {"window": 8}), ("llama3-rope", {"rope": {"factor": 4.5}}),
                         ("gemma3-softcap", {"final_softcap": 9.2}), ("gemma3", {"attention_scale": 0.31}),
                         ("qwen3", {"norm_eps": 1e-2}), ("gemma3", {"embed_scale": 4.1})):
        golden = load_file(GOLDEN / name / "expected.safetensors")
        checkpoint = open_checkpoint(GOLDEN / name)
        rope = replace(checkpoint.spec.rope, **change.pop("rope", {}))  # type: ignore[arg-type]
        spec = replace(checkpoint.spec, rope=rope, **change)  # type: ignore[arg-type]
        decoder = load_decoder(spec, checkpoint.tensor, torch.float32, device)
        found = dense_logits(DecoderTarget(decoder, spec.max_positions), golden["tokens"].tolist())
        with pytest.raises(AssertionError, match="is off by"):
            assert_equal(found, golden["logits"])


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_weights_stay_near(name: str) -> None:
    golden = load_file(GOLDEN / name / "expected.safetensors")
    found = dense_logits(target_of(name, torch.device("cpu"), torch.bfloat16), golden["tokens"].tolist())
    error = (found - golden["logits"]).abs().mean() / golden["logits"].abs().mean()
    assert float(error) < 0.05
