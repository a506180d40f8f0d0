"""Programs and their threads: the same bits on any number of them, whoever else is about."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from native_programs import Bench, empty_step
from native_targets import library, native_target
from outrider.core.step import Step
from outrider.errors import ConfigError
from outrider.ops.native import recorder
from outrider.ops.native.program import Pool

REPETITIONS = 4
IS_SANITIZED = "san.so" in os.environ.get("LD_PRELOAD", "")


@pytest.fixture(scope="module")
def pools() -> dict[int, Pool]:
    return {threads: Pool(library(), threads) for threads in (1, 2, 3, 4)}


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 12), st.integers(0, 3))
def test_threads_do_not_show(pools: dict[int, Pool], seed: int, length: int, rows: int, picked: int) -> None:
    """A barrier that is missing shows here; one thread needs none."""
    bench, kernels = Bench(seed, length), library().kernels()
    wanted = bench.outputs(pools[1], rows, min(picked, rows), kernels)
    for _ in range(REPETITIONS):
        for pool in pools.values():
            found = bench.outputs(pool, rows, min(picked, rows), kernels)
            assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from((0, 1, 2, 5, 11, 32, 65, 130)))
def test_feed_forwards_in_one_piece_do_not_show(pools: dict[int, Pool], monkeypatch: pytest.MonkeyPatch, seed: int,
                                                length: int, rows: int) -> None:
    kernels, found = library().kernels(), Bench(seed, length)
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "gated", lambda instructions, values: instructions)
        wanted = Bench(seed, length).outputs(pools[1], rows, min(2, rows), kernels)
    for pool in pools.values():
        assert all(map(torch.equal, found.outputs(pool, rows, min(2, rows), kernels), wanted))


def test_a_growing_and_shrinking_number_of_rows_does_not_show(pools: dict[int, Pool]) -> None:
    kernels = library().kernels()
    used = Bench(1, 30)
    for rows in (1, 7, 3, 40, 0, 2, 64, 5):
        found, wanted = (bench.outputs(pools[2], rows, min(rows, 2), kernels) for bench in (used, Bench(1, 30)))
        assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_room_given_back_after_many_short_passes_does_not_show(pools: dict[int, Pool]) -> None:
    kernels = library().kernels()
    used = Bench(5, 30)
    for rows, times in ((300, 1), (3, 70), (64, 1), (299, 1), (65, 70), (2, 70), (300, 2)):
        wanted = Bench(5, 30).outputs(pools[1], rows, 2, kernels)
        for _ in range(times):
            found = used.outputs(pools[2], rows, 2, kernels)
            assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_pools_come_and_go() -> None:
    bench, kernels = Bench(2, 20), library().kernels()
    wanted = bench.outputs(Pool(library(), 1), 5, 2, kernels)
    gc.collect()
    before = threads_of_this_process()
    for threads in (2, 3, 4) * 5:
        assert torch.equal(bench.outputs(Pool(library(), threads), 5, 2, kernels)[1], wanted[1])
    gc.collect()
    assert threads_of_this_process() == before


def threads_of_this_process() -> int:
    return len(os.listdir("/proc/self/task"))


def test_one_pool_and_program_serve_several_callers(pools: dict[int, Pool]) -> None:
    benches, kernels = [Bench(seed, 25) for seed in (3, 4)], library().kernels()
    wanted = [bench.outputs(pools[1], 6, 2, kernels)[1] for bench in benches]
    good: list[bool] = []

    def call(which: int) -> None:
        for _ in range(15):
            good.append(torch.equal(benches[which % 2].outputs(pools[2], 6, 2, kernels)[1], wanted[which % 2]))

    callers = [threading.Thread(target=call, args=(which,)) for which in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert good == [True] * 60


@pytest.mark.parametrize("threads", [0, -3])
def test_a_pool_has_a_thread(threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads {threads}: expected 1 or more"):
        Pool(library(), threads)


@pytest.mark.skipif(sys.platform != "linux" or IS_SANITIZED, reason="the limit is Linux's; sanitizers need memory")
def test_more_threads_than_there_is_room_for_is_one_line() -> None:
    """In a process of its own, whose memory holds few stacks."""
    code = f"""
import resource, sys
from outrider.errors import NativeLibraryError
from outrider.ops.native.library import load
from outrider.ops.native.program import Pool
native = load()
used = int(open("/proc/self/statm").read().split()[0]) * {resource.getpagesize()}
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    Pool(native, 1000)
except NativeLibraryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "cannot start 1000 threads; ask for fewer with --threads\n"


@pytest.mark.skipif(not hasattr(os, "fork") or IS_SANITIZED, reason="no forks here, or none that start threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_gets_threads_of_its_own() -> None:
    bench, kernels, pool = Bench(5, 20), library().kernels(), Pool(library(), 2)
    wanted = bench.outputs(pool, 5, 2, kernels)[1]
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(bench.outputs(pool, 5, 2, kernels)[1], wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(bench.outputs(pool, 5, 2, kernels)[1], wanted)


def row_of(token: int, position: int) -> Step:
    step = empty_step()
    return Step(torch.tensor([token]), torch.tensor([position]), torch.tensor([0]), step.spans, step.logit_row_R)


@pytest.mark.parametrize("token", [-1, 96, 1 << 40])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    target = native_target("llama")
    with pytest.raises(IndexError, match="tokens outside the vocabulary"):
        target.forward(row_of(token, 0), target.new_cache(16))
