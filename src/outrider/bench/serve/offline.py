"""The same load on an engine in this process, with no server around it: what the server's share of the time is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from outrider.bench.serve.answer import Answer, Drafts
from outrider.bench.serve.figures import figures
from outrider.bench.serve.load import Level
from outrider.bench.serve.trial import Plan, Round
from outrider.bench.workload import Prompt
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.engine.llm import LLM
from outrider.engine.sequence import Sequence as Running
from outrider.errors import ConfigError


@dataclass(slots=True)
class _Flight:
    """A sequence under way, and when its text came."""

    sequence: Running
    begin_s: float
    texts_s: list[float]

    def answer(self, now_s: float) -> Answer:
        stats = self.sequence.stats
        return Answer(begin_s=self.begin_s, last_s=now_s, texts_s=tuple(self.texts_s), tokens=self.sequence.num_output,
                      prompt_tokens=stats.prompt_tokens, cached_tokens=stats.cached_tokens,
                      drafts=Drafts(stats.drafted, stats.accepted), finish_reason=self.sequence.finish_reason or "")


class Offline:
    """A contender of the same kind as a server. Closed loop only."""

    def __init__(self, name: str, llm: LLM, speculation: bool | None) -> None:
        self.name = name
        self._llm = llm
        self._speculation = speculation

    def run(self, prompts: Sequence[Prompt], plan: Plan, level: Level, number: int) -> Round:
        if not level.at_once:
            raise ConfigError("--offline: there is no --rate without a server, give --concurrency")
        requests = list(self._requests(prompts, plan, level, number))
        cpu_s, begin_s = time.process_time(), time.perf_counter()
        answers = sorted(self._answers(iter(requests), level.at_once), key=lambda answer: answer.begin_s)
        end_s = max(answer.last_s for answer in answers)
        return Round(answers=tuple(answers), figures=figures(answers, begin_s, end_s, level.at_once),
                     client=(time.process_time() - cpu_s) / (end_s - begin_s))

    def _requests(self, prompts: Sequence[Prompt], plan: Plan, level: Level, number: int) -> Iterator[Request]:
        """As a server would make them of what it is asked."""
        reader, wish = self._llm.prompts, plan.wish
        sampling = Sampling(temperature=wish.temperature, seed=wish.seed, max_tokens=wish.max_tokens, ignore_eos=True)
        control = None if self._speculation is None else {"enabled": self._speculation}
        for index in range(plan.count(level)):
            prompt = prompts[index % len(prompts)]
            scope = f"{self.name}-{level.name}-{number}-{index // len(prompts)}" if wish.is_fresh else ""
            messages = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
            text = reader.render(messages, {}) if prompt.text is None else prompt.text
            yield reader.request(text, sampling, None, scope, control)

    def _answers(self, waiting: Iterator[Request], at_once: int) -> Iterator[Answer]:
        flights = {flight.sequence: flight for flight in self._begun(waiting, at_once)}
        while flights:
            gained = self._llm.engine.step()
            now_s = time.perf_counter()
            for sequence in gained:
                if sequence.delta().text:
                    flights[sequence].texts_s.append(now_s)
            for sequence in [sequence for sequence in flights if sequence.finish_reason is not None]:
                yield flights.pop(sequence).answer(now_s)
                flights |= {flight.sequence: flight for flight in self._begun(waiting, 1)}

    def _begun(self, waiting: Iterable[Request], count: int) -> Iterator[_Flight]:
        for _, request in zip(range(count), waiting, strict=False):
            yield _Flight(self._llm.engine.add(request)[0], time.perf_counter(), [])
