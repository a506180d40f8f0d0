"""The attention kernel against the reference: trees, windows, grouped heads, softcaps, splits, shuffled pages."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cuda_steps import Geometry, Story, attended, chain, stepped
from outrider.core.step import Step
from outrider.ops.interface import AttentionShape
from outrider.ops.reference import ReferenceOps

cuda = pytest.importorskip("outrider.ops.cuda.ops", reason="no Triton: `pip install triton` runs these anywhere")

BUSY = 10**6  # processors that no step keeps busy: splits wherever there are entries enough
TREE = (-1, 0, 0, -1, 2, 2, 1, 4)


def compare(step: Step, geometry: Geometry, shape: AttentionShape, *, processors: int = 1,
            dtype: torch.dtype = torch.float32) -> None:
    device = step.slot_T.device
    expected = attended(ReferenceOps(), step, geometry, shape, dtype)
    found = attended(cuda.CudaOps(device, processors), step, geometry, shape, dtype)
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}[dtype]
    assert torch.allclose(found.out_TD, expected.out_TD, rtol=tolerance, atol=tolerance)
    assert torch.allclose(found.key_SGK, expected.key_SGK, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert torch.equal(found.value_SGK.nan_to_num(), expected.value_SGK.nan_to_num())


def shaped(geometry: Geometry, window: int = 0, softcap: float | None = None, *, local: bool = False,
           both_ways: bool = False) -> AttentionShape:
    return AttentionShape(0, geometry.size, geometry.size**-0.5, local, window, softcap, both_ways)


@pytest.mark.parametrize("geometry", [Geometry(4, 2, 8), Geometry(7, 1, 24), Geometry(3, 3, 32)], ids=str)
@pytest.mark.parametrize("processors", [1, BUSY])
def test_mixed_steps(geometry: Geometry, processors: int, device: torch.device) -> None:
    """A decoding row, a tree grown by levels, a prompt, a tree behind a long context: in one launch."""
    stories = [Story(5, chain(1)), Story(20, TREE, done=2), Story(0, chain(21)), Story(530, TREE[:4], done=1)]
    compare(stepped(stories, device), geometry, shaped(geometry), processors=processors)


@pytest.mark.parametrize("window", [1, 3, 16, 200])
@pytest.mark.parametrize("processors", [1, BUSY])
def test_windows(window: int, processors: int, device: torch.device) -> None:
    geometry = Geometry(4, 2, 16)
    stories = [Story(290, TREE, done=2), Story(0, chain(9)), Story(40, chain(5))]
    compare(stepped(stories, device), geometry, shaped(geometry, window, local=True), processors=processors)


@pytest.mark.parametrize("window", [0, 5, 24])
@pytest.mark.parametrize("processors", [1, BUSY])
def test_blocks_that_look_both_ways(window: int, processors: int, device: torch.device) -> None:
    """And committed entries that are not seen, in the middle of a page and at its end."""
    geometry = Geometry(4, 2, 16)
    stories = [Story(20, chain(16), first=9), Story(300, chain(7), first=32), Story(0, chain(9)), Story(3, chain(1))]
    step = stepped(stories, device)
    compare(step, geometry, shaped(geometry, window, both_ways=True), processors=processors)
    compare(step, geometry, shaped(geometry, window), processors=processors)


def test_softcap_and_half_precision(device: torch.device, bfloat16: torch.dtype) -> None:
    geometry = Geometry(6, 2, 64)
    step = stepped([Story(30, TREE), Story(280, chain(3))], device)
    compare(step, geometry, shaped(geometry, softcap=3.0))
    for dtype in (torch.float16, bfloat16):
        compare(step, geometry, shaped(geometry, softcap=3.0), dtype=dtype, processors=BUSY)


def test_many_appended_entries_take_several_words(device: torch.device) -> None:
    draw = random.Random(4)
    tree = [draw.randrange(-1, entry) if entry else -1 for entry in range(70)]
    geometry = Geometry(2, 1, 16)
    compare(stepped([Story(18, tree, done=33), Story(3, chain(2))], device), geometry, shaped(geometry, window=9))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), window=st.sampled_from([0, 0, 2, 40]), processors=st.sampled_from([1, BUSY]))
def test_any_mixture(seed: int, window: int, processors: int, device: torch.device) -> None:
    draw, stories = random.Random(seed), []
    for _ in range(draw.randrange(1, 4)):
        count = draw.randrange(1, 12)
        tree = [draw.randrange(-1, entry) if entry else -1 for entry in range(count)]
        stories.append(Story(draw.choice([0, 1, 15, 16, 60, 300]), tree, draw.randrange(count)))
    geometry = Geometry(*draw.choice([(2, 2, 8), (6, 2, 16), (5, 1, 16)]))
    compare(stepped(stories, device, seed), geometry, shaped(geometry, window), processors=processors)


def test_float64_stays_float64(device: torch.device) -> None:
    """The engine's tests compare tokens in it, without a margin for near-ties."""
    geometry = Geometry(4, 2, 8)
    step = stepped([Story(20, TREE), Story(600, chain(1))], device)
    for processors in (1, BUSY):
        compare(step, geometry, shaped(geometry, softcap=20.0), processors=processors, dtype=torch.float64)


def test_odd_heads_go_the_way_of_the_reference(device: torch.device) -> None:
    geometry = Geometry(2, 1, 512)
    step = stepped([Story(20, TREE)], device)
    runs = [attended(ops, step, geometry, shaped(geometry), torch.float32)
            for ops in (ReferenceOps(), cuda.CudaOps(device))]
    assert torch.equal(runs[0].out_TD, runs[1].out_TD)
