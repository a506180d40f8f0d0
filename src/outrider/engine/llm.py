"""`LLM`: a model and a drafter in four verbs, synchronous."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from types import TracebackType
from typing import Any, overload

from outrider.constrain.compiler import Compiler
from outrider.constrain.grammar import Grammar
from outrider.core.constraint import Constraint
from outrider.core.request import Delta, Request, Result
from outrider.core.sampling import Sampling
from outrider.drafting.syntax import drafter_of
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.engine.pair import DEFAULT_DRAFTER as DEFAULT_DRAFTER
from outrider.engine.pair import paired
from outrider.engine.prompt import Control, Messages, Prompt, PromptReader
from outrider.engine.sequence import Sequence
from outrider.errors import ConfigError
from outrider.target.load import LoadedModel, load_model

Form = Grammar | Constraint | None


class LLM:
    """A model that generates, plainly or speculatively, always the same tokens.

    `model` is a path, a catalogue name, a hub id or a `LoadedModel`; `drafter` the drafter syntax, a Config, a Drafter
    or a list of these (a mixture). A drafter's directory as the model loads its target, with it as drafter. `options`
    are those of `EngineConfig`, the other arguments those of `load_model`.

    Example:
        with LLM("smollm2-135m-instruct") as llm:
            print(llm.generate("The sky is", max_tokens=16))
    """

    def __init__(self, model: str | Path | LoadedModel, *, drafter: object = DEFAULT_DRAFTER, dtype: str = "",
                 device: str = "", ops: str = "", weights: str = "", threads: int = 0, **options: Any) -> None:
        try:
            config = EngineConfig(**options)
        except TypeError as error:
            raise ConfigError(f"LLM: {error}") from None
        if not isinstance(model, LoadedModel):
            pair = paired(str(model), drafter, config.rule)
            drafter = pair.drafter
            model = load_model(pair.model, dtype=dtype, device=device, context=config.context, ops=ops,
                               weights=weights, threads=threads)
        self.model = model
        self.engine = Engine(model.target, drafter_of(drafter, model.target), model.tokenizer, config)
        self.prompts = PromptReader(model.tokenizer, self.engine.drafter.thinking)
        self.compiler = Compiler(model.tokenizer, model.target.vocab_size, model.target.spec.eos_ids)

    @overload
    def generate(self, prompts: str, sampling: Sampling | None = ..., *, prediction: str | None = ...,
                 scope: str = ..., speculation: Control = ..., constraint: Form = ..., **changes: Any) -> Result: ...
    @overload
    def generate(self, prompts: list[str] | list[list[int]], sampling: Sampling | None = ..., *,
                 prediction: str | None = ..., scope: str = ..., speculation: Control = ..., constraint: Form = ...,
                 **changes: Any) -> list[Result]: ...

    def generate(self, prompts: str | Seq[Prompt], sampling: Sampling | None = None, *, prediction: str | None = None,
                 scope: str = "", speculation: Control = None, constraint: Form = None,
                 **changes: Any) -> Result | list[Result]:
        """Complete one text, or a list of texts or token-id lists together in batches.

        `prediction` is text expected in the answer, for drafters that copy; `speculation` what may be drafted, as
        a `Speculation` or a mapping such as {"enabled": False}; `constraint` what the answers must look like, such as
        `constrain.json_schema({…})`. Raises: OutriderError.
        """
        chosen = Sampling.of(sampling, **changes)
        many: Seq[Prompt] = [prompts] if isinstance(prompts, str) else prompts
        held = self._held_to(constraint)
        results = self.run([self.prompts.request(prompt, chosen, prediction, scope, speculation, held)
                            for prompt in many])
        return results[0] if isinstance(prompts, str) else results

    def chat(self, messages: Messages, sampling: Sampling | None = None, *, prediction: str | None = None,
             scope: str = "", speculation: Control = None, constraint: Form = None,
             template: Mapping[str, object] | None = None, **changes: Any) -> Result:
        """The assistant's next message. `template` holds template variables such as `enable_thinking`."""
        text = self.prompts.render(messages, template or {})
        return self.generate(text, sampling, prediction=prediction, scope=scope, speculation=speculation,
                             constraint=constraint, **changes)

    def stream(self, prompt: str | Messages, sampling: Sampling | None = None, *, prediction: str | None = None,
               scope: str = "", speculation: Control = None, constraint: Form = None,
               template: Mapping[str, object] | None = None, **changes: Any) -> Iterator[Delta]:
        """The answer to a text or to messages, as it comes. Leaving the loop early aborts the request."""
        text = prompt if isinstance(prompt, str) else self.prompts.render(prompt, template or {})
        request = self.prompts.request(text, Sampling.of(sampling, **changes), prediction, scope, speculation,
                                       self._held_to(constraint))
        return self._deltas(self.engine.add(request))

    def run(self, requests: Seq[Request]) -> list[Result]:
        """Finish all of `requests`; on Ctrl-C or any error nothing of them stays behind."""
        added: list[list[Sequence]] = []
        try:
            for request in requests:
                added.append(self.engine.add(request))
            while any(sequence.finish_reason is None for group in added for sequence in group):
                self.engine.round()
            _raise_error(sequence for group in added for sequence in group)
        except BaseException:
            self._abort(added)
            raise
        return [Result(tuple(sequence.result() for sequence in group), request.token_n,
                       tuple(group[0].prompt_logprobs)) for request, group in zip(requests, added, strict=True)]

    def close(self) -> None:
        """Abort what is running and let the drafter go."""
        self.engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _held_to(self, form: Form) -> Constraint | None:
        return self.compiler.compile(form) if isinstance(form, Grammar) else form

    def _deltas(self, sequences: list[Sequence]) -> Iterator[Delta]:
        try:
            # Other streams and calls may move the engine on meanwhile: their rounds are news here too.
            while any(sequence.finish_reason is None or sequence.has_news for sequence in sequences):
                news = [sequence.delta() for sequence in sequences if sequence.has_news]
                yield from news
                if not news:
                    self.engine.round()
            _raise_error(sequences)
        finally:
            self._abort([sequences])

    def _abort(self, groups: list[list[Sequence]]) -> None:
        for group in groups:
            for sequence in group:
                self.engine.abort(sequence)


def _raise_error(sequences: Iterable[Sequence]) -> None:
    """The error that ended one of them, if any did."""
    for sequence in sequences:
        if sequence.error is not None:
            raise sequence.error
