"""Planning: who forwards what, and how much may be drafted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch
from outrider.engine.plan import Part, Plan, Standing, ask_for, pending_tokens, shares
from outrider.engine.sequence import Sequence
from outrider.engine.text import TextStream
from outrider.policy.interface import Track


def sequence_of(prompt: int, output: int = 0, max_tokens: int = 50) -> Sequence:
    request = Request(tuple(range(prompt)), Sampling(max_tokens=max_tokens, seed=0))
    sequence = Sequence(request, 0, TextStream(None, ()))
    sequence.track = Track()
    for token in range(output):
        sequence.gain(token, 0, frozenset(), 10_000)
    return sequence


@pytest.mark.parametrize(("output", "max_tokens", "limit", "depth"), [
    (1, 50, 1000, 16), (1, 5, 1000, 3), (3, 5, 1000, 1), (4, 5, 1000, 0), (1, 50, 15, 3), (1, 50, 12, 0)])
def test_a_draft_leaves_room_for_the_token_behind_it(output: int, max_tokens: int, limit: int, depth: int) -> None:
    ask = ask_for(sequence_of(10, output, max_tokens), 16, limit)
    assert ask.room == (Budget(16, depth) if depth else Budget(0, 0))


def test_prompts_share_what_decoding_leaves_untouched() -> None:
    """A quarter beside decoding: half for the first, the rest in equal parts, what is left over in order."""
    long, decoding, short, last = sequence_of(30), sequence_of(5, 3), sequence_of(9), sequence_of(4)
    running = [Standing(long, 16), Standing(decoding, 7), Standing(short, 0), Standing(last, 0)]
    found = [(item.sequence, len(item.token_P), item.is_last) for item in pending_tokens(running, 80)]
    assert found == [(long, 11, False), (decoding, 1, True), (short, 5, False), (last, 4, True)]
    assert pending_tokens([Standing(short, 6)], 20)[0].token_P == [6, 7, 8]


@pytest.mark.parametrize(("wanted", "room", "takes"), [
    ([], 8, []), ([5], 8, [5]), ([9], 8, [8]), ([9, 9], 8, [4, 4]), ([9, 9, 9], 8, [4, 2, 2]), ([2, 9], 8, [2, 6]),
    ([9, 1, 9], 8, [4, 1, 3]), ([9, 1, 1], 8, [6, 1, 1]), ([9, 9], 1, [1, 0]), ([1, 2, 3], 8, [1, 2, 3])])
def test_shares_use_all_the_room_and_leave_nobody_out(wanted: list[int], room: int, takes: list[int]) -> None:
    assert shares(wanted, room) == takes


def test_a_sequence_that_was_sent_back_reads_all_but_its_newest_token() -> None:
    """Then comes a round, as it would have come, had it stayed."""
    sequence = sequence_of(10, 5)
    item = pending_tokens([Standing(sequence, 0)], 100)[0]
    assert (len(item.token_P), item.is_last, item.is_round) == (14, False, False)
    item = pending_tokens([Standing(sequence, 14)], 100)[0]
    assert (item.token_P, item.is_last, item.is_round) == ([sequence.tokens[-1]], True, True)


def test_behind_a_round_under_way_only_its_number_is_known() -> None:
    sequence, prompt = sequence_of(10, 5), sequence_of(10)
    items = pending_tokens([Standing(sequence, 15, 1, 1), Standing(prompt, 4, 4)], 100)
    found = [(item.token_P, item.is_last, item.known) for item in items]
    assert found == [([0], True, 16), ([4, 5, 6, 7, 8, 9], True, 10)]
    item = pending_tokens([Standing(prompt, 10, 6, 1)], 100)[0]
    assert (item.token_P, item.is_last, item.is_round, item.known) == ([0], True, True, 11)


@pytest.mark.parametrize(("changes", "takes_best"), [
    ({}, True), ({"seed": 3, "max_tokens": 4, "ignore_eos": True, "stop": ("x",)}, True), ({"temperature": 0.5}, False),
    ({"logprobs": 0}, False), ({"logit_bias": {3: 1.0}}, False), ({"repetition_penalty": 1.1}, False),
    ({"presence_penalty": 0.1}, False), ({"frequency_penalty": 0.1}, False), ({"min_tokens": 2}, False),
    ({"top_k": 5, "top_p": 0.5}, True)])
def test_whose_tokens_are_the_places_of_the_largest_logits(changes: dict[str, Any], takes_best: bool) -> None:
    sequence = Sequence(Request((1, 2, 3), Sampling(**{"seed": 0, **changes})), 0, TextStream(None, ()))
    assert sequence.takes_best == takes_best
    plain = sequence_of(3, 1)
    parts = [Part(one, [1], EMPTY_TREE, True) for one in (plain, sequence)]
    nothing = DraftBatch.of([EMPTY_TREE] * 2, torch.device("cpu"))
    assert Plan(tuple(parts), nothing, 0.0).best_only == takes_best


def test_a_round_that_scores_a_prompt_wants_all_logits() -> None:
    nothing = DraftBatch.of([], torch.device("cpu"))
    part = Part(sequence_of(9), [1, 2], EMPTY_TREE, False)
    assert Plan((part,), nothing, 0.0).best_only and not Plan((replace(part, scoring=True),), nothing, 0.0).best_only
