"""Torch's threads beside the kernels'."""

from __future__ import annotations

import pytest
import torch

from native_targets import native_target, readable_target
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafting.syntax import drafter_of
from outrider.engine.engine import Engine
from outrider.target.interface import Target


@pytest.mark.parametrize("kernels", [True, False])
def test_torch_keeps_to_one_thread_beside_the_kernels(kernels: bool) -> None:
    """Its others would spin on the kernels' cores; whoever else uses torch finds it as it was."""
    target: Target = native_target("llama") if kernels else readable_target("llama")
    before, seen = torch.get_num_threads(), list[int]()
    torch.set_num_threads(2)
    try:
        engine = Engine(target, drafter_of("none", target))
        engine.watch(lambda _: seen.append(torch.get_num_threads()))
        engine.add(Request((1, 2, 3), Sampling(max_tokens=2, ignore_eos=True)))
        engine.run()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1 if kernels else 2]
