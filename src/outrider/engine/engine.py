"""`Engine`: one loop for every drafter, as plan, launch, resolve.

    plan      who runs, what is drafted                    (host)
    launch    one forward over all rows, then the walk     (device)
    resolve   tokens, text, cache, commits, finish         (host)

Where a round can be planned before the one before it is resolved, it is launched ahead of that:

    device   ── round N ────────────── round N+1 ───────────
    host        plan N+1, launch N+1   resolve N, plan N+2 …
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from typing import Any

from outrider.core.request import Request
from outrider.core.stats import Stats
from outrider.drafting.interface import Drafter
from outrider.engine.checked import CheckedChooser
from outrider.engine.choices import Chooser, chooser_for
from outrider.engine.config import EngineConfig
from outrider.engine.flight import Computed, Flight, Launcher, Wanted
from outrider.engine.limits import limits_of
from outrider.engine.masks import MaskedChooser
from outrider.engine.needs import can_overlap, check_needs, flies
from outrider.engine.plan import Plan
from outrider.engine.planner import Planner, margin_of, most_of
from outrider.engine.resolve import Ends, Settled, fate_of, settle
from outrider.engine.rules import verifier
from outrider.engine.scheduler import Scheduler
from outrider.engine.seats import Seats
from outrider.engine.sequence import Sequence
from outrider.engine.text import TextStream
from outrider.engine.watch import EngineLoad, Observer, Times, tell
from outrider.errors import RequestError
from outrider.io.tokenizer import Tokenizer
from outrider.ops.native.torch_threads import one_torch_thread
from outrider.policy.choose import policy_of
from outrider.policy.interface import Pass, Policy
from outrider.target.interface import Target
from outrider.target.load import context_size


class Engine:
    """Generates for many sequences at once. Not thread-safe: one thread adds, steps and aborts."""

    def __init__(self, target: Target, drafter: Drafter[Any], tokenizer: Tokenizer | None = None,
                 config: EngineConfig | None = None, chooser: Chooser | None = None,
                 policy: Policy | None = None) -> None:
        check_needs(drafter, target)
        self.target, self.drafter, self.tokenizer = target, drafter, tokenizer
        self.config = config or EngineConfig()
        chooser = chooser or chooser_for(target.info, target.device)
        checks = self.config.rule == "match" and target.device.type == "cpu"
        self.chooser: Chooser = (CheckedChooser if checks else MaskedChooser)(
            verifier(self.config.rule, drafter, chooser), target.spec.eos_ids)
        self.context, margin = context_size(target.context, self.config.context), margin_of(self.config, drafter)
        self.cache = target.new_cache(self.config.cache_of(self.context, margin), drafter.payloads)
        self.policy = policy_of(self.config.policy, drafter, target) if policy is None else policy
        self.stats = Stats()
        self.seats = Seats(target, drafter, self.policy, self.config.rule, self.cache, self.config.max_sequences,
                           self.stats, tokenizer)
        self.scheduler = Scheduler(self.config, self.seats, self.context, margin)
        self._planner = Planner(self.config, target, self.policy, self.scheduler, self.cache, self.context, margin,
                                most_of(self.config, drafter, target), self._fail)
        self._launcher = Launcher(target, self.cache, Wanted(tuple(drafter.taps), drafter.candidates), self.chooser,
                                  self.seats.slots)
        self._flight: Flight | None = None  # launched ahead, not resolved yet
        self._news: list[Sequence] = []
        self._observer: Observer | None = None
        self._in_turn = False
        self._ends = Ends(target.spec.eos_ids, self.context)
        self._overlaps = can_overlap(self.config.overlap, drafter, target)

    @property
    def has_work(self) -> bool:
        return self.scheduler.has_work

    def add(self, request: Request) -> list[Sequence]:
        """Queue a request; one sequence for each of its `n` samples. Raises: RequestError, CacheFullError."""
        self._check(request)
        seeded = replace(request, sampling=request.sampling.seeded())
        stops = request.sampling.stop
        added = [Sequence(seeded, sample, TextStream(self.tokenizer, stops)) for sample in range(request.sampling.n)]
        self.scheduler.waiting.add(added)
        return added

    def step(self) -> list[Sequence]:
        """One round; returns the sequences that gained tokens or ended. Raises: the error of one that failed in it."""
        news = self.round()
        for sequence in news:
            if sequence.error is not None:
                raise sequence.error
        return news

    def round(self) -> list[Sequence]:
        """The same; errors end those sequences alone that cannot go on, and are told by `Sequence.error`."""
        with one_torch_thread() if self.target.info.exact else nullcontext():
            return self._round()

    def _round(self) -> list[Sequence]:
        flying = () if self._flight is None else self._flight.sequences
        plan = self.plan()
        try:
            self._run(plan)
        except BaseException as error:  # Ctrl-C too: sequences settled by half cannot go on
            self._ground()
            involved = [*flying, *(part.sequence for part in plan.parts)]
            if not isinstance(error, Exception):
                with suppress(Exception):  # a drafter that cannot even finish says less than the first error
                    self._abort_all(involved)
                raise
            for sequence in involved:
                self._fail(sequence, error)
        news, self._news = self._news, []
        return news

    def run(self) -> None:
        """Rounds until nothing is left to do. Raises: what `step` raises."""
        while self.has_work:
            self.step()

    def abort(self, sequence: Sequence) -> None:
        """End a sequence at any point; what it has emitted stays readable."""
        sequence.end("abort")
        if not self._is_flying(sequence):
            self.scheduler.remove(sequence)
        elif self._flight is not None and self._flight.is_vain:
            self._land()

    def plan(self) -> Plan:
        """Admit what fits, collect pending tokens, draft for the sequences that decode."""
        for sequence in self.scheduler.admit():
            self._fail(sequence)
        plan = self._planner.plan(None if self._flight is None else self._flight.plan)
        if plan is None:
            self._land()
            plan = self._planner.plan()
        assert plan is not None, "with nothing under way there is a plan"
        return plan

    def launch(self, plan: Plan, ahead: bool = False) -> Flight:
        """One forward pass over everything planned, then verification on the same device; `ahead`: without waiting."""
        return self._launcher.launch(plan, ahead)

    def resolve(self, flight: Flight, computed: Computed) -> None:
        """Bring a round home: emitted tokens, the cache, commits for the drafter, ends."""
        begin_s = time.perf_counter()
        count, logits_RV = self.drafter.candidates, computed.output.logits_RV
        top_RK = self.chooser.runners_up(logits_RV, count) if count else []
        going = [sequence for sequence in flight.sequences if sequence.finish_reason is None]
        settled = settle(flight.plan, computed.output, computed.verdicts, self.cache, self._ends, top_RK, self.stats)
        told = [item for item in settled if item.commit.token_n]
        if told:
            self.seats.tell([item.sequence for item in told], [item.commit for item in told])
        self._inform(flight, computed, settled, time.perf_counter() - begin_s)
        if self._observer is not None:
            host_s = time.perf_counter() - begin_s
            tell(self._observer, settled, Times(flight.plan.draft_s, computed.target_s, computed.verify_s, host_s))
        gained = {item.sequence for item in settled if item.emitted}
        self._news += [sequence for sequence in going if sequence in gained or sequence.finish_reason is not None]
        for sequence in flight.sequences:
            if sequence.finish_reason is not None:
                self._end(sequence)
            elif sequence in gained:
                self.scheduler.waiting.release(sequence)
        self._count(flight, computed, settled, time.perf_counter() - begin_s)

    def load(self) -> EngineLoad:
        """How busy it is; any thread may ask."""
        shape = self.cache.shape
        used = (shape.num_blocks - self.cache.num_available) * shape.block_size
        return EngineLoad(len(self.scheduler.running), len(self.scheduler.waiting), used, shape.num_slots)

    def watch(self, observer: Observer | None, in_turn: bool = True) -> None:
        """Tell an observer of every round, or nobody. `in_turn`: before the next one is planned, so none goes ahead."""
        self._observer, self._in_turn = observer, in_turn and observer is not None

    def close(self) -> None:
        """Abort what is left and let the drafter go."""
        try:
            self._abort_all([*self.scheduler.waiting, *self.scheduler.running])
        finally:
            self._launcher.close()
            self.drafter.close()

    def check_integrity(self) -> None:
        """AssertionError where a block leaked, or device and host disagree on a sequence."""
        flying = () if self._flight is None else self._flight.sequences
        self.seats.check_integrity(self.scheduler.running, flying)

    def _run(self, plan: Plan) -> None:
        """Launch; bring home what was launched before; then this one too, unless it can go ahead of the next."""
        before, ahead, failed = self._flight, self._goes_ahead(plan), None
        self._flight = None
        try:
            if plan.parts:
                self._flight = self.launch(plan, ahead or before is not None)
        except Exception as error:
            failed = error
        if before is not None:
            self._home(before)
        if failed is not None:
            self._apart(plan, failed)
        elif self._flight is not None and (not ahead or self._flight.is_vain):
            self._land()

    def _goes_ahead(self, plan: Plan) -> bool:
        """Whether the round behind this one can be planned without its results."""
        return (self._overlaps and not self._in_turn
                and all(flies(part.sequence, self.drafter) for part in plan.parts))

    def _land(self) -> None:
        """Bring home what is under way."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._home(flight)

    def _home(self, flight: Flight) -> None:
        try:
            computed = flight.land()
        except Exception as error:
            self._ground()  # what was launched behind it has read what it did not leave
            self._apart(flight.plan, error)
        else:
            self.resolve(flight, computed)

    def _ground(self) -> None:
        """Wait for all that is under way, and forget it: its sequences stand where they stood before."""
        self._launcher.rest()
        flight, self._flight = self._flight, None
        for sequence in () if flight is None else flight.sequences:
            if sequence.finish_reason is not None:
                self._end(sequence)
            else:
                self.seats.slots.put(sequence.slot, sequence.tokens)

    def _apart(self, plan: Plan, error: Exception) -> None:
        """A pass has failed: each of its sequences by itself, so that it ends only those that fail again."""
        for part in plan.parts:
            sequence = part.sequence
            if sequence.finish_reason is not None:
                self._end(sequence)
            elif len(plan.parts) == 1:
                self._fail(sequence, error)
            else:
                self.seats.slots.put(sequence.slot, sequence.tokens)
                try:
                    flight = self.launch(plan.only(part))
                    self.resolve(flight, flight.land())
                except Exception as own:
                    self._fail(sequence, own)

    def _fail(self, sequence: Sequence, error: Exception | None = None) -> None:
        """It has ended, for an error of its own or this one."""
        if error is not None and sequence.finish_reason is None:
            sequence.fail(error)
        self._end(sequence)
        if sequence.error is not None:
            self._news.append(sequence)

    def _end(self, sequence: Sequence) -> None:
        """Take its seat back; later, if a round is under way that writes there."""
        if not self._is_flying(sequence):
            try:
                self.scheduler.remove(sequence)
            except Exception as error:
                sequence.fail(error)

    def _is_flying(self, sequence: Sequence) -> bool:
        return self._flight is not None and sequence in self._flight.sequences

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

    def _inform(self, flight: Flight, computed: Computed, settled: list[Settled], host_s: float) -> None:
        """Tells the policy what became of the drafts and what the round took so far."""
        fates = [fate for item in settled if item.part.is_round and (fate := fate_of(item)) is not None]
        self.policy.settle(fates, Pass(flight.loads, computed.target_s + computed.verify_s,
                                       flight.plan.draft_s + host_s, flight.prefill))

    def _count(self, flight: Flight, computed: Computed, settled: list[Settled], host_s: float) -> None:
        """Times of a round, shared evenly by the sequences that took part."""
        share = 1.0 / max(1, len(settled))
        now_s = time.perf_counter()
        times = (("draft_s", flight.plan.draft_s), ("target_s", computed.target_s),
                 ("verify_s", computed.verify_s), ("host_s", host_s))
        for item in settled:
            stats = item.sequence.stats
            for name, value in times:
                setattr(stats, name, getattr(stats, name) + value * share)
            if item.emitted:
                item.sequence.clock(now_s)
        for name, value in times:
            setattr(self.stats, name, getattr(self.stats, name) + value)
