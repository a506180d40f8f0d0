"""One engine, two choosers: the native walk and the readable one emit the same tokens from the same logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.drafting.interface import Drafter
from outrider.drafting.syntax import drafter_of
from outrider.engine.choices import Chooser, NativeChooser, ReferenceChooser, chooser_for
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.ops.native import library
from outrider.target.decoder import DecoderTarget
from outrider.target.interface import TargetInfo
from sampling_values import samplings
from tiny_engine import VOCAB, ForgerState, forger, generate, target_of

prompts = st.lists(st.integers(0, VOCAB - 2), min_size=1, max_size=20)
requests = st.builds(lambda prompt, sampling: Request(tuple(prompt), sampling), prompts,
                     samplings(vocab=VOCAB, max_tokens=12, n=2))


@pytest.fixture(scope="module")
def native() -> Chooser:
    found = library.load()
    if found is None:
        pytest.skip("no native library was built here")
    return NativeChooser(found)


def emitted(target: DecoderTarget, drafter: str | Drafter[ForgerState], batch: list[Request],
            chooser: Chooser) -> list[list[int]]:
    config = EngineConfig(max_draft=16, draft_policy="fixed:16")
    engine = Engine(target, drafter_of(drafter, target), None, config, chooser)
    added = [sequence for request in batch for sequence in engine.add(request)]
    engine.run()
    engine.check_integrity()
    return [sequence.output for sequence in added]


@settings(max_examples=25)
@given(st.lists(requests, min_size=1, max_size=3), st.integers(0, 2**32))
def test_both_choosers_emit_the_same_tokens(native: Chooser, batch: list[Request], seed: int) -> None:
    target = target_of()
    truths = generate(target, "none", batch)
    wanted = [list(sample.ids) for result in truths for sample in result.samples]
    for chooser in (native, ReferenceChooser()):
        assert emitted(target, "none", batch, chooser) == wanted
        assert emitted(target, forger(target, truths, seed), batch, chooser) == wanted


def test_penalties_follow_a_sequence_from_round_to_round(native: Chooser) -> None:
    sampling = Sampling(max_tokens=60, temperature=0.6, seed=3, repetition_penalty=1.4, frequency_penalty=0.3,
                        ignore_eos=True, n=3)
    batch = [Request((4, 5, 6), sampling)]
    found = emitted(target_of(), "ngram_hash", batch, native)
    assert found == emitted(target_of(), "none", batch, ReferenceChooser())
    assert [len(output) for output in found] == [60] * 3


def test_both_choosers_name_the_same_runners_up(native: Chooser) -> None:
    logits_RV = torch.randn(5, 3000, generator=torch.Generator().manual_seed(0))
    assert native.runners_up(logits_RV, 8) == ReferenceChooser().runners_up(logits_RV, 8)
    assert native.runners_up(logits_RV[:0], 8) == []
    tied_1V = torch.zeros(1, 3000)
    assert native.runners_up(tied_1V, 3) == [[0, 1, 2]]


def test_the_native_way_is_taken_where_it_exists(native: Chooser, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = TargetInfo(trees=True, rollback=True, taps=True, exact=True)
    inexact = replace(exact, exact=False)
    assert isinstance(chooser_for(exact), NativeChooser)
    assert isinstance(chooser_for(inexact), ReferenceChooser)
    monkeypatch.setattr(library, "load", lambda: None)
    assert isinstance(chooser_for(exact), ReferenceChooser)
