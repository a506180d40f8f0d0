"""Benchmark runs on a tiny model: the baseline first, the counts right, one JSON document with the agreed keys."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from outrider.bench.identity import Divergence
from outrider.bench.report import Machine, divergence_lines, document, table
from outrider.bench.run import BenchConfig, Run, bench
from outrider.bench.workload import Message, Prompt, Workload
from outrider.core.sampling import Sampling
from outrider.target.load import LoadedModel, load_model
from tiny_models import write_tiny_model

KEYS = ["drafter", "workload", "prompts", "tokens", "tok_s", "prefill_tok_s", "ttft_s", "total_s", "speedup",
        "speedup_total", "rounds", "drafted", "accepted", "tokens_per_round", "accept_rate", "accepted_at_depth",
        "draft_s", "target_s", "host_s", "identical"]
WORKLOAD = Workload("tiny", (Prompt("hello hello hello"), Prompt(messages=(Message("user", "hello 12"),)),
                             Prompt("hell hell hell")))
MACHINE = Machine(processor="p", instructions="i", cpus=1, threads=1, device="cpu", torch="t", outrider="o")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf"))


def runs(model: LoadedModel, *drafters: str, **changes: Any) -> list[Run]:
    config = BenchConfig(drafters=drafters, sampling=Sampling(max_tokens=20, seed=1, ignore_eos=True), max_draft=8)
    return bench(model, WORKLOAD, replace(config, **changes), lambda line: None)


def test_the_baseline_runs_first_and_once(model: LoadedModel) -> None:
    assert [run.drafter for run in runs(model, "suffix", "none")] == ["none", "suffix"]


@pytest.mark.parametrize("batch", [1, 3])
def test_counts_and_ratios(model: LoadedModel, batch: int) -> None:
    plain, fast = runs(model, "suffix", batch=batch, repeat=2)
    assert (plain.prompts, plain.tokens, plain.rounds, plain.drafted) == (3, 60, 57, 0)
    assert (plain.speedup, plain.speedup_total, plain.tokens_per_round) == (1.0, 1.0, 1.0)
    assert fast.identical and plain.identical
    assert (fast.prompts, fast.tokens) == (3, 60)
    assert fast.rounds <= 57 and sum(fast.accepted_at_depth) == fast.accepted <= fast.drafted
    assert fast.speedup == pytest.approx(fast.tok_s / plain.tok_s, rel=1e-6)
    assert fast.tok_s_range[0] <= fast.tok_s <= fast.tok_s_range[1]
    assert min(fast.total_s, fast.ttft_s, fast.prefill_tok_s, fast.target_s) > 0


def test_limit_takes_the_first_prompts(model: LoadedModel) -> None:
    assert [run.prompts for run in runs(model, "none", limit=2)] == [2]


def test_the_document_has_the_agreed_keys_first(model: LoadedModel) -> None:
    found = json.loads(document("tiny", MACHINE, runs(model, "suffix", limit=1)))
    assert list(found) == ["model", "machine", "runs"]
    assert [list(run)[: len(KEYS)] for run in found["runs"]] == [KEYS, KEYS]


def test_one_drafter_runs_under_several_policies(model: LoadedModel) -> None:
    names = ["none", "suffix", "suffix@fixed:0", "suffix:max=2@fixed:8"]
    rows = runs(model, *names[1:], limit=1, draft_policy="fixed:8")
    assert [run.drafter for run in rows] == names and all(run.identical for run in rows)
    _, full, nothing, small = rows
    assert nothing.drafted == 0 < small.drafted <= 2 * small.rounds and full.drafted >= small.drafted


def test_pairs_of_passes_have_an_interval(model: LoadedModel) -> None:
    plain, fast = runs(model, "suffix", limit=1, repeat=3)
    assert plain.speedup_pairs == (1.0, 1.0, 1.0) and (plain.speedup_low, plain.speedup_high) == (1.0, 1.0)
    assert len(fast.speedup_pairs) == 3 and fast.speedup_low is not None and fast.speedup_high is not None
    assert 0 < fast.speedup_low < fast.speedup_high
    assert "speedup, 95 %" in [column.header for column in table([plain, fast]).columns]
    once = runs(model, "suffix", limit=1)
    assert once[1].speedup_low is None and len(once[1].speedup_pairs) == 1
    assert "speedup, 95 %" not in [column.header for column in table(once).columns]


def test_divergences_are_reported_with_their_gap(model: LoadedModel) -> None:
    (run,) = runs(model, "none", limit=1)
    tie, fault = Divergence(0, 4, 2.5e-7), Divergence(2, 9, math.inf)
    bad = replace(run, identical=False, divergences=(tie, fault))
    assert divergence_lines([bad]) == ["tiny, none: prompt 0 differs at token 4, gap 2.50e-07",
                                       "tiny, none: prompt 2 differs at token 9, no near-tie"]
    rows = json.loads(document("tiny", MACHINE, [bad]))["runs"][0]["divergences"]
    assert rows == [{"prompt": 0, "token": 4, "gap": 2.5e-7}, {"prompt": 2, "token": 9, "gap": None}]
    assert list(table([bad]).columns[-1].cells) == ["no (2)"]


