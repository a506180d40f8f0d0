"""What a request says of speculation: who is asked, how much, and never another token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from outrider import LLM, AsyncLLM, Sampling, Speculation
from outrider.core.request import Request
from outrider.engine.limits import limits_of, member_names
from outrider.errors import OutriderError, RequestError
from outrider.policy.interface import Limits
from tiny_engine import loaded

GREEDY = Sampling(max_tokens=60, ignore_eos=True)
REPEATING = "ab ab ab ab ab ab"


@pytest.fixture
def llm() -> Iterator[LLM]:
    with LLM(loaded(), drafter="suffix+ngram_hash+recycling", draft_policy="fixed:8") as made:
        yield made
        made.engine.check_integrity()


def sources(llm: LLM, speculation: object) -> set[str]:
    """Who guessed the accepted tokens; all answers must be those of plain decoding."""
    with LLM(loaded(), drafter="none") as plain:
        wanted = plain.generate(REPEATING, GREEDY).ids
    result = llm.generate(REPEATING, GREEDY, speculation=speculation)  # type: ignore[call-overload]
    assert result.ids == wanted
    counts = result.stats.accepted_by_source
    return {name for name, count in zip(llm.engine.drafter.sources, counts, strict=False) if count}


def test_without_speculation_nothing_is_drafted(llm: LLM) -> None:
    for speculation in (Speculation(enabled=False), {"enabled": False}, {"max_draft": 0}, {"drafter": "none"}):
        result = llm.generate(REPEATING, GREEDY, speculation=speculation)
        assert (result.stats.drafted, result.stats.rounds) == (0, 59)


@pytest.mark.parametrize("policy", ["fixed:8", "adaptive"])
def test_a_part_of_the_mixture_drafts_alone(policy: str) -> None:
    with LLM(loaded(), drafter="suffix+ngram_hash+recycling", draft_policy=policy) as llm:
        everyone = sources(llm, None)
        for wanted in ("suffix", "ngram-hash", "suffix + recycling"):
            allowed = {word.strip().replace("-", "_") for word in wanted.split("+")}
            assert sources(llm, {"drafter": wanted}) <= allowed
        if policy != "adaptive":  # which may rightly draft nothing
            assert everyone == {"suffix", "ngram_hash", "recycling"}
            assert sources(llm, {"drafter": "suffix"}) == {"suffix"}
            assert sources(llm, {"drafter": "auto"}) >= {"suffix", "ngram_hash"}


def test_max_draft_bounds_every_round(llm: LLM) -> None:
    result = llm.generate(REPEATING, GREEDY, speculation={"max_draft": 2, "drafter": None})
    assert 0 < result.stats.drafted <= 2 * result.stats.rounds
    assert len(result.stats.accepted_at_depth) <= 2


def test_requests_of_one_batch_keep_their_own_limits(llm: LLM) -> None:
    tokens = llm.prompts.request(REPEATING, GREEDY).token_n
    requests = [Request(tokens, GREEDY, speculation=Speculation(drafter=name)) for name in ("", "suffix", "none")]
    everyone, copied, plain = (result.stats for result in llm.run(requests))
    assert plain.drafted == 0 < copied.drafted
    assert not any(copied.accepted_by_source[1:]) and any(everyone.accepted_by_source[1:])


@pytest.mark.parametrize(("speculation", "message"), [
    ({"drafter": "model"}, "this engine has: suffix, ngram_hash, recycling"),
    ({"drafter": "sufix"}, "did you mean 'suffix'"), ({"drafter": "suffix+"}, "unknown drafter ''"),
    ({"enable": True}, "did you mean 'enabled'"), ({"enabled": 1}, "expected true or false"),
    ({"max_draft": True}, "expected a whole number"), ({"max_draft": -2}, "got -2"),
    ({"drafter": 3}, "expected a name"), ("suffix", "expected a mapping"),
])
def test_nonsense_is_refused_in_one_line(llm: LLM, speculation: object, message: str) -> None:
    with pytest.raises(OutriderError) as caught:
        llm.generate("ab", speculation=speculation)  # type: ignore[call-overload]
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not llm.engine.has_work


def test_streams_chats_and_asyncio_take_it_too(llm: LLM) -> None:
    wanted = [delta.token_n for delta in llm.stream("ab", GREEDY, speculation={"enabled": False})]
    assert [len(tokens) for tokens in wanted] == [1] * 60

    async def body() -> None:
        async with AsyncLLM(loaded(), drafter="suffix", draft_policy="fixed:8") as other:
            assert (await other.generate("ab", GREEDY, speculation={"enabled": False})).stats.drafted == 0
            with pytest.raises(RequestError, match="unknown drafter"):
                await other.generate("ab", GREEDY, speculation={"drafter": "model"})
            deltas = [delta async for delta in other.stream("ab", GREEDY, speculation={"max_draft": 0})]
            assert [delta.token_n for delta in deltas] == wanted

    asyncio.run(body())


def test_names_become_bits(llm: LLM) -> None:
    drafter = llm.engine.drafter
    assert member_names(drafter) == ["suffix", "ngram_hash", "recycling"]
    assert limits_of(Speculation(), drafter) == Limits()
    some = Speculation(drafter="recycling+suffix", max_draft=3)
    assert limits_of(some, drafter, draws=True) == Limits(0b101, 3, True)
