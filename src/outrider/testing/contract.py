"""The contract of a drafter, as functions that fail with what is broken.

Every check gets a fresh drafter where it needs one, and one that has learnt from a few requests and is frozen since.
The tokens that a drafter leads to are never at stake, the target decides them; what may break is that they come out
of the same engine: budgets overdrawn, states mixed up between sequences, memory that changes what it should not.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from outrider.cache.kv import KVCache
from outrider.core.drawn import DrawnTree
from outrider.core.request import Request
from outrider.core.tree import ANCHOR, Budget
from outrider.drafting.interface import Drafter
from outrider.drafting.syntax import drafter_of, parse
from outrider.engine.config import EngineConfig
from outrider.engine.engine import Engine
from outrider.target.interface import Target
from outrider.testing.tape import Actor, Recorder, Shape, Stage, Tape
from outrider.testing.tiny import tiny_model, tiny_requests

BUDGETS = (Budget(0, 0), Budget(1, 1), Budget(16, 16), Budget(5, 0), Budget(7, 2), Budget(64, 8), Budget(0, 3),
           Budget(3, 64), Budget(32, 32, 0.5), Budget(8, 8, 0.0, 0.6))
ROOMY = Budget(32, 16)
_CONFIG = EngineConfig(max_sequences=4, max_draft=12, prefill_tokens=16, cache_tokens=2048, context=256,
                       draft_policy="fixed:12")

Make = Callable[[], Drafter[Any]]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks work with: `learnt` has seen `tapes` and is frozen; `make` gives a fresh drafter.

    `plain` is what `none` generates for the toy requests.
    """

    target: Target
    make: Make
    learnt: Drafter[Any]
    tapes: tuple[Tape, ...]
    cache: KVCache[Any]
    plain: tuple[tuple[int, ...], ...]

    @property
    def stage(self) -> Stage:
        return Stage(self.learnt, self.cache)


def check_drafter(drafter: type[Drafter[Any]] | Make | str, config: object = None, *,
                  target: Target | None = None) -> None:
    """Runs the contract suite. Raises: AssertionError, naming the check, for the first thing that is broken.

    `drafter` is a class (with `config`, or its default one), a function that makes a new drafter at each call, or the
    drafter syntax. `target` is a toy of 96 tokens unless given.
    """
    target = target or tiny_model().target
    make = _maker(drafter, config, target)
    case = _name_failure(_same_tokens.__doc__, lambda: _same_tokens(make, target))
    _name_failure(_abort_anywhere.__doc__, lambda: _abort_anywhere(make, target))
    for check in (_budgets, _batches, _purity, _rebuilding, _forks, _scopes, _memory):
        _run(check, case)
    if case.learnt.draws == "nothing":
        return
    drawn = replace(case, tapes=tuple(tape.drawn() for tape in case.tapes))
    for check in (_draws, _budgets, _batches):
        _run(check, drawn)
    sampled = replace(drawn, tapes=tuple(tape for tape in drawn.tapes if tape.context.draw is not None))
    for check in (_purity, _rebuilding, _forks):  # these look at one tape at a time: greedy ones were seen above
        _run(check, sampled)


def _maker(drafter: type[Drafter[Any]] | Make | str, config: object, target: Target) -> Make:
    if isinstance(drafter, str):
        spec = parse(drafter)
        return lambda: spec.build(target)
    if isinstance(drafter, type):
        chosen: type[Drafter[Any]] = drafter
        given = chosen.Config() if config is None else config
        return lambda: chosen(given, target)
    assert config is None, "a config goes with a class; a function makes its drafter with one"
    return lambda: drafter_of(drafter(), target)


def _run(check: Callable[[Case], None], case: Case) -> None:
    _name_failure(check.__doc__, lambda: check(case))


def _name_failure(name: str | None, check: Callable[[], Found]) -> Found:
    try:
        return check()
    except AssertionError as error:
        raise AssertionError(f"{(name or '').splitlines()[0]} {error}") from error


def _frozen(drafter: Drafter[Any]) -> Drafter[Any]:
    if drafter.memory is not None:
        drafter.memory.frozen = True
    return drafter


def _generate(target: Target, drafter: Drafter[Any], requests: Sequence[Request] = ()) -> list[tuple[int, ...]]:
    return _run_requests(Engine(target, drafter, None, _CONFIG), requests)


