"""`recycling`: a table of each token's last seen best successors, drafted as a tree of fixed shape.

The target's best candidates behind every verified row, rejected nodes included, are written into the table row of that
row's token; tokens that come without candidates (a prompt) move to the front of their predecessor's row. A template of
ranks, likeliest nodes first, is filled from the table breadth first and can be cut off anywhere.

Source: Luo et al., "Turning Trash into Treasure: Accelerating Inference of LLMs with Token Recycling"
(arXiv 2408.08696), §3.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outrider.cache.payload import Pages
from outrider.core.commit import Commit
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting import memory_file
from outrider.drafting.interface import HostDrafter, SequenceContext, TargetView
from outrider.drafting.memory_file import MemoryFile

_KIND, _VERSION = "recycling", 1
_MAX_SCOPES = 8
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class TemplateNode:
    """A place of the tree: the `rank`-th successor of its parent's token."""

    parent: int
    rank: int
    depth: int
    survival: float


class SuccessorTable:
    """Best successors of every token, best first, `UNKNOWN` behind; a table a scope, the most recent few kept."""

    def __init__(self, vocab_size: int, width: int, fingerprint: str = "") -> None:
        self.frozen = False
        self.vocab_size, self.width, self.fingerprint = vocab_size, width, fingerprint
        self._tables: dict[str, NDArray[np.int32]] = {}

    def table(self, scope: str = "") -> NDArray[np.int32]:
        """Shapes: int32 [V, K], to read and, where not frozen, to write."""
        found = self._tables.pop(scope, None)
        if found is None:
            found = np.full((self.vocab_size, self.width), UNKNOWN, np.int32)
        self._tables[scope] = found  # now the newest of the dict
        if len(self._tables) > _MAX_SCOPES:
            del self._tables[next(iter(self._tables))]
        return found

    def replace(self, token_M: Sequence[int], top_MK: Sequence[Sequence[int]], scope: str = "") -> None:
        """The target's candidates behind each token; the last row of a token stays."""
        if self.frozen:
            return
        table = self.table(scope)
        for token, best in zip(token_M, top_MK, strict=True):
            row = list(dict.fromkeys(best))[: self.width]
            table[token] = row + [UNKNOWN] * (self.width - len(row))

    def promote(self, token: int, successor: int, scope: str = "") -> None:
        """A successor that was seen, not computed, goes to the front."""
        if self.frozen:
            return
        table = self.table(scope)
        rest = [known for known in table[token].tolist() if known != successor]
        table[token] = [successor, *rest][: self.width]

    def save(self, path: Path) -> None:
        """Keeps the table of the empty scope: the others belong to somebody."""
        facts = {"vocab_size": self.vocab_size, "width": self.width}
        memory_file.write(path, MemoryFile(_KIND, _VERSION, self.fingerprint, facts, {"table": self.table()}))

    def load(self, path: Path) -> None:
        """Raises: CheckpointError or VocabularyError for a file that is damaged or made for other settings or tokens.
        """
        content = memory_file.read(path, _KIND, _VERSION, self.fingerprint)
        content.require(path, vocab_size=self.vocab_size, width=self.width)
        self.table()[:] = content.arrays["table"]


@dataclass(slots=True)
class RecyclingState:
    """All that matters is the anchor."""

    anchor: int
    scope: str


class RecyclingDrafter(HostDrafter[RecyclingState]):
    """Guesses from the last token alone, everywhere, a few nodes deep."""

    @dataclass(frozen=True, slots=True)
    class Config:
        """nodes: size of the tree. width: successors kept a token. depth: of the deepest node. frozen: learn nothing.
        """

        nodes: int = 12
        width: int = 8
        depth: int = 6
        frozen: bool = False

    def bind(self, target: TargetView) -> None:
        super().bind(target)
        config: RecyclingDrafter.Config = self.config
        self.candidates = config.width
        self.successors = self.memory = SuccessorTable(target.vocab_size, config.width, target.fingerprint)
        self.successors.frozen = config.frozen
        self._template = template(config.nodes, config.width, config.depth)

    def start(self, context: SequenceContext) -> RecyclingState:
        return RecyclingState(context.token, context.scope)

    def observe(self, state: RecyclingState, commit: Commit) -> None:
        computed = 0
        if commit.candidates is not None and commit.verdict is not None:
            self.successors.replace(commit.candidates.row_token_M, commit.candidates.top_MK, state.scope)
            computed = commit.verdict.accepted + 1
        known = (state.anchor, *commit.token_n)
        for token, successor in pairwise(known[: max(len(known) - computed, 1)]):
            self.successors.promote(token, successor, state.scope)
        if commit.token_n:
            state.anchor = commit.token_n[-1]

    def fork(self, state: RecyclingState, pages: Pages | None = None) -> RecyclingState:
        return RecyclingState(state.anchor, state.scope)

    def draft(self, state: RecyclingState, budget: Budget) -> DraftTree:
        table = self.successors.table(state.scope)
        tokens: list[int] = []
        parents: list[int] = []
        scores: list[float] = []
        rows: list[list[int]] = []
        place: dict[int, int] = {ANCHOR: ANCHOR}  # template node to tree node; absent where the table knows too little
        anchor_row = table[state.anchor].tolist()
        for index, node in enumerate(self._template):
            parent = place.get(node.parent)
            if parent is None or node.depth > budget.depth or node.survival < budget.min_survival:
                continue
            token = (anchor_row if parent == ANCHOR else rows[parent])[node.rank]
            if token == UNKNOWN:
                continue
            if len(tokens) == budget.nodes:
                break
            place[index] = len(tokens)
            tokens.append(token)
            parents.append(parent)
            scores.append(node.survival)
            rows.append(table[token].tolist())
        return DraftTree(tokens, parents, (), scores)


def template(nodes: int, width: int, depth: int) -> list[TemplateNode]:
    """The `nodes` places likeliest to be accepted if every rank is right with a fixed chance, likeliest first.

    Parents come before children, so every head of the list is itself a best tree.
    """
    chosen: list[TemplateNode] = []
    heap = [_entry(TemplateNode(ANCHOR, 0, 1, _rank_chance(0)))] if depth > 0 else []
    while heap and len(chosen) < nodes:
        node = heapq.heappop(heap)[-1]
        index = len(chosen)
        chosen.append(node)
        if node.rank + 1 < width:
            ratio = _rank_chance(node.rank + 1) / _rank_chance(node.rank)
            heapq.heappush(heap, _entry(TemplateNode(node.parent, node.rank + 1, node.depth, node.survival * ratio)))
        if node.depth < depth:
            heapq.heappush(heap, _entry(TemplateNode(index, 0, node.depth + 1, node.survival * _rank_chance(0))))
    return chosen


def _entry(node: TemplateNode) -> tuple[float, int, int, int, TemplateNode]:
    """Unique and so never comparing nodes: a place has one parent and one rank."""
    return -node.survival, node.depth, node.parent, node.rank, node


def _rank_chance(rank: int) -> float:
    """How often the candidate of a rank is the next token; falls off like the tables of the paper's §4."""
    return 0.45 * 0.38**rank if rank < 3 else 0.45 * 0.38**2 * 0.7 ** (rank - 2)
