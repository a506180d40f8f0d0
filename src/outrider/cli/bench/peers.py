"""`outrider bench peers`: other engines on the same prompts, in turns with ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outrider.cli.bench.place import machine_of
from outrider.cli.bench.screen import show, tell
from outrider.cli.flags import parse
from outrider.cli.options import ModelOptions, Words, check_counts
from outrider.drafting.auto import AUTO
from outrider.errors import ConfigError

if TYPE_CHECKING:
    from outrider.bench.peers.contest import Contestant
    from outrider.bench.peers.lineup import Entrants
    from outrider.core.request import Request

SUMMARY = "other engines over the same prompts, in turns with ours"
EXTRA = 80  # positions beyond prompt and answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPeers(ModelOptions):
    """Run our drafters and other engines over the same prompts in turns: greedy, with the same number of threads.

    Every peer runs in an environment of its own; a missing one is named with the command that installs it. Where it is:
    --peer NAME=PATH (a Python interpreter, or the binary of llama-server), $OUTRIDER_PEER_NAME, or the place that
    command names.
    """

    drafter: str = AUTO
    """Drafters of ours, separated by commas, each with @POLICY if it has one of its own; `none` comes first."""
    peer: Words = ()
    """llama.cpp, llama-server, openvino or transformers, or NAME=PATH; may be repeated."""
    peer_model: Words = ()
    """NAME=PATH, a converted model for a peer that is to read another file than ours; may be repeated."""
    draft_model: Path | None = None
    """A small model with which the peers that can do so draft as well."""
    modes: str = ""
    """The peers' modes, separated by commas, such as plain,lookup; unless given, all they have."""
    prompts: str = "edit"
    """Shipped workloads (edit, code, chat, math, summary) or .jsonl files, separated by commas."""
    max_tokens: int = 256
    """Length of an answer in tokens, at most."""
    limit: int = 0
    """Prompts of each workload, the first ones; 0 takes all."""
    repeat: int = 1
    """Passes, of which medians are printed."""
    json: bool = False
    """End with one JSON document on the last line."""


def run(argv: list[str]) -> int:
    options = parse(BenchPeers, argv, "outrider bench peers")
    options.check()
    check_counts(options, "max_tokens", "repeat", least=1)
    check_counts(options, "limit")

    from outrider.bench.peers.lineup import Wanted, look_up
    from outrider.bench.peers.report import missing_line

    modes = tuple(word.strip() for word in options.modes.split(",") if word.strip())
    entrants = look_up(Wanted(peers=options.peer, models=options.peer_model, modes=modes,
                              draft_model=options.draft_model))
    if not entrants.present:
        raise ConfigError("; ".join(map(missing_line, entrants.missing)))
    return _run(options, entrants)


def _run(options: BenchPeers, entrants: Entrants) -> int:
    from outrider.bench.entrant import entrant
    from outrider.bench.peers.contest import OurContestant, hold, warm_up
    from outrider.bench.peers.lineup import Lineup
    from outrider.bench.peers.report import document, missing_line, table
    from outrider.bench.run import BenchConfig, requests_of
    from outrider.bench.workload import load
    from outrider.cli.session import open_model
    from outrider.core.sampling import Sampling
    from outrider.drafting.syntax import split_runs
    from outrider.engine.prompt import PromptReader
    from outrider.io.reference import resolve

    drafters = split_runs(options.drafter)
    for drafter in drafters:
        entrant(drafter)  # a misspelt one must not cost the others' time
    workloads = [load(name.strip()) for name in options.prompts.split(",")]
    model = open_model(options, options.context)
    config = BenchConfig(drafters=tuple(drafters), sampling=Sampling(seed=0, max_tokens=options.max_tokens),
                         limit=options.limit, max_draft=options.max_draft, context=options.context,
                         draft_policy=options.draft_policy)
    reader = PromptReader(model.tokenizer)
    requests = {workload.name: requests_of(workload, reader, config) for workload in workloads}
    tell("starting peers")
    path, room = resolve(options.model, fetch=True), _room(requests.values())
    with Lineup(entrants, path, model.target.threads, room) as lineup:
        ours = [OurContestant(model, drafter, config) for drafter in config.all_drafters]
        contestants: list[Contestant] = [*ours, *lineup.contestants(model.target.spec.eos_ids)]
        warm_up(contestants, next(iter(requests.values()))[0])
        rows = [row for name, some in requests.items() for row in hold(name, contestants, some, options.repeat, tell)]
        tell("")
        show(table(rows))
        for one in lineup.missing:
            print(missing_line(one))
        if options.json:
            print(document(model.name, machine_of(model), lineup.versions(), rows, lineup.missing))
    return 0


def _room(requests: Iterable[Sequence[Request]]) -> int:
    """Positions for the longest request, and for what a peer drafts past its end."""
    longest = max(len(request.token_n) + request.sampling.max_tokens for some in requests for request in some)
    return longest + EXTRA
