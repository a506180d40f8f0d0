"""Load: so many requests at once, or so many a second as they fall."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outrider.bench.serve.wire import Exchange, Site, exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Closed loop: `at_once` requests are kept in flight. Open loop, with `at_once` 0: `rate` requests a second begin
    on average, with the gaps of a Poisson process, whether earlier ones have been answered or not.
    """

    at_once: int = 0
    rate: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.at_once} at once" if self.at_once else f"{self.rate:g} per s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it, in the order in which requests were due. `cpu_s` is what this client's process computed."""

    exchanges: tuple[Exchange, ...]
    begin_s: float
    end_s: float
    cpu_s: float


def arrivals(rate: float, count: int, seed: int) -> list[float]:
    """When each of `count` requests begins, in seconds from the start; the first begins at once."""
    draw = random.Random(seed)
    times_s = [0.0]
    while len(times_s) < count:
        times_s.append(times_s[-1] + draw.expovariate(rate))
    return times_s[:count]


def put_load(site: Site, messages: Sequence[bytes], level: Level, seed: int, timeout_s: float) -> Load:
    """Sends all messages and waits for all replies."""
    run = _closed(site, messages, level.at_once, timeout_s) if level.at_once else _open(
        site, messages, arrivals(level.rate, len(messages), seed), timeout_s)
    cpu_s, begin_s = time.process_time(), time.perf_counter()
    exchanges = asyncio.run(run)
    end_s = max((one.end_s for one in exchanges), default=begin_s)
    return Load(exchanges=tuple(exchanges), begin_s=begin_s, end_s=end_s, cpu_s=time.process_time() - cpu_s)


async def _closed(site: Site, messages: Sequence[bytes], at_once: int, timeout_s: float) -> list[Exchange]:
    waiting = iter(enumerate(messages))
    found: dict[int, Exchange] = {}

    async def work(waiting: Iterator[tuple[int, bytes]]) -> None:
        for number, message in waiting:  # shared by all workers: each request is taken once
            found[number] = await exchange(site, message, timeout_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work(waiting))
    return [found[number] for number in range(len(messages))]


async def _open(site: Site, messages: Sequence[bytes], times_s: Sequence[float], timeout_s: float) -> list[Exchange]:
    """A request that begins late because this machine was busy still counts from when it was due."""
    start_s = time.perf_counter()

    async def send(message: bytes, due_s: float) -> Exchange:
        await asyncio.sleep(due_s - time.perf_counter())
        return await exchange(site, message, timeout_s, due_s)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(send(message, start_s + time_s))
                 for message, time_s in zip(messages, times_s, strict=True)]
    return [task.result() for task in tasks]
