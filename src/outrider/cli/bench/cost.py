"""`outrider bench cost`: what it costs to check n tokens at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outrider.cli.bench.screen import show, tell
from outrider.cli.flags import parse
from outrider.cli.options import LoadOptions
from outrider.errors import ConfigError

if TYPE_CHECKING:
    from outrider.bench.cost import Cost

SUMMARY = "the time of checking n tokens at once, beside the time of reading the weights"
BUFFER_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCost(LoadOptions):
    """Time one forward pass of 1 to 64 tokens behind contexts of several lengths: medians of 5, in random order.

    The floor F is the time that reading the file's bytes of all tensors that a token needs takes at the memory's
    measured bandwidth: no plain decoding that reads the file's weights for each token is faster.
    """

    context: str = "0,1024,4096"
    """Lengths of context in tokens, separated by commas."""
    drafter: str = ""
    """Also time a round of this drafter: a commit of a few tokens and a proposal."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    options = parse(BenchCost, argv, "outrider bench cost")
    options.check()
    contexts = read_contexts(options.context)
    cost = _measured(options, contexts)

    from outrider.bench.cost_report import document, draft_summary, draft_table, summary, table

    show(table(cost))
    print(summary(cost))
    if cost.draft is not None:
        show(draft_table(cost.draft))
        print(draft_summary(cost.draft))
    if options.json:
        print(document(cost))
    return 0


def read_contexts(words: str) -> tuple[int, ...]:
    """`0,1024` as numbers, each once, ascending. Raises: ConfigError."""
    try:
        contexts = sorted({int(word) for word in words.split(",")})
    except ValueError:
        contexts = [-1]
    if contexts[0] < 0:
        raise ConfigError(f"--context: got '{words}', expected numbers of tokens separated by commas, such as 0,1024")
    return tuple(contexts)


def _measured(options: BenchCost, contexts: tuple[int, ...]) -> Cost:
    from outrider.bench.bandwidth import read_bandwidth
    from outrider.bench.cost import SIZES, Cost, DraftCost, bytes_per_token, measure, rows
    from outrider.bench.draft_cost import ROOM, draft_rows, measure_draft
    from outrider.cli.session import open_model
    from outrider.drafting.syntax import drafter_of
    from outrider.io.checkpoint import open_checkpoint
    from outrider.io.reference import resolve

    model = open_model(options, max(contexts) + (ROOM if options.drafter else max(SIZES)))
    threads = model.target.threads
    tell("reading memory")
    before_gb_s = read_bandwidth(threads, BUFFER_BYTES)
    drafter = drafter_of(options.drafter, model.target) if options.drafter else None
    medians = measure(model.target, contexts, tell)
    drafted = {} if drafter is None else measure_draft(model.target, drafter, contexts, tell)
    after_gb_s = read_bandwidth(threads, BUFFER_BYTES)
    if before_gb_s is None or after_gb_s is None:
        raise ConfigError(f"measuring the memory's bandwidth needs {BUFFER_BYTES >> 20} MiB more than is free")
    bandwidth_gb_s = max(before_gb_s, after_gb_s)  # noise can only lower it
    num_bytes = bytes_per_token(open_checkpoint(resolve(options.model, fetch=True)))
    floor_ms = num_bytes / bandwidth_gb_s / 1e6
    tell("")
    draft = None
    if drafter is not None:
        read_gb = drafter.read_bytes / 1e9
        draft = DraftCost(options.drafter, read_gb, read_gb / bandwidth_gb_s * 1e3, draft_rows(drafted, medians))
    return Cost(model=model.name, threads=threads, bandwidth_gb_s=bandwidth_gb_s, file_gb=num_bytes / 1e9,
                packed_gb=model.target.weight_bytes / 1e9, floor_ms=floor_ms, rows=rows(medians, floor_ms),
                draft=draft)
