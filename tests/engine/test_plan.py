"""Planning: who forwards what, and how much may be drafted."""

from __future__ import annotations

import pytest

from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.core.tree import Budget
from outrider.engine.plan import ask_for, pending_tokens
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
    """In order of arrival; a prompt gets what is left, and the next one waits; decoding never does."""
    long, decoding, short, last = sequence_of(30), sequence_of(5, 3), sequence_of(9), sequence_of(4)
    running = [(long, 16), (decoding, 7), (short, 0), (last, 0)]
    found = [(item.sequence, len(item.token_P), item.is_last) for item in pending_tokens(running, 20)]
    assert found == [(long, 14, True), (decoding, 1, True), (short, 6, False)]
    assert pending_tokens([(short, 6)], 20)[0].token_P == [6, 7, 8]
