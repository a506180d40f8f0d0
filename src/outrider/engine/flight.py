"""Launching a round: one forward pass over all that was planned, then the walk, both on the target's device.

    on the spot      the caller computes, or on a GPU tells it to, and gets the flight when that is done
    ahead            a CPU's passes run one after another in a thread of their own (kernels let go of the interpreter);
                     a GPU's are in its queue anyway. The caller goes on; `land` waits

Packing is done by the caller in either case, so that nothing but tensors and the slots is touched under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.core.commit import VerdictBatch
from outrider.core.step import Step
from outrider.engine.choices import Chooser
from outrider.engine.plan import Plan
from outrider.engine.sequence import Sequence
from outrider.engine.slots import Slots
from outrider.policy.interface import Load
from outrider.target.interface import ForwardOutput, Target
from outrider.target.pack import pack


@dataclass(frozen=True, slots=True)
class Computed:
    """What a pass gave, and the times it took."""

    output: ForwardOutput
    verdicts: VerdictBatch
    target_s: float
    verify_s: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a drafter wants of every pass: features of these layers, and so many of the best tokens of each row."""

    taps: tuple[int, ...]
    candidates: int


@dataclass(frozen=True, slots=True)
class Flight:
    """A launched round. `prefill`: it has prompts; once it is home, none can be told. `land` waits for its end."""

    plan: Plan
    sequences: tuple[Sequence, ...]
    loads: tuple[Load, ...]
    prefill: bool
    land: Callable[[], Computed]

    @property
    def is_vain(self) -> bool:
        """Whether nobody waits for its results any more."""
        return all(sequence.finish_reason is not None for sequence in self.sequences)


class Launcher:
    """Owns the thread in which rounds fly ahead, if any ever do."""

    def __init__(self, target: Target, cache: KVCache[Any], wanted: Wanted, chooser: Chooser, slots: Slots) -> None:
        self._target, self._cache, self._wanted = target, cache, wanted
        self._chooser, self._slots = chooser, slots
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[Computed] | None = None

    def launch(self, plan: Plan, ahead: bool = False) -> Flight:
        """Raises: what packing raises; what computing raises, unless it goes ahead: then landing does."""
        begin_s = time.perf_counter()
        entries = [part.entry() for part in plan.parts]
        loads = tuple(Load(entry.count, self._cache.length(entry.row) + entry.ahead) for entry in entries)
        step = pack(self._cache, entries, self._target.device, plan.best_only and not self._wanted.candidates)
        slots = [part.sequence.slot for part in plan.choosing]
        compute = partial(self._compute, plan, step, slots, time.perf_counter() - begin_s)
        prefill = plan.has_prompts
        land = self._sent(compute) if ahead else self._done(compute())
        return Flight(plan, tuple(part.sequence for part in plan.parts), loads, prefill, land)

    def rest(self) -> None:
        """Waits until nothing is under way, whatever becomes of it."""
        if self._last is not None:
            wait([self._last])  # those before it are done then

    def close(self) -> None:
        """Ends the thread."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _done(self, computed: Computed) -> Callable[[], Computed]:
        """A GPU still works when a round has been launched: the wait for it is time of the pass, not of the host."""
        return partial(_itself if self._target.device.type == "cpu" else _waited, computed)

    def _sent(self, compute: Callable[[], Computed]) -> Callable[[], Computed]:
        if self._target.device.type != "cpu":
            return _fetched(compute())
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "outrider-rounds")
        self._last = self._thread.submit(compute)
        return self._last.result

    def _compute(self, plan: Plan, step: Step, slots: list[int], packing_s: float) -> Computed:
        begin_s = time.perf_counter()
        choosing = plan.choosing
        if any(part.ahead for part in plan.parts):  # the device alone knows their newest tokens
            step.token_T[step.logit_row_R[list(plan.logit_rows)]] = self._slots.anchors(slots)
        output = self._target.forward(step, self._cache, self._wanted.taps)
        forward_s = time.perf_counter()
        verdicts = self._chooser.verdicts(output.logits_RV, plan.draft, [part.sequence for part in choosing],
                                          plan.logit_rows, [part.position for part in choosing])
        self._slots.advance(slots, verdicts)
        return Computed(output, verdicts, packing_s + forward_s - begin_s, time.perf_counter() - forward_s)


def _itself(computed: Computed) -> Computed:
    return computed


def _waited(computed: Computed) -> Computed:
    begin_s = time.perf_counter()
    computed.verdicts.count_B.cpu()
    return replace(computed, verify_s=computed.verify_s + time.perf_counter() - begin_s)


def _fetched(computed: Computed) -> Callable[[], Computed]:
    """Verdicts on their way to pinned memory; what is called later waits for these alone, not for rounds behind."""
    def fetch(on_device: Tensor) -> Tensor:
        return torch.empty_like(on_device, device="cpu", pin_memory=True).copy_(on_device, non_blocking=True)

    verdicts = computed.verdicts
    fetched = VerdictBatch(fetch(verdicts.token_BW), fetch(verdicts.node_BW), fetch(verdicts.count_B))
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def land() -> Computed:
        begin_s = time.perf_counter()
        arrived.synchronize()
        return replace(computed, verdicts=fetched, verify_s=computed.verify_s + time.perf_counter() - begin_s)

    return land
