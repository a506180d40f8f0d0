"""`outrider bench record`: answers with everything that drafters would have proposed for them, into a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outrider.cli.bench.screen import tell
from outrider.cli.flags import parse
from outrider.cli.options import ModelOptions, check_counts
from outrider.core.sampling import Sampling
from outrider.errors import ConfigError

SUMMARY = "answers with all that drafters would propose, for `simulate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRecord(ModelOptions):
    """Decode plainly, ask every member of a drafter at every position, and write down what they say.

    The file is what `outrider bench simulate` compares policies with.
    """

    output: Path | None = None
    """The file to write, packed where it ends in .gz. Required."""
    prompts: str = "edit"
    """Shipped workloads (edit, code, chat, math, summary) or .jsonl files, separated by commas."""
    max_tokens: int = 256
    """Length of an answer in tokens, at most."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int = 0
    """Seed of every request."""
    limit: int = 0
    """Prompts of each workload, the first ones; 0 takes all."""


def run(argv: list[str]) -> int:
    options = parse(BenchRecord, argv, "outrider bench record")
    options.check()
    check_counts(options, "max_tokens", least=2)
    check_counts(options, "limit")
    if options.output is None:
        raise ConfigError("--output FILE is missing: name the file that the recording goes into")
    return _run(options, options.output.expanduser())


def _run(options: BenchRecord, output: Path) -> int:
    from outrider.bench.recorder import record
    from outrider.bench.recording import write
    from outrider.bench.run import BenchConfig
    from outrider.bench.workload import load
    from outrider.cli.session import open_model
    from outrider.drafting.syntax import spec_of

    spec_of(options.drafter)
    if not output.parent.is_dir():
        raise ConfigError(f"--output: there is no folder '{output.parent}'")
    workloads = [load(name.strip()) for name in options.prompts.split(",")]
    sampling = Sampling(temperature=options.temperature, seed=options.seed, max_tokens=options.max_tokens)
    model = open_model(options, options.context)
    config = BenchConfig(drafters=(options.drafter,), sampling=sampling, limit=options.limit,
                         max_draft=options.max_draft, context=options.context)
    recording = record(model, workloads, options.drafter, config, tell)
    write(output, recording)
    tell("")
    count = sum(answer.num_rounds for answer in recording.answers)
    print(f"{output}: {len(recording.answers)} answers, {count} positions, "
          f"{len(recording.setting.seats)} drafters, {output.stat().st_size >> 10} KiB")
    return 0
