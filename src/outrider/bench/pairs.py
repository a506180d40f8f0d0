"""Every drafter against `none` on a real model: greedy and sampled, alone and in a batch, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from outrider.bench.identity import MARGIN, Divergence, audit
from outrider.bench.run import BASELINE, BenchConfig, new_engine, requests_of
from outrider.bench.settings import Setting
from outrider.bench.workload import NAMES, Prompt, Workload, load
from outrider.core.request import Request
from outrider.core.sampling import Sampling
from outrider.engine.prompt import PromptReader
from outrider.errors import ConfigError
from outrider.target.load import LoadedModel
from outrider.target.native import NativeTarget

ALL_DRAFTED = "fixed:64"  # unless a drafter is named with a policy: what pays is less, and would test less


@dataclass(frozen=True, slots=True)
class Reference:
    """What plain decoding gives, one request after the other."""

    requests: tuple[Request, ...]
    outputs: tuple[list[int], ...]

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.outputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One drafter against the reference; `tokens` were all compared."""

    drafter: str
    temperature: float
    setting: Setting
    tokens: int
    tokens_per_round: float
    exact: bool
    divergences: tuple[Divergence, ...]

    @property
    def num_faults(self) -> int:
        """Divergences that nothing excuses: any of an exact target, and elsewhere those too wide to be near-ties."""
        return sum(self.exact or divergence.gap > MARGIN for divergence in self.divergences)


def mixed_workload(names: Sequence[str] = NAMES) -> Workload:
    """The shipped prompts in turn, one of each workload, until all are used."""
    turns = zip_longest(*(load(name).prompts for name in names))
    return Workload("mixed", tuple(prompt for prompt in chain.from_iterable(turns) if prompt is not None))


def reference(model: LoadedModel, workload: Workload, sampling: Sampling, num_tokens: int) -> Reference:
    """Plain outputs of as many prompts as it takes to have `num_tokens`, or of all."""
    config = BenchConfig(drafters=(), sampling=sampling)
    wanted = requests_of(workload, PromptReader(model.tokenizer), config)
    engine = new_engine(model, BASELINE, wanted, config)
    outputs: list[list[int]] = []
    for request in wanted:
        sequence = engine.add(request)[0]
        engine.run()
        outputs.append(sequence.output)
        if sum(map(len, outputs)) >= num_tokens:
            break
    engine.close()
    return Reference(tuple(wanted[: len(outputs)]), tuple(outputs))


def check_pair(model: LoadedModel, drafter: str, against: Reference, setting: Setting) -> Pair:
    """Runs `drafter` over the reference's requests in a setting, and audits every token."""
    sampling = against.requests[0].sampling
    config = BenchConfig(drafters=(drafter,), sampling=sampling, batch=setting.batch, prefill=setting.prefill,
                         draft_policy=ALL_DRAFTED)
    engine = new_engine(with_threads(model, setting.threads), drafter, against.requests, config)
    if setting.warm:
        for request in against.requests:
            engine.add(request)
        engine.run()
    sequences = [engine.add(request)[0] for request in against.requests]
    engine.run()
    divergences = audit(engine, against.requests, against.outputs, [sequence.output for sequence in sequences])
    engine.check_integrity()
    engine.close()
    rounds = sum(sequence.stats.rounds for sequence in sequences)
    emitted = sum(sequence.stats.emitted for sequence in sequences)
    return Pair(drafter=drafter, temperature=sampling.temperature, setting=setting, tokens=against.num_tokens,
                tokens_per_round=emitted / max(rounds, 1), exact=model.target.info.exact, divergences=divergences)


def with_threads(model: LoadedModel, threads: int) -> LoadedModel:
    """The same model on another number of threads, its weights shared; 0 leaves it as it is."""
    if not threads:
        return model
    if not isinstance(model.target, NativeTarget):
        raise ConfigError(f"threads {threads}: only native ops can be set to a number of threads of their own")
    return replace(model, target=model.target.with_threads(threads))


def plainly(workload: Workload) -> Workload:
    """The prompts as text to be continued, for models without a chat template."""
    texts = ["\n\n".join(message.content for message in prompt.messages) if prompt.text is None else prompt.text
             for prompt in workload.prompts]
    return Workload(workload.name, tuple(Prompt(text) for text in texts))
