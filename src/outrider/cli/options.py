"""The flags that several verbs share, as dataclasses to inherit from. Imports no torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from outrider.core.rule import RuleName
from outrider.core.sampling import Sampling
from outrider.drafting.auto import AUTO
from outrider.errors import ConfigError, UnknownReferenceError

Words = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]
Ids = Annotated[tuple[int, ...], tyro.conf.UseAppendAction]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Which model, on what."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A path, a catalogue name (see `outrider models`), owner/repo or ollama:name:tag; or a drafter that names its
    target, which is then loaded with it.
    """
    dtype: str = ""
    """float32, bfloat16 or float16 of ops cuda, reference and hf; unless given float32 on the CPU, bfloat16 on CUDA."""
    device: str = ""
    """cpu or cuda; unless given, CUDA where there is one."""
    ops: str = ""
    """native, kernels on packed weights; cuda, Triton kernels; reference, readable torch; hf, any family, by the
    library transformers. Unless given, native on the CPU and cuda on CUDA, where they can run.
    """
    weights: str = ""
    """q8 or q4 rounds every matrix to 8 or 4 bits; unless given, they are as in the file. For native and cuda ops."""
    threads: int = 0
    """Threads of the CPU; 0 takes all that are available."""

    def check(self) -> None:
        """Raises: ConfigError for numbers that make no sense."""
        check_counts(self, "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions(LoadOptions):
    """Which model, on what, with which drafter."""

    drafter: str = AUTO
    """NAME[:key=value;key=value], joined by + into a mixture; auto: all that look things up; none decodes plainly."""
    max_draft: int = 64
    """Tokens drafted in a round, at most."""
    draft_policy: str = ""
    """adaptive: as much as pays. fixed:K: up to K tokens in every round. Unless given, adaptive under --rule match."""
    context: int = 0
    """Tokens of prompt and answer together; 0: what the model was made for, at most 32768."""

    def check(self) -> None:
        """Raises: ConfigError for numbers that make no sense."""
        check_counts(self, "threads", "max_draft", "context")
        if self.draft_policy:
            from outrider.policy.choose import fixed_nodes

            fixed_nodes(self.draft_policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions(ModelOptions):
    """How one answer is chosen and where it stops."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the fewest tokens whose probabilities reach p."""
    min_p: float = 0.0
    """Keep tokens at least p times as likely as the most likely one."""
    repetition_penalty: float = 1.0
    """Above 1: tokens of prompt and answer become less likely."""
    presence_penalty: float = 0.0
    """Taken from the logit of every token that the answer has."""
    frequency_penalty: float = 0.0
    """The same for each time that the answer has it."""
    logit_bias: Words = ()
    """ID=BIAS, added to the logit of that token id; may be repeated."""
    seed: int | None = None
    """The same seed gives the same answer, with any drafter; none given: a fresh one."""
    max_tokens: int = 256
    """Length of the answer in tokens, at most."""
    stop: Words = ()
    """A text that ends the answer and is not shown; may be repeated."""
    stop_ids: Ids = ()
    """A token id that ends the answer; may be repeated."""
    ignore_eos: bool = False
    """Go on past the model's own end."""

    def sampling(self) -> Sampling:
        """Raises: ConfigError for values out of range."""
        self.check()
        given = {field.name: getattr(self, field.name) for field in fields(Sampling) if hasattr(self, field.name)}
        return Sampling.of(None, **{**given, "logit_bias": _read_biases(self.logit_bias)})


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions(SamplingOptions):
    """How an answer is chosen, and how drafts of it are verified."""

    rule: RuleName = "match"
    """match: the tokens of plain decoding. ratio, block: their law only, for drafters that draw, such as model."""
    explain: bool = False
    """Tell on standard error of every round what was drafted, by whom, why that much, what was accepted, its cost."""


def check_counts(options: object, *names: str, least: int = 0) -> None:
    """Raises: ConfigError where one of these fields is smaller than `least`."""
    for name in names:
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag}: got {getattr(options, name)}, expected {least} or more")


def read_text(path: Path, flag: str) -> str:
    """A text file that a flag names. Raises: UnknownReferenceError, ConfigError."""
    if not path.expanduser().is_file():
        raise UnknownReferenceError(f"{flag}: no file at '{path}'")
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{flag}: cannot read '{path}' as UTF-8 text ({error})") from None


def read_prompt(prompt: str | None, prompt_file: Path | None) -> str:
    """The prompt from where it was given: a word, `-` for standard input, a file. Raises: OutriderError."""
    if prompt_file is not None:
        if prompt is not None:
            raise ConfigError("got both a PROMPT and --prompt-file: give one of them")
        text = read_text(prompt_file, "--prompt-file")
    elif prompt == "-":
        text = sys.stdin.read()
    else:
        text = prompt or ""
    if not text:
        raise ConfigError("the prompt is empty: give a PROMPT, - to read standard input, or --prompt-file FILE")
    return text


def read_variables(words: tuple[str, ...]) -> dict[str, object]:
    """`NAME=VALUE` words as variables of a chat template; true, false and whole numbers are read as such."""
    variables: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"--template: got '{word}', expected NAME=VALUE such as enable_thinking=false")
        known = {"true": True, "false": False}
        variables[name] = known[value] if value in known else int(value) if value.isdecimal() else value
    return variables


def _read_biases(words: tuple[str, ...]) -> dict[int, float]:
    biases = {}
    for word in words:
        token, _, bias = word.partition("=")
        try:
            biases[int(token)] = float(bias)
        except ValueError:
            raise ConfigError(f"--logit-bias: got '{word}', expected ID=BIAS such as 42=-1.5") from None
    return biases
