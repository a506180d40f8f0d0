"""The Python interface: shapes of answers, errors in one line, streams side by side, Ctrl-C, two engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from outrider import LLM, Sampling
from outrider.core.commit import Commit, CommitBatch
from outrider.core.request import Delta, Request, Result
from outrider.core.tree import Budget, DraftTree
from outrider.drafters.none import NoDrafter
from outrider.drafting.interface import HostDrafter, SequenceContext
from outrider.engine.engine import Engine
from outrider.errors import CacheFullError, ConfigError, OutriderError, RequestError
from outrider.target.decoder import DecoderTarget
from outrider.target.load import LoadedModel
from tiny_engine import EOS, VOCAB, Forger, loaded, target_of, tiny_tokenizer

HOT = Sampling(max_tokens=20, temperature=0.9, seed=4, ignore_eos=True)


@pytest.fixture
def llm() -> Iterator[LLM]:
    with LLM(loaded(), drafter="none") as made:
        yield made
        made.engine.check_integrity()


def test_one_text_gives_one_result_and_a_list_a_list(llm: LLM) -> None:
    one, many = llm.generate("abc", HOT), llm.generate(["abc", "abd"], HOT)
    assert isinstance(one, Result) and isinstance(many, list) and len(many) == 2
    assert many[0].ids == one.ids and str(one) == one.text != ""
    assert one.prompt_ids == tuple(tiny_tokenizer().encode("abc", special=True))
    assert llm.generate([[1, 2], [3]], HOT)[1].prompt_ids == (3,)
    assert llm.generate([], HOT) == []


def test_options_by_keyword_equal_a_sampling(llm: LLM) -> None:
    assert llm.generate("abc", max_tokens=5, temperature=0.9, seed=4).ids == llm.generate("abc", HOT).ids[:5]
    assert llm.generate("abc", HOT, max_tokens=5).ids == llm.generate("abc", HOT).ids[:5]


def test_n_samples_are_beside_the_first(llm: LLM) -> None:
    result = llm.generate("abc", HOT, n=3)
    assert len({sample.ids for sample in result.samples}) == 3
    assert (result.text, result.ids, result.stats) == (
        result.samples[0].text, result.samples[0].ids, result.samples[0].stats)


def test_a_stream_joined_is_the_result(llm: LLM) -> None:
    wanted = llm.generate("abc", HOT, n=2)
    deltas = list(llm.stream("abc", HOT, n=2))
    for index, sample in enumerate(wanted.samples):
        own = [delta for delta in deltas if delta.sample == index]
        assert "".join(delta.text for delta in own) == sample.text
        assert tuple(token for delta in own for token in delta.token_n) == sample.ids
        assert [delta.finish_reason for delta in own if delta.finish_reason] == ["length"] == [own[-1].finish_reason]


def test_streams_and_calls_side_by_side_lose_nothing(llm: LLM) -> None:
    """Each moves the one engine on; none may miss what the others' rounds gave it."""
    wanted = [llm.generate(text, HOT) for text in ("ab", "cd", "e")]
    first, second = llm.stream("ab", HOT), llm.stream("cd", HOT)
    told: list[list[Delta]] = [[next(first)], [next(second)]]
    assert llm.generate("e", HOT).ids == wanted[2].ids
    told[0] += first
    told[1] += second
    for deltas, result in zip(told, wanted, strict=False):
        assert "".join(delta.text for delta in deltas) == result.text
        assert deltas[-1].finish_reason == "length"


def test_leaving_a_stream_aborts_it(llm: LLM) -> None:
    stream = llm.stream("abc", HOT, max_tokens=200)
    next(stream)
    stream.close()
    assert not llm.engine.has_work
    llm.engine.check_integrity()


