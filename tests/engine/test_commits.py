"""What drafters are told: every token once and in order, the taps of the row before it, the target's runners-up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from outrider.core.commit import Commit
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import EMPTY_TREE
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.target.decoder import DecoderTarget
from outrider.target.pack import Entry, pack
from outrider.testing.tape import Recorder, Tape
from tiny_engine import dense_logits, forger, generate, target_of, tiny_tokenizer

TAPS = (0, 1)


def dense_features(target: DecoderTarget, tokens: list[int]) -> Tensor:
    cache = target.new_cache(len(tokens))
    step = pack(cache, [Entry(cache.open(), tokens)], target.device)
    features = target.forward(step, cache, TAPS).feature_TF
    assert features is not None
    return features


def recorded(prefill_tokens: int, candidates: int = 3) -> tuple[DecoderTarget, Recorder, list[tuple[int, ...]]]:
    target = target_of()
    requests = [Request(tuple(range(size)), Sampling(max_tokens=20, temperature=0.8, seed=size, ignore_eos=True))
                for size in (1, 2, 20, 40, 40)]
    plain = generate(target, "none", requests)
    recorder = Recorder(forger(target, plain, seed=3, faith=0.9))
    recorder.taps, recorder.candidates = TAPS, candidates
    engine = Engine(target, recorder, None, EngineConfig(
        prefill_tokens=prefill_tokens, max_sequences=4, max_draft=9, draft_policy="fixed:9"))
    for request in requests:
        engine.add(request)
    engine.run()
    texts = [(*result.prompt_ids, *result.ids) for result in plain]
    return target, recorder, texts


def tokens_of(tape: Tape) -> list[int]:
    return [tape.context.token, *(token for commit in tape.commits for token in commit.token_n)]


@pytest.mark.parametrize("prefill_tokens", [1, 7, 512])
def test_every_token_is_told_once_with_the_taps_of_the_row_before(prefill_tokens: int) -> None:
    target, recorder, texts = recorded(prefill_tokens)
    hits = 0
    for tape, text in zip(recorder.tapes, texts, strict=True):
        assert tokens_of(tape) == list(text)
        wanted_TF = dense_features(target, list(text))
        at = 0
        for commit in tape.commits:
            if commit.feature_nF is None:
                hits += len(commit.token_n)
            else:
                torch.testing.assert_close(commit.feature_nF, wanted_TF[at : at + len(commit.token_n)])
            at += len(commit.token_n)
    assert hits == (32 if prefill_tokens == 512 else 0), "the fifth prompt finds two blocks of the fourth, once there"


def test_verdicts_say_what_became_of_the_draft() -> None:
    _, recorder, _ = recorded(512)
    accepted = 0
    for tape in recorder.tapes:
        for commit in tape.commits[:-1]:
            if commit.verdict is None or commit.tree is EMPTY_TREE:
                continue
            told = [*(commit.tree.token_N[node] for node in commit.verdict.path), commit.verdict.token]
            assert list(commit.token_n) == told
            assert list(commit.verdict.path) == commit.tree.path_to(commit.verdict.path[-1] if told[:-1] else -1)
            accepted += commit.verdict.accepted
    assert accepted > 10


def test_candidates_are_the_targets_best_behind_every_row() -> None:
    target, recorder, texts = recorded(512, candidates=3)
    num_told = 0
    for tape, text in zip(recorder.tapes, texts, strict=True):
        known = 1
        for commit in tape.commits:
            if commit.candidates is not None:
                check_candidates(target, commit, list(text[: anchored(known, commit)]))
                num_told += 1
            known += len(commit.token_n)
    assert num_told > 10


def anchored(known: int, commit: Commit) -> int:
    """How many tokens the sequence had up to the anchor: a prompt's last commit also brings the rest of the prompt."""
    return known if commit.verdict is None or commit.tree is not EMPTY_TREE else known + len(commit.token_n) - 1


def check_candidates(target: DecoderTarget, commit: Commit, before: list[int]) -> None:
    assert commit.candidates is not None
    assert list(commit.candidates.row_token_M) == [before[-1], *commit.tree.token_N]
    for node in range(-1, len(commit.tree)):
        path = [commit.tree.token_N[step] for step in commit.tree.path_to(node)]
        best = dense_logits(target, [*before, *path])[-1].topk(3).indices.tolist()
        assert list(commit.candidates.top_MK[node + 1]) == best


def test_drafters_hear_how_long_the_prompt_is_and_how_tokens_are_spelt() -> None:
    target = target_of()
    recorder = Recorder(forger(target, generate(target, "none", [Request((1, 2, 3))]), seed=3, faith=0.9))
    engine = Engine(target, recorder, tiny_tokenizer())
    engine.add(Request((1, 2, 3)))
    engine.run()
    tape, = recorder.tapes
    assert tape.context.num_prompt == 3 and tape.context.vocabulary is tiny_tokenizer()
