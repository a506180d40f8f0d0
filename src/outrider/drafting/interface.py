"""The one interface behind which every drafter stands.

    start(context) ──> state              a sequence begins; only its first token is known
    commit(states, commits)               tokens it gained, from prefill or a verified round, in order
    propose(states, budgets) ──> drafts   a tree for each, hanging from the last committed token (the anchor)
    finish(state)                         the sequence is over

A state is a pure function of its sequence's context and commits; what is learnt across sequences lives in `memory`.
Proposals may read anything, the keyed noise included: the target alone decides what is emitted.
`HostDrafter` is the short form for drafters that think in lists, one sequence at a time.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from outrider.cache.payload import Pages, Payload
from outrider.core.commit import Commit, CommitBatch
from outrider.core.noise import NoiseKey
from outrider.core.ratio_noise import DrawKey
from outrider.core.sampling import Sampling
from outrider.core.tree import EMPTY_TREE, Budget, DraftBatch, DraftTree
from outrider.target.interface import TargetView as TargetView  # part of this interface too

State = TypeVar("State")
Draws = Literal["nothing", "chains", "trees"]


class Vocabulary(Protocol):
    """How the target's tokens are spelt, as far as drafters may know: of a tokenizer, what they use."""

    @property
    def space_prefix(self) -> bool:
        """Whether encoding puts a space before the text."""

    def encode(self, text: str, *, special: bool) -> list[int]: ...
    def token_bytes(self, token: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SequenceContext:
    """What is known of a sequence when it starts.

    `token` is its first token; every other token comes through commits. The first `num_prompt` tokens are the prompt's,
    0 where that is not known. `prediction` is text the user expects, already tokenised, for drafters that copy. `scope`
    names whose memory may be read and written. Where there is a `draw`, the sequence is verified by a ratio rule: its
    drafts are `DrawnTree`s, drawn from the drafter's distribution with it. `pages` are there for drafters that declare
    payloads. `vocabulary` is the target's, where the tokens have any.
    """

    token: int
    sampling: Sampling = field(default_factory=Sampling)
    noise: NoiseKey = field(default_factory=lambda: NoiseKey(0))
    prediction: tuple[int, ...] = ()
    scope: str = ""
    draw: DrawKey | None = None
    pages: Pages | None = None
    num_prompt: int = 0
    vocabulary: Vocabulary | None = None


class Memory(Protocol):
    """What a drafter has learnt across sequences."""

    frozen: bool

    def save(self, path: Path) -> None: ...
    def load(self, path: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The config of a drafter that has nothing to set."""


class Drafter(ABC, Generic[State]):
    """A drafter, batched over sequences.

    Subclasses name a frozen dataclass `Config`: its fields are the drafter's options everywhere. `taps` are the target
    layers whose outputs it wants with each commit (0-based; the residual stream behind that layer, before any norm),
    `candidates` how many of the target's best next tokens it wants for every verified row, `payloads` what it keeps in
    the target's pages for every committed token. `draws` says what it can draw from a distribution of its own, which
    the ratio rules need; a drafter that says `chains` draws no branches. `drafts` is false for one that never does.
    `thinking` is the mode of the target that it was trained in, where that matters and is known.
    """

    Config: ClassVar[type[Any]] = NoOptions
    taps: tuple[int, ...] = ()
    candidates: int = 0
    payloads: tuple[Payload, ...] = ()
    draws: Draws = "nothing"
    drafts: ClassVar[bool] = True
    memory: Memory | None = None
    thinking: bool | None = None

    target: TargetView

    def __init__(self, config: Any = None, target: TargetView | None = None) -> None:
        self.config = self.Config() if config is None else config
        if target is not None:
            self.bind(target)

    def bind(self, target: TargetView) -> None:
        """Meet the target, once, before the first sequence: the place to load, check and allocate.

        Raises: OutriderError where this drafter cannot serve this target.
        """
        self.target = target

    @property
    def members(self) -> tuple[Drafter[Any], ...]:
        """The drafters that it is made of, each to be asked by itself; itself, unless it is a mixture."""
        return (self,)

    def part(self, state: State, member: int) -> Any:
        """A member's own part of a sequence's state."""
        return state

    def debt(self, state: State) -> int:
        """Tokens that its network has yet to read before it can propose; 0 without a network."""
        return 0

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the bits in `DraftTree.source_N`, lowest first."""
        return (type(self).__module__.rpartition(".")[2],)

    @property
    def read_bytes(self) -> int:
        """Bytes of weights that its network reads in a pass, as they are held; 0 without one."""
        return 0

    @abstractmethod
    def start(self, context: SequenceContext) -> State:
        """The state of a sequence that begins with `context.token`."""

    @abstractmethod
    def commit(self, states: Sequence[State], commits: CommitBatch) -> None:
        """Take note of tokens gained. May lag: work is best done when a proposal is wanted."""

    @abstractmethod
    def propose(self, states: Sequence[State], budgets: Sequence[Budget]) -> DraftBatch:
        """A tree for every state, within its budget; an empty budget gets the empty tree."""

    def fork(self, state: State, pages: Pages | None = None) -> State:
        """An independent copy, for a second sequence with the same past; its pages, if there are payloads."""
        return copy.deepcopy(state)

    def finish(self, state: State) -> None:
        """The sequence is over, at whatever point: give back what it held. Its pages are still there."""

    def check_integrity(self, states: Sequence[State]) -> None:
        """AssertionError where anything is held that none of `states`, all that live, accounts for (tests call it)."""

    def close(self) -> None:
        """No more sequences."""


class HostDrafter(Drafter[State]):
    """A drafter that works on the host, one sequence at a time: write `start`, `observe` and `draft`."""

    @abstractmethod
    def observe(self, state: State, commit: Commit) -> None:
        """One sequence has gained `commit.token_n`."""

    @abstractmethod
    def draft(self, state: State, budget: Budget) -> DraftTree:
        """A proposal within a budget that is not empty."""

    def commit(self, states: Sequence[State], commits: CommitBatch) -> None:
        for state, commit in zip(states, commits, strict=True):
            self.observe(state, commit)

    def propose(self, states: Sequence[State], budgets: Sequence[Budget]) -> DraftBatch:
        trees = [self.draft(state, budget) if budget else EMPTY_TREE
                 for state, budget in zip(states, budgets, strict=True)]
        return DraftBatch.of(trees, self.target.device)
