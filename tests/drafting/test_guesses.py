"""Both ways to read guesses off logits; and a draft model that drafts the same either way."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from native_targets import library, native_target
from outrider.core.commit import Commit, CommitBatch
from outrider.core.noise import NoiseKey
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget, DraftTree
from outrider.drafters import model
from outrider.drafting import guesses
from outrider.drafting.guesses import COMPARED, Guesser, NativeGuesser, Question, ReferenceGuesser, Request
from outrider.drafting.interface import SequenceContext
from outrider.ops.native.places import Ranker
from outrider.target.interface import TargetInfo
from outrider.target.load import LoadedModel

VOCAB = 1000
SAMPLINGS = (Sampling(), Sampling(temperature=0.8), Sampling(temperature=1.3, top_k=5), Sampling(logit_bias={3: 9.0}),
             Sampling(temperature=0.7, top_p=0.8, repetition_penalty=1.2), Sampling(temperature=1.0, top_k=1))


def both() -> list[Guesser]:
    return [ReferenceGuesser(VOCAB), NativeGuesser(VOCAB, Ranker(library()))]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_both_ways_guess_the_same_for_several_positions_of_several_sequences(count: int) -> None:
    logits_RV = torch.randn(12, VOCAB + 7, generator=torch.Generator().manual_seed(0)) * 3
    requests = [Request(sampling, NoiseKey(seed)) for seed, sampling in enumerate(SAMPLINGS)]
    questions = [Question(request, 2 * index + more, 40 + index + more)
                 for index, request in enumerate(requests) for more in range(2)]
    readable, native = (guesser.guesses(logits_RV, questions, count) for guesser in both())
    assert [[guess.token for guess in found] for found in native] == [
        [guess.token for guess in found] for found in readable]
    for found, other in zip(native, readable, strict=True):
        assert [guess.share for guess in found] == pytest.approx([guess.share for guess in other], rel=1e-9)
        assert 0 < sum(guess.share for guess in found) <= 1 + 1e-12
    assert [len(found) for found in native[-2:]] == [1, 1], "top_k leaves one"


def test_a_share_is_that_among_the_best_compared() -> None:
    logits_1V = torch.full((1, VOCAB), 2.0)
    logits_1V[0, 7] += math.log(3)
    for guesser in both():
        [first, second] = guesser.guesses(logits_1V, [Question(Request(Sampling(), NoiseKey(0)), 0, 5)], 2)[0]
        assert (first.token, second.token) == (7, 0)
        assert first.share == pytest.approx(3 / (COMPARED + 2)) and second.share == pytest.approx(1 / (COMPARED + 2))


def readable_guesser(info: TargetInfo, vocab: int) -> Guesser:
    return ReferenceGuesser(vocab)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.9)])
@pytest.mark.parametrize("options", [
    {}, {"thrift": False}, {"branch": 3, "nodes": 12, "thrift": False}, {"max": 9, "min": 0.3, "thrift": False},
    {"thrift": False, "head": 60}])
def test_a_draft_model_drafts_the_same_with_either(
        sampling: Sampling, options: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    target = native_target("llama")
    monkeypatch.setattr(model, "load_model", lambda *_, **__: LoadedModel("toy", target, None))

    def drafts() -> list[DraftTree]:
        drafter = model.ModelDrafter(replace(model.ModelDrafter.Config("toy"), **options), target)
        states = [drafter.start(SequenceContext(3, sampling, NoiseKey(seed))) for seed in range(2)]
        drafter.commit(states, CommitBatch((Commit([5, 7]), Commit([1, 2, 3, 4, 5, 6])), target.device))
        return list(drafter.propose(states, [Budget(16, 8)] * 2).trees)

    native = drafts()
    monkeypatch.setattr(model, "guesser_for", readable_guesser)
    readable = drafts()
    assert guesses.guesser_for(target.info, 10).__class__ is NativeGuesser
    assert [(tree.token_N, tree.parent_N) for tree in native] == [(tree.token_N, tree.parent_N) for tree in readable]
    assert all(len(tree) for tree in native)
