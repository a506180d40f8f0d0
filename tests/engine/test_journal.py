"""The journal tells of every round what the statistics count, and looking changes nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest

from outrider import LLM, Sampling
from outrider.core.request import Request
from outrider.engine.journal import journal_of
from outrider.engine.watch import Seen
from tiny_engine import loaded

GREEDY = Sampling(max_tokens=50, ignore_eos=True)
REPEATING = "ab ab ab ab ab ab"


@pytest.mark.parametrize("policy", ["fixed:8", "adaptive"])
def test_entries_add_up_to_the_statistics(policy: str) -> None:
    with LLM(loaded(), drafter="suffix+recycling", draft_policy=policy) as llm:
        with journal_of(llm.engine) as journal:
            result = llm.generate(REPEATING, GREEDY)
        stats, entries = result.stats, journal.entries
        unwatched = llm.generate(REPEATING, GREEDY)
    assert journal.names == ("suffix", "recycling") and unwatched.ids == result.ids
    assert len(entries) == stats.rounds
    assert [sum(column) for column in zip(*((entry.verified, entry.emitted) for entry in entries), strict=True)] == [
        stats.drafted, stats.emitted]
    assert entries[0].tokens == 1 and all(
        after.tokens == before.tokens + before.emitted for before, after in pairwise(entries))
    for entry in entries:
        assert entry.verified == entry.reason.chosen and len(entry.reason.offered) == 2
        assert max(entry.accepted_by) <= entry.accepted <= entry.verified and entry.times.total_s > 0
        assert entry.emitted in (entry.accepted + 1, 50 - entry.tokens)


def test_members_that_a_request_excludes_were_not_asked() -> None:
    with LLM(loaded(), drafter="suffix+recycling", draft_policy="fixed:8") as llm, journal_of(llm.engine) as journal:
        llm.generate(REPEATING, GREEDY, speculation={"drafter": "suffix"})
        llm.generate(REPEATING, GREEDY, speculation={"enabled": False})
    reasons = [entry.reason for entry in journal.entries]
    assert {reason.offered[1] for reason in reasons} == {-1}
    assert {reason.offered for reason in reasons[-49:]} == {(-1, -1)}
    assert any(reason.offered[0] > 0 for reason in reasons)


def test_an_observer_is_told_of_rounds_only_and_of_every_sequence() -> None:
    seen: list[Seen] = []
    with LLM(loaded(), drafter="suffix", draft_policy="fixed:4", prefill_tokens=4) as llm:
        llm.engine.watch(seen.append)
        results = llm.run([Request(tuple(range(3, 20)), GREEDY), Request((5, 6), GREEDY)])
        llm.engine.watch(None)
        llm.generate("ab", GREEDY)
    by_sequence: dict[int, int] = {}
    for one in seen:
        by_sequence[id(one.sequence)] = by_sequence.get(id(one.sequence), 0) + 1
    assert sorted(by_sequence.values()) == sorted(result.stats.rounds for result in results)


@pytest.mark.parametrize("in_turn", [True, False])
def test_rounds_go_ahead_of_an_observer_that_allows_it(in_turn: bool) -> None:
    """It is told of all of them all the same."""
    seen: list[Seen] = []
    ahead: list[bool] = []
    with LLM(loaded(), drafter="none", overlap="on") as llm:
        llm.engine.watch(seen.append, in_turn)
        results = llm.run([Request((5, 6), GREEDY)])
        launch = llm.engine.launch
        llm.engine.launch = lambda plan, early=False: ahead.append(early) or launch(plan, early)  # type: ignore
        llm.run([Request((5, 6), GREEDY)])
    assert len(seen) == 2 * results[0].stats.rounds > 0
    assert any(ahead) is not in_turn