def _run_requests(engine: Engine, requests: Sequence[Request] = ()) -> list[tuple[int, ...]]:
    added = [sequence for request in requests or tiny_requests() for sequence in engine.add(request)]
    engine.run()
    engine.check_integrity()
    engine.drafter.check_integrity(())
    return [tuple(sequence.output) for sequence in added]


def _same_tokens(make: Make, target: Target) -> Case:
    """The tokens are those of `none`, greedy and sampled, for a drafter that goes on learning."""
    plain = _generate(target, drafter_of("none", target))
    drafter = Recorder(make())
    engines = [Engine(target, drafter, None, _CONFIG) for _ in range(2)]
    for turn, engine in zip(("first", "second"), engines, strict=True):
        for index, (found, right) in enumerate(zip(_run_requests(engine), plain, strict=True)):
            assert found == right, f"{turn} run, sequence {index}: {found}, expected {right}"
    tapes = tuple(drafter.tapes[: len(plain)])  # of the first run: one that has learnt commits more at a time
    return Case(target, make, _frozen(drafter.inner), tapes, engines[0].cache, tuple(plain))


def _abort_anywhere(make: Make, target: Target) -> None:
    """Sequences can end at any round, and nothing of them is left."""
    drafter = Recorder(make())
    for rounds in range(9):
        engine = Engine(target, drafter, None, _CONFIG)
        added = [sequence for request in tiny_requests() for sequence in engine.add(request)]
        for _ in range(rounds):
            engine.step()
        for sequence in added[rounds % 3 :: 2]:
            engine.abort(sequence)
        drafter.inner.check_integrity([recorded.state for recorded in drafter.live])
        engine.step()
        for sequence in added:
            engine.abort(sequence)
        engine.check_integrity()
        assert not drafter.live, "states of ended sequences were never finished"
        drafter.inner.check_integrity(())


def _budgets(case: Case) -> None:
    """Trees are valid and within any budget, an empty budget gets the empty tree, in any mixture."""
    stage = case.stage
    actors = [stage.replay(tape) for tape in case.tapes]
    for shift in range(len(BUDGETS)):
        stage.shapes(actors, [BUDGETS[(shift + index) % len(BUDGETS)] for index in range(len(actors))])
    assert case.learnt.propose([], []).trees == (), "no states, no trees"
    _finish(stage, actors)


def _batches(case: Case) -> None:
    """A sequence gets the same proposal alone and in a batch, after any of its commits."""
    stage = case.stage
    for share in (0.3, 0.6, 1.0):
        cut = [tape.cut(int(share * len(tape.commits))) for tape in case.tapes]
        alone = [_proposal(stage, tape) for tape in cut]
        actors = [stage.start(tape) for tape in cut]
        for step in range(max(len(tape.commits) for tape in cut)):
            rows = [row for row, tape in enumerate(cut) if step < len(tape.commits)]
            stage.tell([actors[row] for row in rows], [cut[row].commits[step] for row in rows])
        together = stage.shapes(actors, [ROOMY] * len(actors))
        for index, (one, other) in enumerate(zip(alone, together, strict=True)):
            assert one == other, f"sequence {index}: alone {one}, in a batch {other}"
        _finish(stage, actors)


def _purity(case: Case) -> None:
    """Asking twice gives the same, whatever was asked before, and nobody else's dice are thrown."""
    before, stage = _dice(), case.stage
    for tape in case.tapes:
        actor = stage.start(tape)
        for commit in tape.commits[:-1]:
            stage.tell([actor], [commit])
            stage.shapes([actor], [BUDGETS[len(commit.token_n) % len(BUDGETS)]])
        stage.tell([actor], tape.commits[-1:])
        first, second = (stage.shapes([actor], [ROOMY]) for _ in range(2))
        assert first == second, f"asked twice: {first}, then {second}"
        quiet = [_proposal(stage, tape)]
        assert first == quiet, f"asked on the way: {first}, only at the end: {quiet}"
        stage.finish(actor)
    assert _dice() == before, "a global random generator was used: take randomness from `context.noise`"


