"""Every drafter that can be named, by discovery, through the contract suite; and drafters that must fail it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from itertools import cycle
from pathlib import Path

import pytest
import torch

from native_targets import library, random_weights
from outrider.core.commit import Commit, CommitBatch
from outrider.core.tree import Budget, DraftBatch, DraftTree
from outrider.drafting import registry
from outrider.drafting.interface import HostDrafter, SequenceContext
from outrider.ops.native.matrix import Kind
from outrider.target.load import LoadedModel
from outrider.target.native import NativeTarget
from outrider.target.tiny import TINY
from outrider.testing import check_drafter, tiny_model
from outrider.testing.tiny_drafts import tiny_draft

# Drafters that cannot do without options, or are worth trying with several. The draft model's name leads to a toy.
VARIANTS: dict[str, tuple[str, ...]] = {
    "model": ("model:target=toy", "model:target=toy;thrift=no", "model:target=toy;branch=3;nodes=12;thrift=no",
              "model:target=toy;max=12;min=0.05;thrift=no"),
    "mix": ("prompt_lookup+suffix", "suffix+recycling+model:target=toy;thrift=no", "none+ngram_hash:entries=65536",
            "dflash:checkpoint=dflash+suffix+eagle3:checkpoint=eagle3"),
    "ngram_hash": ("ngram_hash:entries=65536", "ngram_hash:entries=65536;native=no"),
    "prompt_lookup": ("prompt_lookup", "prompt_lookup:native=no"),
    "suffix": ("suffix", "suffix:native=no"),
    "dflash": ("dflash:checkpoint=dflash", "dflash:checkpoint=dflash-sliding;branch=3;nodes=12",
               "dflash:checkpoint=dflash2;branch=2;min=0.05", "dflash:checkpoint=dspark;max=4",
               "dflash:checkpoint=dspark-gated", "dflash:checkpoint=dspark-rnn;branch=2"),
    "eagle3": ("eagle3:checkpoint=eagle3", "eagle3:checkpoint=eagle3-reduced;branch=1;max=9",
               "eagle3:checkpoint=eagle3.1;branch=3;nodes=30;min=0.05"),
    "specblock": ("specblock:checkpoint=specblock", "specblock:checkpoint=specblock;blocks=3;beam=3;nodes=40"),
}


def variants() -> list[str]:
    found: list[str] = []
    for name in registry.names():
        options = fields(registry.find(name).Config)
        needed = [one.name for one in options if one.default is MISSING and one.default_factory is MISSING]
        assert name in VARIANTS or not needed, f"'{name}' needs {needed}: add what to test it with to VARIANTS"
        found += VARIANTS.get(name, (name,))
    return found


@pytest.mark.supports("drafters", "{drafter}", "torch, CPU", "random")
@pytest.mark.parametrize("drafter", variants())
def test_contract(drafter: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: tiny_model(1, device))
    monkeypatch.setattr("outrider.drafting.neural.open_drafter", lambda path, **_: tiny_draft(path))
    check_drafter(drafter, target=tiny_model(0, device).target)


# The first variant of every drafter over kernels too, on packed weights, where a row's bits must not depend on others.
@pytest.mark.supports("drafters", "{name}", "kernels, CPU", "random")
@pytest.mark.parametrize(("name", "kind"), list(zip(registry.names(), cycle((Kind.FLOAT, Kind.NIBBLE_TWO_LEVEL)))))
def test_contract_over_kernels(name: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = LoadedModel("toy", packed_target(1, kind), None)
    monkeypatch.setattr("outrider.drafters.model.load_model", lambda *_, **__: toy)
    monkeypatch.setattr("outrider.drafting.neural.open_drafter", lambda path, **_: tiny_draft(path))
    check_drafter(VARIANTS.get(name, (name,))[0], target=packed_target(0, kind))


def packed_target(seed: int, kind: Kind) -> NativeTarget:
    spec = replace(TINY, head_size=16)
    return NativeTarget(library(), spec, random_weights(spec, seed, kind), 256, 1, "toy")


@dataclass(slots=True)
class Copied:
    tokens: list[int]


class Copier(HostDrafter[Copied]):
    """Right in all respects: repeats what followed the last token before. The bad ones below change one thing."""

    def start(self, context: SequenceContext) -> Copied:
        return Copied([context.token])

    def observe(self, state: Copied, commit: Commit) -> None:
        state.tokens += commit.token_n

    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        *past, last = state.tokens
        found = [index for index, token in enumerate(past) if token == last]
        return DraftTree.chain(state.tokens[found[-1] + 1 :][: min(budget.nodes, budget.depth)] if found else [])


class Overdrawn(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return super().draft(state, Budget(budget.nodes + 1, budget.depth + 1))


class TooDeep(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return super().draft(state, Budget(budget.nodes, budget.nodes))


class Unasked(Copier):
    def propose(self, states: Sequence[Copied], budgets: Sequence[Budget]) -> DraftBatch:
        return DraftBatch.of([self.draft(state, Budget(1, 1)) for state in states], self.target.device)


class Twins(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return DraftTree([1, 1], [-1, -1]) if budget.nodes > 1 else DraftTree()


class Foreign(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return DraftTree([self.target.vocab_size], [-1])


class Nameless(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return DraftTree([1], [-1], [2])


class Certain(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return DraftTree([1], [-1], [1], [2.0])


class Diced(Copier):
    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return DraftTree.chain([random.randrange(96)])


class MixedUp(Copier):
    """A batch of two or more gets the trees of its neighbours."""

    def propose(self, states: Sequence[Copied], budgets: Sequence[Budget]) -> DraftBatch:
        least = min(budgets, key=lambda budget: (budget.nodes, budget.depth), default=Budget(0, 0))
        return super().propose([*states[1:], *states[:1]], [least] * len(states))


class Forgetful(Copier):
    """Remembers only the newest commit."""

    def observe(self, state: Copied, commit: Commit) -> None:
        state.tokens = list(commit.token_n)


class Impatient(Copier):
    """Each proposal changes the next."""

    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        state.tokens.append(5 + len(state.tokens) % 6)
        return super().draft(state, budget)


class Shallow(Copier):
    """Forks share what they should not."""

    def fork(self, state: Copied) -> Copied:
        return Copied(state.tokens)


@dataclass(slots=True)
class Lore:
    """A memory of every sequence's tokens."""

    tokens: list[int]
    frozen: bool = False

    def save(self, path: Path) -> None:
        path.write_text(" ".join(map(str, self.tokens)))

    def load(self, path: Path) -> None:
        self.tokens = [int(word) for word in path.read_text().split()]