BAD_CALLS: list[tuple[Callable[[LLM], object], str]] = [
    (lambda llm: llm.generate(""), "prompt is empty"),
    (lambda llm: llm.generate([[]]), "prompt is empty"),
    (lambda llm: llm.generate(["ok", ""]), "prompt is empty"),
    (lambda llm: llm.generate([[1, VOCAB]]), f"token id {VOCAB} is outside"),
    (lambda llm: llm.generate([[-1]]), "token id -1 is outside"),
    (lambda llm: llm.generate([[1] * 4000]), "shorten the prompt"),
    (lambda llm: llm.generate("a", temperature=-1), "temperature"),
    (lambda llm: llm.generate("a", temprature=1), "did you mean 'temperature'"),
    (lambda llm: llm.generate("a", logit_bias={VOCAB: 1.0}), "logit_bias"),
    (lambda llm: llm.generate("a \ud800"), "surrogate"),
    (lambda llm: list(llm.stream("", HOT)), "prompt is empty"),
    (lambda llm: llm.chat([]), "no messages"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_requests_are_one_line_errors_and_leave_nothing(llm: LLM, call: Callable[[LLM], object],
                                                            message: str) -> None:
    with pytest.raises(OutriderError) as caught:
        call(llm)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not llm.engine.has_work


def test_a_model_without_a_tokenizer_takes_ids() -> None:
    with LLM(LoadedModel("bare", target_of(), None), drafter="none") as llm:
        assert llm.generate([[1, 2]], HOT)[0].text == ""
        with pytest.raises(RequestError, match="give token ids"):
            llm.generate("abc")


@pytest.mark.parametrize(("options", "message"), [
    ({"max_sequences": 0}, "max_sequences"), ({"prefill_tokens": 0}, "prefill_tokens"),
    ({"max_draft": -1}, "max_draft"), ({"context": 1.5}, "context"), ({"cache_tokens": True}, "cache_tokens"),
    ({"max_sequence": 2}, "max_sequence"), ({"drafter": "nonne"}, "did you mean 'none'"),
])
def test_bad_engine_options_are_one_line_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LLM(loaded(), **{"drafter": "none", **options})  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_request_that_can_never_fit_is_refused() -> None:
    with LLM(loaded(), drafter="none", cache_tokens=128) as llm, pytest.raises(CacheFullError, match="max_tokens"):
        assert len(llm.generate("abc", HOT, max_tokens=100).ids) == 100
        llm.generate("abc", max_tokens=126)


def test_the_context_a_model_was_loaded_for_is_respected() -> None:
    """Rotary tables end there, whatever the file says the model could do."""
    short = DecoderTarget(target_of().decoder, 24)
    with LLM(LoadedModel("short", short, None), drafter="none") as llm:
        assert len(llm.generate([[1] * 20], HOT)[0].ids) == 4
        with pytest.raises(RequestError, match="the context holds 24"):
            llm.generate([[1] * 24])


@dataclass(frozen=True, slots=True)
class Interruption:
    """Raise in this method at its n-th call."""

    method: str
    call: int


class Interrupted(HostDrafter[list[int]]):
    """Presses Ctrl-C in the middle of a round."""

    Config = Interruption

    def __init__(self, config: Interruption) -> None:
        super().__init__(config)
        self.calls: dict[str, int] = {}
        self.alive = 0

    def start(self, context: SequenceContext) -> list[int]:
        self._press("start")
        self.alive += 1
        return [context.token]

    def commit(self, states: object, commits: CommitBatch) -> None:
        self._press("commit")

    def observe(self, state: list[int], commit: Commit) -> None:
        raise NotImplementedError

    def draft(self, state: list[int], budget: Budget) -> DraftTree:
        self._press("draft")
        return DraftTree.chain([1, 2, 3][: min(budget.nodes, budget.depth)])

    def finish(self, state: list[int]) -> None:
        self.alive -= 1

    def _press(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        if (self.config.method, self.config.call) == (method, self.calls[method]):
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["start", "commit", "draft"])
@pytest.mark.parametrize("call", [1, 2, 5])
def test_ctrl_c_in_a_round_leaves_the_engine_clean(method: str, call: int) -> None:
    drafter = Interrupted(Interruption(method, call))
    prompts = [[index, 2, 3] for index in range(6)]
    penalised = Sampling.of(HOT, frequency_penalty=0.5)
    with LLM(loaded(), drafter=drafter, max_sequences=5) as llm:
        with pytest.raises(KeyboardInterrupt):
            llm.generate(prompts, penalised)
        assert not llm.engine.has_work and drafter.alive == 0
        llm.engine.check_integrity()
        found = llm.generate(prompts, penalised)
    with LLM(loaded(), drafter="none") as plain:
        assert [result.ids for result in plain.generate(prompts, penalised)] == [result.ids for result in found]


@pytest.mark.parametrize("stage", ["plan", "launch", "resolve"])
def test_ctrl_c_behind_any_stage_leaves_the_engine_clean(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LLM(loaded(), drafter="none") as llm:
        wanted = llm.generate("abc", HOT, frequency_penalty=0.5).ids
        calls = 0

        def interrupted(original: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                nonlocal calls
                calls += 1
                result = original(*arguments)
                if calls == 4:
                    raise KeyboardInterrupt
                return result
            return call

        monkeypatch.setattr(llm.engine, stage, interrupted(getattr(llm.engine, stage)))
        with pytest.raises(KeyboardInterrupt):
            llm.generate("abc", HOT, frequency_penalty=0.5)
        llm.engine.check_integrity()
        assert not llm.engine.has_work
        assert llm.generate("abc", HOT, frequency_penalty=0.5).ids == wanted


def test_two_engines_do_not_touch_each_other() -> None:
    """One model, two engines with memories of their own, taking turns: as if each were alone."""
    with LLM(loaded(), drafter="suffix") as first, LLM(loaded(), drafter="recycling") as second:
        alone = first.generate("abc", HOT, n=2)
        streams = [first.stream("abc", HOT), second.stream("abc", HOT)]
        told: list[tuple[int, ...]] = [(), ()]
        for one, other in zip(*streams, strict=False):
            told[0] += one.token_n
            told[1] += other.token_n
        for stream, index in zip(streams, (0, 1), strict=True):
            for delta in stream:
                told[index] += delta.token_n
        assert told[0][:10] == alone.ids[:10] == told[1][:10]
        first.engine.check_integrity()
        second.engine.check_integrity()
        assert first.engine.cache is not second.engine.cache


def test_drafters_come_in_every_form() -> None:
    forms: list[object] = ["none", NoDrafter, NoDrafter(), NoDrafter.Config(), NoDrafter(None, loaded().target),
                           Forger(Forger.Config({})), ["prompt_lookup", NoDrafter.Config(), NoDrafter]]
    texts = set()
    for form in forms:
        with LLM(loaded(), drafter=form) as llm:
            texts.add(llm.generate("abc", HOT).ids)
    assert len(texts) == 1
    with pytest.raises(ConfigError, match="no drafter takes"):
        LLM(loaded(), drafter=Forger.Config({}))


def test_closing_ends_what_is_running() -> None:
    llm = LLM(loaded(), drafter="none")
    sequences = llm.engine.add(Request((1, EOS), Sampling(max_tokens=50, n=10)))
    llm.engine.step()
    llm.close()
    assert {sequence.finish_reason for sequence in sequences} == {"abort"}
    llm.engine.check_integrity()


def test_a_failing_drafter_fails_the_call_alone() -> None:
    class Failing(NoDrafter):
        def propose(self, states: object, budgets: object) -> object:  # type: ignore[override]
            raise ValueError("broken")

    target = target_of()
    engine = Engine(target, Failing(None, target))
    sequence = engine.add(Request((1, 2), HOT))[0]
    with pytest.raises(ValueError, match="broken"):
        engine.run()
    engine.abort(sequence)
    engine.check_integrity()
    assert not engine.has_work


def test_ends_that_fail_keep_no_other_sequence() -> None:
    """A drafter that fails in a round and then cannot finish: the round's own error is told, and nothing is held."""
    class Failing(NoDrafter):
        def commit(self, states: object, commits: object) -> None:
            raise ValueError("broken")

        def finish(self, state: object) -> None:
            raise OSError("cannot finish")

    target = target_of()
    engine = Engine(target, Failing(None, target))
    sequences = [engine.add(Request((1, index), HOT))[0] for index in range(4)]
    with pytest.raises(ValueError, match="broken"):
        engine.run()
    engine.check_integrity()
    assert not engine.has_work and {sequence.finish_reason for sequence in sequences} == {"abort"}