def _rebuilding(case: Case) -> None:
    """A state after many commits equals one that was told the whole prefix at once."""
    stage = case.stage
    for index, tape in enumerate(case.tapes):
        for count in (1, len(tape.commits) // 2, len(tape.commits)):
            whole, steps = _proposal(stage, tape.cut(count).joined()), _proposal(stage, tape.cut(count))
            assert whole == steps, f"sequence {index}, {count} commits: step by step {steps}, at once {whole}"


def _forks(case: Case) -> None:
    """A fork starts where its original stands; then neither notices the other."""
    stage = case.stage
    for tape, other in zip(case.tapes, case.tapes[1:], strict=False):
        half = len(tape.commits) // 2
        actor = stage.replay(tape.cut(half))
        fork = stage.fork(actor)
        wanted = stage.shapes([actor], [ROOMY])
        assert stage.shapes([fork], [ROOMY]) == wanted, "a fork proposes something else than its original"
        for commit in other.commits[1:]:
            stage.tell([fork], [commit])
        stage.shapes([fork], [ROOMY])
        assert stage.shapes([actor], [ROOMY]) == wanted, "commits to a fork changed its original"
        stage.finish(fork)
        for commit in tape.commits[half:]:
            stage.tell([actor], [commit])
        found = stage.shapes([actor], [ROOMY])[0]
        assert found == _proposal(stage, tape), "a finished fork took something along"
        stage.finish(actor)


def _draws(case: Case) -> None:
    """Under a ratio rule drafts are drawn and say from what; alone or in a batch the tokens are the same."""
    stage, is_chains = case.stage, case.learnt.draws == "chains"
    for tape in case.tapes:
        actor = stage.replay(tape)
        tree = case.learnt.propose([actor.state], [ROOMY]).trees[0]
        if len(tree) and tape.context.draw is not None:
            assert isinstance(tree, DrawnTree), "a draft was not drawn, though its context has a `draw`"
            tree.check(ROOMY)
            is_chain = list(tree.parent_N) == list(range(ANCHOR, len(tree) - 1))
            assert is_chain or not is_chains, "a drafter that says it draws chains drew a tree"
        stage.finish(actor)
    config = replace(_CONFIG, rule="block" if is_chains else "ratio")  # the strictest that takes its trees
    together, alone = _run_requests(Engine(case.target, case.make(), None, config)), list[tuple[int, ...]]()
    for request in tiny_requests():
        if request.sampling.is_greedy:
            alone.append(case.plain[len(alone)])
        else:
            alone += _run_requests(Engine(case.target, case.make(), None, config), [request])
    assert together == alone, f"rule '{config.rule}': alone {alone}, in a batch {together}"


def _scopes(case: Case) -> None:
    """What was learnt in one scope is not drafted in another."""
    drafter = case.make()
    secret = [Request(request.token_n, request.sampling, request.prediction, "secret") for request in tiny_requests()]
    _generate(case.target, drafter, secret)
    _frozen(drafter)
    told, ignorant = (Stage(one, case.cache) for one in (drafter, _frozen(case.make())))
    for tape in case.tapes:
        for count in (0, len(tape.commits) // 2, len(tape.commits)):
            found, wanted = (_proposal(stage, tape.cut(count)) for stage in (told, ignorant))
            assert found == wanted, f"with another user's outputs {found}, without {wanted}"


def _memory(case: Case) -> None:
    """Memory saved and loaded proposes the same; without memory, so does a second drafter."""
    fresh = _frozen(case.make())
    memory, learnt = fresh.memory, case.learnt.memory
    if memory is not None and learnt is not None:
        with tempfile.TemporaryDirectory() as folder:
            learnt.save(Path(folder) / "memory")
            memory.load(Path(folder) / "memory")
        memory.frozen = True
    for index, tape in enumerate(tape for tape in case.tapes if not tape.context.scope):
        found, wanted = (_proposal(stage, tape) for stage in (Stage(fresh, case.cache), case.stage))
        assert found == wanted, f"sequence {index}: {found}, expected {wanted}"


def _proposal(stage: Stage, tape: Tape) -> Shape:
    actor = stage.replay(tape)
    found = stage.shapes([actor], [ROOMY])[0]
    stage.finish(actor)
    return found


def _finish(stage: Stage, actors: Sequence[Actor]) -> None:
    for actor in actors:
        stage.finish(actor)
    stage.drafter.check_integrity(())


def _dice() -> tuple[object, ...]:
    """The states of the generators that everybody shares."""
    return random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())
