"""The same verbs for asyncio: together, cancelled, left early, closed, failing."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from json_engine import json_tokenizer
from outrider import LLM, AsyncLLM, Sampling
from outrider.constrain import json_schema, regex
from outrider.core.request import Delta, Request, Result
from outrider.engine.flight import Flight
from outrider.engine.plan import Plan
from outrider.errors import ConfigError, RequestError
from tiny_engine import loaded

HOT = Sampling(max_tokens=16, temperature=0.9, seed=4, ignore_eos=True)
LONG = Sampling.of(HOT, max_tokens=1500)


def run(body: Callable[[AsyncLLM], Awaitable[None]], drafter: str = "none") -> None:
    async def main() -> None:
        async with AsyncLLM(loaded(), drafter=drafter) as llm:
            await asyncio.wait_for(body(llm), timeout=120)
        assert not llm.llm.engine.has_work
        llm.llm.engine.check_integrity()

    asyncio.run(main())


async def settled(llm: AsyncLLM) -> None:
    """Until the engine has heard of every abort."""
    while llm.llm.engine.has_work:
        await asyncio.sleep(0.005)


def test_requests_made_together_get_what_each_gets_alone() -> None:
    texts = ["ab", "cd", "e f", "abab"]
    with LLM(loaded(), drafter="none") as plain:
        wanted = plain.generate(texts, HOT, n=2)

    async def body(llm: AsyncLLM) -> None:
        found = await asyncio.gather(*(llm.generate(text, HOT, n=2) for text in texts))
        for one, other in zip(found, wanted, strict=True):
            assert [sample.ids for sample in one.samples] == [sample.ids for sample in other.samples]
            assert one.text == other.text and one.prompt_ids == other.prompt_ids

    run(body, drafter="suffix")


def test_a_stream_joined_is_the_result() -> None:
    async def body(llm: AsyncLLM) -> None:
        wanted = await llm.generate("abc", HOT)
        deltas = [delta async for delta in llm.stream("abc", HOT)]
        assert "".join(delta.text for delta in deltas) == wanted.text
        assert tuple(token for delta in deltas for token in delta.token_n) == wanted.ids
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["length"]

    run(body)


def test_a_cancelled_request_leaves_the_others_alone() -> None:
    async def body(llm: AsyncLLM) -> None:
        wanted = await llm.generate("cd", HOT)
        doomed = asyncio.create_task(llm.generate("ab", LONG))
        other = asyncio.create_task(llm.generate("cd", HOT))
        await asyncio.sleep(0.02)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        assert (await other).ids == wanted.ids
        await settled(llm)

    run(body)


def test_leaving_a_stream_early_aborts_it() -> None:
    async def body(llm: AsyncLLM) -> None:
        found: list[Delta] = []
        async for delta in llm.stream("ab", LONG):
            found.append(delta)
            if len(found) == 3:
                break
        await settled(llm)
        assert found[-1].finish_reason is None

    run(body)


def test_bad_requests_raise_where_they_were_made() -> None:
    async def body(llm: AsyncLLM) -> None:
        with pytest.raises(RequestError, match="prompt is empty"):
            await llm.generate("", HOT)
        with pytest.raises(ConfigError, match="did you mean 'temperature'"):
            await llm.generate("ab", temprature=1.0)
        with pytest.raises(RequestError, match="shorten the prompt"):
            await llm.generate("a" * 5000, HOT)
        assert len((await llm.generate("ab", HOT)).ids) == 16

    run(body)


def failing(llm: AsyncLLM, when: Callable[[int, Plan], bool]) -> None:
    """Passes fail when this says so of their number and plan."""
    launch, calls = llm.llm.engine.launch, itertools.count(1)

    def launched(plan: Plan, ahead: bool = False) -> Flight:
        if when(next(calls), plan):
            raise RuntimeError("out of memory")
        return launch(plan, ahead)

    llm.llm.engine.launch = launched  # type: ignore[method-assign]


def test_a_failing_pass_ends_only_what_fails_by_itself_too() -> None:
    async def body(llm: AsyncLLM) -> None:
        wanted = await llm.generate("cd", HOT)
        failing(llm, lambda call, plan: call > 5 and any(part.sequence.sampling.max_tokens == 1500
                                                         for part in plan.parts))
        bad, good = await asyncio.gather(llm.generate("ab", LONG), llm.generate("cd", HOT), return_exceptions=True)
        assert str(bad) == "out of memory" and isinstance(good, Result) and good.ids == wanted.ids
        llm.llm.engine.check_integrity()

    run(body)


def test_a_pass_that_fails_once_hurts_nobody() -> None:
    async def body(llm: AsyncLLM) -> None:
        wanted = await asyncio.gather(llm.generate("cd", HOT), llm.generate("ab", HOT))
        failing(llm, lambda call, plan: call == 4)
        found = await asyncio.gather(llm.generate("cd", HOT), llm.generate("ab", HOT))
        assert [one.ids for one in found] == [one.ids for one in wanted]

    run(body)


def test_closing_ends_what_is_running_and_refuses_more() -> None:
    async def main() -> None:
        llm = AsyncLLM(loaded(), drafter="none")
        task = asyncio.create_task(llm.generate("ab", LONG))
        await asyncio.sleep(0.02)
        await llm.close()
        assert (await asyncio.wait_for(task, 60)).finish_reason == "abort"
        with pytest.raises(RequestError, match="closed"):
            await llm.generate("ab", HOT)

    asyncio.run(main())


def test_an_answer_is_read_as_it_comes_or_as_a_whole() -> None:
    async def body(llm: AsyncLLM) -> None:
        request = Request((1, 2, 3), Sampling.of(HOT, logprobs=1), prompt_logprobs=0)
        wanted = llm.submit(request)
        with pytest.raises(RequestError, match="still coming"):
            wanted.result()
        deltas = [delta async for delta in wanted]
        assert tuple(token for delta in deltas for token in delta.token_n) == wanted.result().ids
        assert tuple(item for delta in deltas for item in delta.logprobs) == wanted.result().logprobs
        assert [item.chosen.token for item in wanted.result().logprobs] == list(wanted.result().ids)
        assert len(wanted.result().prompt_logprobs) == 3
        totals = llm.totals()
        assert (totals.emitted, totals.prompt_tokens) == (15, 3)
        assert len(totals.drafted_by_source) <= len(llm.sources)

    run(body, drafter="suffix")


def test_an_answer_can_be_aborted_before_it_is_read() -> None:
    async def body(llm: AsyncLLM) -> None:
        answer = llm.submit(Request((1, 2, 3), LONG))
        answer.abort()
        told = [delta async for delta in answer]
        assert answer.result().finish_reason == "abort"
        assert sum(len(delta.token_n) for delta in told) <= len(answer.result().ids) < 1500

    run(body)


def test_draining_waits_until_nothing_runs() -> None:
    async def body(llm: AsyncLLM) -> None:
        await llm.drain()
        answers = [llm.submit(Request((1, 2, seed), Sampling.of(HOT, n=2))) for seed in range(12)]
        await llm.drain()
        assert all(len(answer.result().ids) == 16 for answer in answers)
        load = llm.load()
        assert (load.running, load.waiting, load.cache_used) == (0, 0, 0) and load.cache_total > 0

    run(body)


def test_answers_are_held_to_a_constraint() -> None:
    """The same as without a loop, whole and streamed; leaving early frees all; bad grammars are the caller's error."""
    model = replace(loaded(), tokenizer=json_tokenizer())
    form = json_schema({"type": "object", "properties": {"ab": {"enum": ["abc", 7]}}, "required": ["ab"],
                        "additionalProperties": False})
    with LLM(model, drafter="none") as plain:
        wanted = plain.generate("a b", HOT, constraint=form, max_tokens=200)

    async def main() -> None:
        async with AsyncLLM(model, drafter="suffix") as llm:
            found = await llm.generate("a b", HOT, constraint=form, max_tokens=200)
            deltas = [delta async for delta in llm.stream("a b", HOT, constraint=form, max_tokens=200)]
            assert found.ids == wanted.ids == tuple(token for delta in deltas for token in delta.token_n)
            assert json.loads(found.text)["ab"] in ("abc", 7)
            compiled = await asyncio.to_thread(llm.llm.compiler.compile, regex("[ab]{500}"))
            endless = llm.stream("a b", HOT, constraint=compiled, max_tokens=400)
            assert (await anext(endless)).token_n
            await endless.aclose()  # type: ignore[attr-defined]
            await settled(llm)
            with pytest.raises(RequestError, match="regex"):
                await llm.generate("a b", constraint=regex("a("))
            with pytest.raises(RequestError, match="regex"):
                await anext(llm.stream("a b", constraint=regex("a(")))
            llm.llm.engine.check_integrity()

    asyncio.run(asyncio.wait_for(main(), 120))