class Gossip(Copier):
    """Tells one user what another said."""

    def bind(self, target: object) -> None:
        super().bind(target)  # type: ignore[arg-type]
        self.lore = self.memory = Lore([])

    def observe(self, state: Copied, commit: Commit) -> None:
        super().observe(state, commit)
        if not self.lore.frozen:
            self.lore.tokens += commit.token_n

    def draft(self, state: Copied, budget: Budget) -> DraftTree:
        return super().draft(Copied([*self.lore.tokens, *state.tokens]), budget)


class Restless(Gossip):
    """Goes on learning when frozen."""

    def observe(self, state: Copied, commit: Commit) -> None:
        Copier.observe(self, state, commit)
        self.lore.tokens += commit.token_n


class Leaky(Copier):
    """Never gives back."""

    def __init__(self, config: object = None, target: object = None) -> None:
        self.held: list[int] = []
        super().__init__(config, target)  # type: ignore[arg-type]

    def start(self, context: SequenceContext) -> Copied:
        state = super().start(context)
        self.held.append(id(state))
        return state

    def check_integrity(self, states: Sequence[Copied]) -> None:
        assert sorted(self.held) == sorted(map(id, states)), "states of ended sequences are still held"


class Undrawn(Copier):
    """Says it draws, and hands over what it copied."""

    draws = "chains"


BAD: list[tuple[type[Copier], str]] = [
    (Overdrawn, "over a budget"), (TooDeep, "deeper than"), (Unasked, "budget of 0"), (Twins, "siblings carry"),
    (Foreign, "outside the vocabulary"), (Nameless, "source bits"), (Certain, "a score is a chance"),
    (Diced, "alone"), (MixedUp, "in a batch"), (Forgetful, "at once"), (Impatient, "asked"), (Shallow, "changed its"),
    (Gossip, "another user"), (Restless, "alone"), (Leaky, "still held"), (Undrawn, "was not drawn"),
]


def test_a_good_drafter_passes() -> None:
    check_drafter(Copier)
    check_drafter(lambda: Copier())


@pytest.mark.parametrize(("drafter", "message"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_a_bad_drafter_is_told_what_is_wrong(drafter: type[Copier], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_drafter(drafter)


def test_a_memory_that_saves_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scopes are looked at first; this one keeps them apart by having none, so only the memory check is run."""
    from outrider.testing import contract

    monkeypatch.setattr(contract, "_scopes", lambda case: None)
    check_drafter(Gossip)
    monkeypatch.setattr(Lore, "save", lambda self, path: path.write_text(""))
    with pytest.raises(AssertionError, match="saved and loaded"):
        check_drafter(Gossip)


def test_global_dice_are_found_even_where_they_change_nothing() -> None:
    class Nervous(Copier):
        def draft(self, state: Copied, budget: Budget) -> DraftTree:
            random.random()
            return super().draft(state, budget)

    with pytest.raises(AssertionError, match="take randomness from"):
        check_drafter(Nervous)


def test_a_batch_is_told_by_tensors_as_by_lists() -> None:
    """`CommitBatch` gives device drafters the same tokens, padded."""
    seen: list[tuple[list[list[int]], list[list[int]]]] = []

    class Padded(Copier):
        def commit(self, states: Sequence[Copied], commits: CommitBatch) -> None:
            rows = zip(commits.token_BW.tolist(), commits.count_B.tolist(), strict=True)
            seen.append(([row[:count] for row, count in rows], [list(commit.token_n) for commit in commits]))
            super().commit(states, commits)

    check_drafter(Padded)
    assert seen and all(one == other for one, other in seen)

