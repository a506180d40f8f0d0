"""`Engine`: one loop for every drafter, as plan, launch, resolve.

    plan      who runs, what is drafted                    (host)
    launch    one forward over all rows, then the walk     (device)
    resolve   tokens, text, cache, commits, finish         (host)
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from outrider.core.commit import VerdictBatch
from outrider.core.request import Request
from outrider.core.stats import Stats
from outrider.core.tree import DraftTree
from outrider.drafting.interface import Drafter
from outrider.engine.choices import Chooser, chooser_for
from outrider.engine.config import EngineConfig
from outrider.engine.limits import limits_of
from outrider.engine.masks import MaskedChooser, pruned
from outrider.engine.needs import check_needs, servable
from outrider.engine.plan import Plan, ask_for, joined, pending_tokens
from outrider.engine.resolve import Ends, Settled, settle
from outrider.engine.rules import verifier
from outrider.engine.scheduler import Scheduler
from outrider.engine.seats import Seats
from outrider.engine.sequence import Sequence
from outrider.engine.text import TextStream
from outrider.engine.watch import EngineLoad, Observer, Times, tell
from outrider.errors import RequestError
from outrider.io.tokenizer import Tokenizer
from outrider.policy.choose import policy_of
from outrider.policy.interface import Fate, Load, Pass, Policy
from outrider.target.interface import ForwardOutput, Target
from outrider.target.load import context_size
from outrider.target.pack import pack


@dataclass(frozen=True, slots=True)
class Flight:
    """A launched round, and the times it took. `prefill`: it has prompts; once it is home, none can be told."""

    plan: Plan
    output: ForwardOutput
    verdicts: VerdictBatch
    loads: tuple[Load, ...]
    prefill: bool
    target_s: float
    verify_s: float


class Engine:
    """Generates for many sequences at once. Not thread-safe: one thread adds, steps and aborts."""

    def __init__(self, target: Target, drafter: Drafter[Any], tokenizer: Tokenizer | None = None,
                 config: EngineConfig | None = None, chooser: Chooser | None = None,
                 policy: Policy | None = None) -> None:
        check_needs(drafter, target)
        self.target, self.drafter, self.tokenizer = target, drafter, tokenizer
        self.config = config or EngineConfig()
        chooser = chooser or chooser_for(target.info, target.device)
        self.chooser = MaskedChooser(verifier(self.config.rule, drafter, chooser), target.spec.eos_ids)
        self.context = context_size(target.context, self.config.context)
        self.cache = target.new_cache(self.config.cache_of(self.context), drafter.payloads)
        self.policy = policy_of(self.config.policy, drafter, target) if policy is None else policy
        self.stats = Stats()
        self.seats = Seats(target, drafter, self.policy, self.config.rule, self.cache, self.config.max_sequences,
                           self.stats)
        scratch = max((payload.scratch for payload in drafter.payloads), default=0)
        self.scheduler = Scheduler(self.config, self.seats, self.context, max(self.config.max_draft, scratch))
        self._observer: Observer | None = None
        self._ends = Ends(target.spec.eos_ids, self.context)

    @property
    def has_work(self) -> bool:
        return self.scheduler.has_work

    def add(self, request: Request) -> list[Sequence]:
        """Queue a request; one sequence for each of its `n` samples. Raises: RequestError, CacheFullError."""
        self._check(request)
        seeded = replace(request, sampling=request.sampling.seeded())
        stops = request.sampling.stop
        added = [Sequence(seeded, sample, TextStream(self.tokenizer, stops)) for sample in range(request.sampling.n)]
        self.scheduler.add(added)
        return added

    def step(self) -> list[Sequence]:
        """One round; returns the sequences that gained tokens or ended."""
        plan = self.plan()  # changes nothing that would not bear doing again
        if not plan.parts:
            return []
        try:
            return self.resolve(self.launch(plan))
        except BaseException:  # Ctrl-C too: sequences settled by half cannot go on
            with suppress(Exception):  # a drafter that cannot even finish says less than the first error
                self._abort_all([part.sequence for part in plan.parts])
            raise

    def run(self) -> None:
        """Rounds until nothing is left to do."""
        while self.has_work:
            self.step()

    def abort(self, sequence: Sequence) -> None:
        """End a sequence at any point; what it has emitted stays readable."""
        if sequence.finish_reason is None:
            sequence.finish_reason = "abort"
            sequence.text.finish()
        self.scheduler.remove(sequence)

    def plan(self) -> Plan:
        """Admit what fits, collect pending tokens, draft for the sequences that decode."""
        self.scheduler.admit()
        running = [(sequence, self.cache.length(sequence.row)) for sequence in self.scheduler.running]
        pending = pending_tokens(running, self.config.prefill_tokens)
        begin_s = time.perf_counter()
        # Prefill gives the first token alone, however its chunks fall, so that a round means the same everywhere.
        decoding = [index for index, item in enumerate(pending) if item.sequence.num_output]
        most = self.config.max_draft if self.target.info.rollback else 0  # what is drafted may have to be dropped
        asks = [ask_for(pending[index].sequence, most, self.context) for index in decoding]
        trees: dict[int, DraftTree] = {}
        if asks:
            beside = sum(len(item.token_P) for item in pending if not item.sequence.num_output)
            drafted = self.policy.draft(asks, beside)
            trees = {index: pruned(pending[index].sequence, tree)
                     for index, tree in zip(decoding, servable(drafted, self.target.info), strict=True)}
        return joined(pending, trees, self.target.device, time.perf_counter() - begin_s)

    def launch(self, plan: Plan) -> Flight:
        """One forward pass over everything planned, then verification on the same device."""
        begin_s = time.perf_counter()
        entries = [part.entry() for part in plan.parts]
        loads = tuple(Load(entry.count, self.cache.length(entry.row)) for entry in entries)
        step = pack(self.cache, entries, self.target.device)
        slots = [part.sequence.slot for part in plan.choosing]
        anchor_row_B = step.logit_row_R[list(plan.logit_rows)]
        step.token_T[anchor_row_B] = self.seats.slots.anchors(slots)
        output = self.target.forward(step, self.cache, self.drafter.taps)
        forward_s = time.perf_counter()
        choosing = [part.sequence for part in plan.choosing]
        verdicts = self.chooser.verdicts(output.logits_RV, plan.draft, choosing, plan.logit_rows,
                                         [len(sequence.tokens) for sequence in choosing])
        self.seats.slots.advance(slots, verdicts)
        return Flight(plan, output, verdicts, loads, plan.has_prompts, forward_s - begin_s,
                      time.perf_counter() - forward_s)

    def resolve(self, flight: Flight) -> list[Sequence]:
        """Bring a round home: emitted tokens, the cache, commits for the drafter, ends."""
        if self.target.device.type != "cpu":
            flight = _landed(flight)
        begin_s = time.perf_counter()
        count, logits_RV = self.drafter.candidates, flight.output.logits_RV
        top_RK = self.chooser.runners_up(logits_RV, count) if count else []
        settled = settle(flight.plan, flight.output, flight.verdicts, self.cache, self._ends, top_RK,
                         self.stats)
        told = [item for item in settled if item.commit.token_n]
        self.seats.tell([item.sequence for item in told], [item.commit for item in told])
        self._inform(flight, settled, time.perf_counter() - begin_s)
        if self._observer is not None:
            host_s = time.perf_counter() - begin_s
            tell(self._observer, flight.plan, settled,
                 Times(flight.plan.draft_s, flight.target_s, flight.verify_s, host_s))
        for item in settled:
            if item.sequence.finish_reason is not None:
                self.scheduler.remove(item.sequence)
        self._count(flight, settled, time.perf_counter() - begin_s)
        return [item.sequence for item in settled if item.emitted or item.sequence.finish_reason is not None]

    def load(self) -> EngineLoad:
        """How busy it is; any thread may ask."""
        shape = self.cache.shape
        used = (shape.num_blocks - self.cache.num_available) * shape.block_size
        return EngineLoad(len(self.scheduler.running), self.scheduler.num_waiting, used, shape.num_slots)

    def watch(self, observer: Observer | None) -> None:
        """Tell an observer of every round, or nobody."""
        self._observer = observer

    def close(self) -> None:
        """Abort what is left and let the drafter go."""
        try:
            self._abort_all([*self.scheduler.waiting, *self.scheduler.running])
        finally:
            self.drafter.close()

    def check_integrity(self) -> None:
        """AssertionError where a block leaked, or device and host disagree on a sequence."""
        self.seats.check_integrity(self.scheduler.running)

    def _abort_all(self, sequences: list[Sequence]) -> None:
        """The others too where ending one fails."""
        with ExitStack() as ends:
            for sequence in sequences:
                ends.callback(self.abort, sequence)

    def _check(self, request: Request) -> None:
        if not request.token_n:
            raise RequestError("the prompt is empty: expected at least one token")
        bad = next((token for token in request.token_n if not 0 <= token < self.target.vocab_size), None)
        if bad is not None:
            raise RequestError(f"token id {bad} is outside the vocabulary of {self.target.vocab_size}")
        if len(request.token_n) >= self.context:
            raise RequestError(f"the prompt has {len(request.token_n)} tokens, but the context holds {self.context} "
                               "and needs room for an answer: shorten the prompt")
        limits_of(request.speculation, self.drafter)
        bad = next((token for token in request.sampling.logit_bias if not 0 <= token < self.target.vocab_size), None)
        if bad is not None:
            raise RequestError(f"logit_bias: token id {bad} is outside the vocabulary of {self.target.vocab_size}")
        self.scheduler.check(len(request.token_n), request.sampling.max_tokens)

    def _inform(self, flight: Flight, settled: list[Settled], host_s: float) -> None:
        """Tells the policy what became of the drafts and what the round took so far."""
        fates = [Fate(item.sequence.track, item.commit.tree, item.commit.verdict.path)
                 for item in settled
                 if item.commit.verdict is not None and item.sequence.num_output > item.emitted]
        self.policy.settle(fates, Pass(flight.loads, flight.target_s + flight.verify_s,
                                       flight.plan.draft_s + host_s, flight.prefill))

    def _count(self, flight: Flight, settled: list[Settled], host_s: float) -> None:
        """Times of a round, shared evenly by the sequences that took part."""
        share = 1.0 / len(settled)
        now_s = time.perf_counter()
        for item in settled:
            stats = item.sequence.stats
            stats.draft_s += flight.plan.draft_s * share
            stats.target_s += flight.target_s * share
            stats.verify_s += flight.verify_s * share
            stats.host_s += host_s * share
            if item.emitted:
                item.sequence.clock(now_s)
        for name, value in (("draft_s", flight.plan.draft_s), ("target_s", flight.target_s),
                            ("verify_s", flight.verify_s), ("host_s", host_s)):
            setattr(self.stats, name, getattr(self.stats, name) + value)


def _landed(flight: Flight) -> Flight:
    """A device still works when a round has been launched: the wait for it is time of the pass, not of the host."""
    begin_s = time.perf_counter()
    flight.verdicts.count_B.cpu()
    return replace(flight, verify_s=flight.verify_s + time.perf_counter() - begin_s)
