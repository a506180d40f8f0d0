"""Every engine over the same requests, in turns: one request of ours, the same of each peer, then the next.

A machine whose speed drifts slows all of them alike. Only one computes at any moment. Every pass begins without
anything remembered: our engines are new, and peers are told to forget after every request.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from outrider.bench.peers.process import Answer, PeerProcess
from outrider.bench.run import BASELINE, BenchConfig, new_engine
from outrider.core.request import Request
from outrider.engine.engine import Engine
from outrider.target.load import LoadedModel

OURS = "outrider"
SETTLE_S = 0.05  # between two turns: threads that wait for work a while before they sleep are asleep by then


class Contestant(Protocol):
    """One engine in one mode; ours are named by their drafter."""

    engine: str
    mode: str

    def begin(self, requests: Sequence[Request]) -> None:
        """A pass over `requests` begins."""

    def answer(self, request: Request) -> Answer:
        """The request's tokens, with times."""

    def close(self) -> None:
        """The pass is over."""


class OurContestant:
    """Our own engine with one drafter."""

    engine = OURS

    def __init__(self, model: LoadedModel, drafter: str, config: BenchConfig) -> None:
        self.mode = drafter
        self._model, self._config = model, config
        self._engine: Engine | None = None

    def begin(self, requests: Sequence[Request]) -> None:
        self._engine = new_engine(self._model, self.mode, requests, self._config)

    def answer(self, request: Request) -> Answer:
        assert self._engine is not None, "no pass has begun"
        self._engine.cache.forget()  # as the peers do: the prompt is computed whole
        first_s, begin_s = 0.0, time.perf_counter()
        sequence = self._engine.add(request)[0]
        while sequence.finish_reason is None:
            self._engine.step()
            if not first_s and sequence.num_output:
                first_s = time.perf_counter() - begin_s
        return Answer(list(sequence.output), first_s, time.perf_counter() - begin_s)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class PeerContestant:
    """A peer's process in one of its modes; several may share the process."""

    def __init__(self, process: PeerProcess, mode: str, stop_ids: Sequence[int]) -> None:
        self.engine, self.mode = process.name, mode
        self._process, self._stop_ids = process, stop_ids

    def begin(self, requests: Sequence[Request]) -> None:
        pass

    def answer(self, request: Request) -> Answer:
        return self._process.generate(self.mode, request.token_n, request.sampling.max_tokens, self._stop_ids)

    def close(self) -> None:
        """The process is the line-up's, which ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One engine in one mode over one workload; times are medians over passes.

    `tok_s` is decoding speed, tokens after the first over the time since it; `prefill_tok_s` the prompt's tokens over
    the time to the first token; `total_s` whole requests. `ratio` and `ratio_total` (tokens over `total_s`) are to
    our plain decoding. `same` is the share of requests with exactly its tokens: peers round differently.
    """

    workload: str
    engine: str
    mode: str
    prompts: int
    tokens: int
    tok_s: float
    prefill_tok_s: float
    total_s: float
    ratio: float
    ratio_total: float
    same: float
    tok_s_range: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one contestant made of all requests once."""

    answers: list[Answer]
    num_prompt: int

    @property
    def tokens(self) -> int:
        return sum(len(answer.ids) for answer in self.answers)

    @property
    def tok_s(self) -> float:
        decode_s = sum(answer.total_s - answer.first_s for answer in self.answers)
        return (self.tokens - len(self.answers)) / decode_s if decode_s > 0 else 0.0

    @property
    def prefill_tok_s(self) -> float:
        return self.num_prompt / max(sum(answer.first_s for answer in self.answers), 1e-9)

    @property
    def total_s(self) -> float:
        return sum(answer.total_s for answer in self.answers)


def warm_up(contestants: Sequence[Contestant], request: Request) -> None:
    """A few tokens of everybody: threads, memory, whatever is set up at first use. Raises: OutriderError."""
    short = replace(request, sampling=replace(request.sampling, max_tokens=4))
    for contestant in contestants:
        contestant.begin([short])
        contestant.answer(short)
        contestant.close()


def hold(workload: str, contestants: Sequence[Contestant], requests: Sequence[Request], repeat: int,
         tell: Callable[[str], None]) -> list[Standing]:
    """All contestants over all requests, `repeat` times; the first one is our plain decoding. Raises: OutriderError."""
    assert (contestants[0].engine, contestants[0].mode) == (OURS, BASELINE), "the baseline comes first"
    num_prompt = sum(len(request.token_n) for request in requests)
    passes: list[list[_Pass]] = [[] for _ in contestants]
    for number in range(repeat):
        answers: list[list[Answer]] = [[] for _ in contestants]
        for contestant in contestants:
            contestant.begin(requests)
        for index, request in enumerate(requests):
            for contestant, found in zip(contestants, answers, strict=True):
                tell(f"{workload}: pass {number + 1} of {repeat}, request {index + 1} of {len(requests)}: "
                     f"{contestant.engine} {contestant.mode}")
                time.sleep(SETTLE_S)
                found.append(contestant.answer(request))
        for done, found in zip(passes, answers, strict=True):
            done.append(_Pass(found, num_prompt))
        for contestant in contestants:
            contestant.close()
    return [_standing(workload, contestant, done, passes[0])
            for contestant, done in zip(contestants, passes, strict=True)]


def _standing(workload: str, contestant: Contestant, passes: Sequence[_Pass], base: Sequence[_Pass]) -> Standing:
    def median(read: Callable[[_Pass], float], of: Sequence[_Pass] = passes) -> float:
        return statistics.median(read(one) for one in of)

    def ratio(read: Callable[[_Pass], float]) -> float:
        below = median(read, base)
        return median(read) / below if below else 0.0

    first, speeds = passes[0], [one.tok_s for one in passes]
    same = [answer.ids == wanted.ids for answer, wanted in zip(first.answers, base[0].answers, strict=True)]
    return Standing(
        workload=workload, engine=contestant.engine, mode=contestant.mode, prompts=len(first.answers),
        tokens=first.tokens, tok_s=median(lambda one: one.tok_s), prefill_tok_s=median(lambda one: one.prefill_tok_s),
        total_s=median(lambda one: one.total_s), ratio=ratio(lambda one: one.tok_s),
        ratio_total=ratio(lambda one: one.tokens / one.total_s if one.total_s else 0.0),
        same=sum(same) / len(same), tok_s_range=(min(speeds), max(speeds)))
