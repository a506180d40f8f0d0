"""Pairs of drafter and reference on a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outrider.bench.identity import Divergence
from outrider.bench.pairs import check_pair, mixed_workload, reference
from outrider.bench.settings import Setting, covering
from outrider.bench.workload import NAMES, Prompt, Workload, load
from outrider.core.sampling import Sampling
from outrider.target.load import load_model
from tiny_models import write_tiny_model

WORKLOAD = Workload("tiny", tuple(Prompt(text) for text in ("hello hello", "12 12 12", "hell w hell", "w w", "he")))


@pytest.mark.parametrize(("temperature", "batch"), [(0.0, 1), (0.8, 4)])
def test_a_pair_compares_every_token(tmp_path: Path, temperature: float, batch: int) -> None:
    model = load_model(write_tiny_model(tmp_path / "tiny.gguf"))
    plain = reference(model, WORKLOAD, Sampling(temperature=temperature, seed=7, max_tokens=20, ignore_eos=True), 70)
    assert (len(plain.requests), plain.num_tokens) == (4, 80)
    pair = check_pair(model, "suffix", plain, Setting(batch))
    assert (pair.tokens, pair.divergences, pair.num_faults) == (80, (), 0)
    assert pair.tokens_per_round >= 1
    output = list(plain.outputs[2])
    output[6] = (output[6] + 1) % 200
    wrong = check_pair(model, "suffix", replace(plain, outputs=(*plain.outputs[:2], output, plain.outputs[3])),
                       Setting(batch))
    assert (wrong.divergences[0].prompt, wrong.divergences[0].token) == (2, 6) and wrong.num_faults > 0


def test_wide_gaps_are_faults_and_near_ties_are_not(tmp_path: Path) -> None:
    model = load_model(write_tiny_model(tmp_path / "tiny.gguf"))
    plain = reference(model, WORKLOAD, Sampling(seed=7, max_tokens=4), 1)
    divergences = (Divergence(0, 1, 1e-6), Divergence(0, 2, 0.5))
    pair = replace(check_pair(model, "none", plain, Setting()), exact=False, divergences=divergences)
    assert pair.num_faults == 1
    assert replace(pair, exact=True).num_faults == 2


def test_every_two_circumstances_meet() -> None:
    found = covering((1, 8), (1, 7, 64), (1, 2), (False, True))
    assert len(found) < 12
    met = set().union(*(setting.pairs() for setting in found))
    assert len(met) == 2 * 3 + 2 * 2 + 2 * 2 + 3 * 2 + 3 * 2 + 2 * 2


def test_the_mixed_workload_takes_turns_and_all_prompts() -> None:
    mixed = mixed_workload()
    assert [prompt in load(name).prompts for name, prompt in zip(NAMES, mixed.prompts, strict=False)] == [True] * 5
    assert len(mixed.prompts) == sum(len(load(name).prompts) for name in NAMES)
