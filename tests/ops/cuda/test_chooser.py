"""The chooser of CUDA devices emits what the readable one emits, whatever is asked of the sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafting.interface import Drafter
from outrider.drafting.syntax import drafter_of
from outrider.engine.choices import Chooser, ReferenceChooser, chooser_for
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.ops.cuda import available
from outrider.target.interface import TargetInfo
from sampling_values import samplings
from tiny_engine import VOCAB, forger, generate, target_of

choices = pytest.importorskip("outrider.engine.device_choices", reason="no Triton: `pip install triton` runs these")
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # products that wrap by design

prompts = st.lists(st.integers(0, VOCAB - 2), min_size=1, max_size=8)
requests = st.builds(lambda prompt, sampling: Request(tuple(prompt), sampling), prompts,
                     samplings(vocab=VOCAB, max_tokens=6, n=1))


def emitted(drafter: str | Drafter[Any], batch: list[Request], chooser: Chooser) -> list[list[int]]:
    target = target_of()
    config = EngineConfig(max_draft=8, draft_policy="fixed:8")
    engine = Engine(target, drafter_of(drafter, target), None, config, chooser)
    added = [sequence for request in batch for sequence in engine.add(request)]
    engine.run()
    engine.check_integrity()
    return [sequence.output for sequence in added]


@settings(max_examples=15)
@given(st.lists(requests, min_size=1, max_size=3), st.integers(0, 2**32))
def test_the_same_tokens_as_the_reference(batch: list[Request], seed: int) -> None:
    target = target_of()
    truths = generate(target, "none", batch)
    wanted = [list(sample.ids) for result in truths for sample in result.samples]
    for drafter in ("none", forger(target, truths, seed)):
        assert emitted(drafter, batch, choices.DeviceChooser()) == wanted


def test_a_mixture_of_requests_in_one_round() -> None:
    kinds = [Sampling(), Sampling(temperature=0.9, seed=1), Sampling(temperature=1.5, seed=2, top_k=7),
             Sampling(logit_bias={3: 9.0}), Sampling(temperature=0.8, seed=4, top_p=0.8, min_p=0.05)]
    batch = [Request((1, 2, 3, 1, 2), Sampling.of(one, max_tokens=12, ignore_eos=True)) for one in kinds]
    wanted = emitted("none", batch, ReferenceChooser())
    assert emitted("prompt_lookup:native=no", batch, choices.DeviceChooser()) == wanted


def test_it_is_taken_on_cuda_devices_with_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    inexact = TargetInfo(trees=True, rollback=True, taps=True, exact=False)
    assert isinstance(chooser_for(inexact, torch.device("cuda")), choices.DeviceChooser)
    assert type(chooser_for(inexact, torch.device("cpu"))) is ReferenceChooser
    monkeypatch.setattr("outrider.engine.choices.missing", lambda: available.MISSING)
    assert type(chooser_for(inexact, torch.device("cuda"))) is ReferenceChooser
