"""A whole decoder over the kernels: logits of the golden models, graphs in buckets, tokens that no drafter changes."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.spec import ModelSpec
from outrider.core.step import Step
from outrider.core.tree import DraftTree
from outrider.drafting.syntax import drafter_of
from outrider.engine.choices import ReferenceChooser
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.io.checkpoint import open_checkpoint
from outrider.nn.layers import Linear
from outrider.nn.network import Outputs
from outrider.ops.cuda.graphs import CudaCapture, Run
from outrider.ops.cuda.packed import pack as pack_weight
from outrider.ops.interface import Ops, Pass
from outrider.target.cuda import MOST_GRAPHS, CudaTarget, rounded
from outrider.target.decoder import DecoderTarget, load_decoder
from outrider.target.pack import Entry, pack
from outrider.target.tiny import TINY, tiny_target
from tiny_engine import SPECS, dense_logits

cuda = pytest.importorskip("outrider.ops.cuda.ops", reason="no Triton: `pip install triton` runs these anywhere")
choices = pytest.importorskip("outrider.engine.device_choices", reason="no Triton")
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # products that wrap by design
GOLDEN = Path(__file__).parent.parent.parent / "golden" / "decoders"


class Repeated:
    """Without a GPU in place of a graph: the replay does everything again, over the same buffers."""

    def __init__(self, device: torch.device) -> None:
        self.recorded = 0
        self._graphs = CudaCapture(device) if device.type == "cuda" else None

    def __call__(self, run: Run) -> Run:
        self.recorded += 1
        if self._graphs is not None:
            return self._graphs(run)
        run()
        return run


def target_of(spec: ModelSpec, device: torch.device, capture: Repeated | None = None,
              dtype: torch.dtype = torch.float64) -> CudaTarget:
    """The toy of `tiny_target`, over the kernels."""
    values = dict(tiny_target(0, spec, dtype=dtype).decoder.named_parameters())
    ops, offset = cuda.CudaOps(device, processors=4), spec.norm_offset
    decoder = load_decoder(spec, lambda name, _: values[name].data - (offset if "norm" in name else 0.0), dtype, device,
                           ops)
    return CudaTarget(decoder, ops, spec.max_positions, capture=capture, graphs=capture is not None)


@pytest.mark.supports("families", "{name}", "kernels, CUDA", "interpreted")
@pytest.mark.parametrize("name", ["llama-bias", "llama3-rope", "mistral-window", "qwen3", "gemma3-softcap"])
def test_the_logits_of_golden_models(name: str, device: torch.device) -> None:
    golden, checkpoint = load_file(GOLDEN / name / "expected.safetensors"), open_checkpoint(GOLDEN / name)
    ops = cuda.CudaOps(device)
    decoder = load_decoder(checkpoint.spec, checkpoint.tensor, torch.float32, device, ops)
    target = CudaTarget(decoder, ops, checkpoint.spec.max_positions, graphs=False)
    found = dense_logits(target, golden["tokens"].tolist()).cpu()
    torch.testing.assert_close(found, golden["logits"], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_a_pass_in_a_bucket_is_the_pass(kind: str, device: torch.device) -> None:
    """Steps of many shapes, interleaved: rows that fill up leave neither logits, taps nor the cache changed."""
    draw, capture, spec = random.Random(1), Repeated(device), SPECS[kind]
    targets = [tiny_target(0, spec, dtype=torch.float64, device=device, ops="reference"),
               target_of(spec, device, capture)]
    caches = [target.new_cache(1024) for target in targets]
    rows = [[cache.open() for _ in range(3)] for cache in caches]
    for chosen, pending, nodes in (((0,), 13, 0), ((0, 2), 1, 3), ((0,), 2, 5), ((2, 0), 1, 2), ((1, 0, 2), 1, 0)):
        trees = [[draw.randrange(-1, node) if node else -1 for node in range(nodes)] for _ in chosen]
        tokens = [[draw.randrange(96) for _ in range(pending)] for _ in chosen]
        outputs = []
        for target, cache, row in zip(targets, caches, rows, strict=True):
            entries = [Entry(row[index], token_P, DraftTree(range(len(tree)), tree))
                       for index, token_P, tree in zip(chosen, tokens, trees, strict=True)]
            outputs.append(target.forward(pack(cache, entries, device), cache, (0, 1)))
            for entry in entries:
                cache.keep(entry.row, entry.token_P, range(len(entry.token_P)))
        torch.testing.assert_close(outputs[1].logits_RV, outputs[0].logits_RV, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(outputs[1].feature_TF, outputs[0].feature_TF, rtol=1e-6, atol=1e-6)
    assert capture.recorded == 4  # the second and the fourth are of one bucket
    for mine, theirs in zip(caches[1].layers, caches[0].layers, strict=True):
        torch.testing.assert_close(mine.key_SGK, theirs.key_SGK, rtol=1e-6, atol=1e-6)


def test_a_cache_keeps_so_many_graphs(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.target.cuda.MOST_GRAPHS", 2)
    assert MOST_GRAPHS > 2
    capture = Repeated(device)
    target = target_of(replace(TINY, num_layers=1), device, capture)
    cache = target.new_cache(64)
    row = cache.open()
    recorded = []
    for count in (1, 2, 1, 4, 2, 1):
        target.forward(pack(cache, [Entry(row, range(count))], device), cache)
        recorded.append(capture.recorded)
    assert recorded == [1, 2, 2, 3, 4, 5]


def test_where_capture_fails_passes_are_launched_and_it_is_said_once(device: torch.device,
                                                                     caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Repeated):
        def __call__(self, run: Run) -> Run:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    target, wanted = target_of(TINY, device, Failing(device)), target_of(TINY, device)
    with caplog.at_level(logging.WARNING):
        found = [dense_logits(target, [1, 2, 3]) for _ in range(2)]
    assert torch.equal(found[0], dense_logits(wanted, [1, 2, 3])) and torch.equal(found[0], found[1])
    assert [record.message for record in caplog.records] == ["without CUDA graphs: operation not permitted"]


@pytest.mark.supports("drafters", "prompt_lookup", "kernels, CUDA", "interpreted")
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_drafts_change_no_token(temperature: float, device: torch.device) -> None:
    """Kernels, graphs and choices of the device, against the reference alone."""
    sampling = Sampling(max_tokens=16, temperature=temperature, seed=5, ignore_eos=True)
    requests = [Request((3, 4, 5, 6, 3, 4, 5, 6, 3, 4), sampling), Request((9, 8, 9, 8, 9), sampling)]

    def emitted(target: DecoderTarget, drafter: str, device_path: bool) -> list[list[int]]:
        chooser = choices.DeviceChooser() if device_path else ReferenceChooser()
        config = EngineConfig(max_draft=8, cache_tokens=256, draft_policy="fixed:8")
        engine = Engine(target, drafter_of(drafter, target), None, config, chooser)
        added = [engine.add(request)[0] for request in requests]
        engine.run()
        engine.check_integrity()
        return [sequence.output for sequence in added]

    reference = tiny_target(0, TINY, dtype=torch.float64, device=device, ops="reference")
    wanted = emitted(reference, "none", False)
    assert emitted(target_of(TINY, device, Repeated(device)), "prompt_lookup:native=no", True) == wanted


@pytest.mark.parametrize(("rounding", "error"), [("q8", 0.02), ("q4", 0.25)])
def test_rounded_weights(rounding: str, error: float, device: torch.device) -> None:
    """They take less memory, move logits a little, and compute what their numbers say."""
    spec = replace(TINY, hidden_size=64, inner_size=128, tied_head=True)
    target, plain = (target_of(spec, device, dtype=torch.float32) for _ in range(2))
    rounded(target.decoder.parameters(), target.decoder.ops, rounding)
    assert target.weight_bytes < plain.weight_bytes * (0.45 if rounding == "q8" else 0.35)
    tokens = list(range(1, 30))
    found, exact = dense_logits(target, tokens), dense_logits(plain, tokens)
    assert 1e-4 < float((found - exact).norm() / exact.norm()) < error
    for parameter, copy in zip(target.decoder.parameters(), plain.decoder.parameters(), strict=True):
        packed = target.decoder.ops.packed(parameter)
        copy.data = copy.data if packed is None else packed.unpacked()
    torch.testing.assert_close(found, dense_logits(plain, tokens), rtol=1e-4, atol=1e-4)


class Little(nn.Module):
    """A drafter's network with a matrix of its own and the target's head."""

    def __init__(self, ops: Ops) -> None:
        super().__init__()
        self.fc, self.head = Linear(64, 64, False, ops), Linear(64, 96, False, ops)

    def guess(self, run: Pass, input_TF: torch.Tensor) -> Outputs:
        return Outputs(self.head(self.fc(input_TF)))


@pytest.mark.parametrize("lending", ["exact", "q4"])
def test_a_drafters_network_rounds_what_is_its_own(lending: str, device: torch.device) -> None:
    spec = replace(TINY, hidden_size=64)
    target = target_of(spec, device, dtype=torch.float32)
    if lending == "q4":
        rounded(target.decoder.parameters(), target.decoder.ops, lending)
    weight, x_TF = (torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)).to(device) for seed in (1, 2))
    network = target.network(Little, {"fc.weight": weight}, spec, 16, "q8")
    nothing = torch.zeros(64, dtype=torch.int64, device=device)
    found = network.run("guess", Step(nothing, nothing, nothing, (), nothing), None, x_TF).logits_RV
    packed = target.decoder.ops.packed(target.decoder.head.weight)
    head = target.decoder.head.weight if packed is None else packed.unpacked()
    torch.testing.assert_close(found, x_TF @ pack_weight(weight, 8).unpacked().T @ head.T, rtol=1e-4, atol=1e-3)
    lent = head.nbytes if packed is None else packed.num_bytes
    assert network.read_bytes == lent + pack_weight(weight, 8).num_bytes
