"""Trained toy drafters draft what the published implementations do, so that as much is accepted, round by round."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from draft_goldens import GOLDEN
from outrider.core.commit import CommitBatch
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftBatch
from outrider.drafters.dflash import DFlashDrafter
from outrider.drafters.eagle3 import Eagle3Drafter
from outrider.drafting.interface import Drafter, SequenceContext
from outrider.drafting.neural import NeuralDrafter, NeuralState
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.io.safetensors_dir import SafetensorsCheckpoint
from outrider.target.decoder import DecoderTarget, load_decoder

CASES = sorted(path.parent.name for path in GOLDEN.glob("accepted-*/accepted.json"))


class Counting(Drafter[NeuralState]):
    """Notes how much of each round's draft came true."""

    def __init__(self, inner: NeuralDrafter[Any]) -> None:
        super().__init__(inner.config, inner.target)
        self.inner, self.taps, self.payloads = inner, inner.taps, inner.payloads
        self.accepted: list[int] = []

    def start(self, context: SequenceContext) -> NeuralState:
        return self.inner.start(context)

    def commit(self, states: Sequence[NeuralState], commits: CommitBatch) -> None:
        self.accepted += [commit.verdict.accepted for commit in commits if commit.verdict is not None]
        self.inner.commit(states, commits)

    def propose(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> DraftBatch:
        return self.inner.propose(states, budgets)

    def finish(self, state: NeuralState) -> None:
        self.inner.finish(state)


def recorded_target() -> DecoderTarget:
    checkpoint = SafetensorsCheckpoint(GOLDEN / "accepted-target")
    decoder = load_decoder(checkpoint.spec, checkpoint.tensor, torch.float32, torch.device("cpu"))
    return DecoderTarget(decoder, checkpoint.spec.max_positions, "recorded")


def drafter_for(name: str, kind: str, num_drafts: int, target: DecoderTarget) -> NeuralDrafter[Any]:
    if kind == "dflash":
        return DFlashDrafter(DFlashDrafter.Config(str(GOLDEN / name)), target)
    return Eagle3Drafter(Eagle3Drafter.Config(str(GOLDEN / name), max=num_drafts, branch=1), target)


@pytest.mark.parametrize("name", CASES)
def test_as_much_is_accepted_in_every_round(name: str) -> None:
    golden = json.loads((GOLDEN / name / "accepted.json").read_text())
    target, num_drafts = recorded_target(), golden["num_drafts"]
    drafter = drafter_for(name, golden["kind"], num_drafts, target)
    lengths: Counter[int] = Counter()
    for run in golden["runs"]:
        counting = Counting(drafter)
        engine = Engine(target, counting, None, EngineConfig(
            max_draft=num_drafts, context=256, cache_tokens=512, draft_policy=f"fixed:{num_drafts}"))
        count = len(run["tokens"]) - len(run["prompt"])
        sequence, = engine.add(Request(tuple(run["prompt"]), Sampling(max_tokens=count, ignore_eos=True)))
        engine.run()
        assert sequence.tokens == run["tokens"]
        rounds = counting.accepted[1:]  # the first commit is the prompt's
        whole = rounds[: len(run["accepted"]) - 1]  # the end of the answer may cut the last one short
        assert whole == run["accepted"][: len(whole)]
        lengths.update(run["accepted"])
    assert sum(lengths.values()) >= 500
    assert set(lengths) == set(range(num_drafts + 1)), "every length occurs"
    assert sum(length * count for length, count in lengths.items()) >= 2 * sum(lengths.values())
