"""`eagle3`: a layer that reads the target's features, then its own, drafts a tree level by level.

    absorb   (feature p - 1, token p) ─> an entry at token p's slot; the last one says what follows the anchor
    draft    each level's likeliest nodes are one pass: a node's own output stands in for the feature it lacks

All candidates of all levels stay in the race, and the likeliest `nodes` of them are the draft; survival falls along a
path, so the ancestors of the chosen are chosen too.

Source: Li et al., "EAGLE-2" (arXiv 2406.16858), §4, for the tree; "EAGLE-3" (arXiv 2503.01840).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from outrider.cache.payload import Payload
from outrider.core.draft_spec import Eagle3Spec
from outrider.core.step import ROOT
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.guesses import Guess, Question
from outrider.drafting.neural import NeuralDrafter, NeuralState, Pending
from outrider.drafting.rows import Rows, stacked
from outrider.nn.eagle3 import Eagle3Network
from outrider.nn.network import Description

FIRST = 1  # token 0 has no feature before it and so no entry


@dataclass(slots=True)
class _Node:
    """A candidate; `entry` is its place among the appended entries once it has been forwarded."""

    token: int
    parent: int
    depth: int
    survival: float
    entry: int = -1


@dataclass(slots=True)
class _Growth:
    """One sequence's tree while it grows: the nodes to forward next, and by entry what the pass before gave."""

    state: NeuralState
    budget: Budget
    pool: list[_Node] = field(default_factory=list)
    frontier: list[int] = field(default_factory=list)
    parent_A: list[int] = field(default_factory=list)
    hidden_ED: list[Tensor] = field(default_factory=list)

    def parent_hidden(self, node: int) -> Tensor:
        parent = self.pool[node].parent
        hidden_1D = self.state.hidden if parent == ANCHOR else self.hidden_ED[self.pool[parent].entry]
        assert hidden_1D is not None, "only sequences with an anchor's output grow trees"
        return hidden_1D

    def rows(self) -> Rows:
        """The frontier, behind all entries appended so far."""
        committed, done = self.state.anchor + 1, len(self.parent_A)
        nodes = [self.pool[index] for index in self.frontier]
        for node in nodes:
            node.entry = len(self.parent_A)
            self.parent_A.append(ROOT if node.parent == ANCHOR else self.pool[node.parent].entry)
        slot_L = self.state.pages.slots(committed + done + len(nodes))
        return Rows([node.token for node in nodes], [self.state.anchor + node.depth - 1 for node in nodes], slot_L,
                    committed, self.parent_A, FIRST, range(len(nodes)))

    def tree(self) -> DraftTree:
        """The likeliest candidates, in the order in which they came up."""
        order = sorted(range(len(self.pool)), key=lambda index: -self.pool[index].survival)
        kept = sorted(order[: self.budget.nodes])
        place = {index: at for at, index in enumerate(kept)} | {ANCHOR: ANCHOR}
        nodes = [self.pool[index] for index in kept]
        return DraftTree([node.token for node in nodes], [place[node.parent] for node in nodes], (),
                         [node.survival for node in nodes])


class Eagle3Drafter(NeuralDrafter[Eagle3Spec]):
    """EAGLE-3 with EAGLE-2's dynamic tree."""

    kind = Eagle3Spec

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which checkpoint drafts, and how much.

        `max` bounds the depth, `branch` both the children of a node and the nodes that a level forwards (1 is a chain),
        `nodes` the tree. A path whose expected survival falls below `min` is not extended. `weights` q8 or q4 rounds
        the matrices.
        """

        checkpoint: str
        max: int = 6
        branch: int = 4
        nodes: int = 24
        min: float = 0.0
        weights: str = ""

    def describe(self) -> Description:
        return partial(Eagle3Network, self.spec)

    def payload(self) -> Payload:
        stack = self.spec.stack
        return Payload(stack.num_layers, stack.num_kv_heads, stack.head_size, carry=self.spec.feature_size,
                       scratch=1 + self.config.branch * self.config.max)

    def prepared(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the norms of single taps are folded into `fc`, which leaves one norm without weights."""
        if self.spec.fc_norm:
            size = self.spec.target_hidden_size
            scale_F = torch.cat([weights.pop(f"fc_norms.{tap}.weight") for tap in range(len(self.spec.taps))])
            weights["fc.weight"] = weights["fc.weight"].float() * scale_F.float()
            weights["fc_norm.weight"] = torch.ones(size)
        return weights

    def absorb_rows(self, pending: Sequence[Pending]) -> None:
        parts = []
        for item in pending:
            token_n = item.state.token_n[item.begin + 1 : item.end + 1]
            slot_L, committed = item.state.pages.slots(item.end + 1), item.begin + 1
            parts.append(Rows(token_n, range(item.begin, item.end), slot_L, committed,
                              range(ROOT, len(token_n) - 1), FIRST, [len(token_n) - 1]))
        feature_TF = torch.cat([item.feature_nF for item in pending])
        outputs = self.network.run("extend", stacked(parts, self.target.device), self.store(pending[0].state),
                                   feature_TF)
        self.remember(pending, outputs, 1)

    def draft(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> list[DraftTree]:
        growths = [_Growth(state, self._within(budget)) for state, budget in zip(states, budgets, strict=True)]
        rooted = [growth for growth in growths if growth.state.hidden is not None]
        if rooted:
            self._extend(rooted, torch.cat([growth.state.logits for growth in rooted]),  # type: ignore[misc]
                         [[ANCHOR]] * len(rooted))
        while growing := [growth for growth in rooted if growth.frontier]:
            self._next_level(growing)
        return [growth.tree() for growth in growths]

    def _next_level(self, growing: Sequence[_Growth]) -> None:
        parts = [growth.rows() for growth in growing]
        hidden_TD = torch.cat([growth.parent_hidden(node) for growth in growing for node in growth.frontier])
        outputs = self.network.run("step", stacked(parts, self.target.device), self.store(growing[0].state), hidden_TD)
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None, "a step gives both"
        rows = iter(outputs.hidden_RD.unsqueeze(1))
        for growth in growing:
            growth.hidden_ED += [next(rows) for _ in growth.frontier]
        self._extend(growing, self.widened(outputs.logits_RV), [growth.frontier for growth in growing])

    def _extend(self, growing: Sequence[_Growth], logits_RV: Tensor, parents: Sequence[Sequence[int]]) -> None:
        """Children of the nodes whose logits these are; the best of them are the next frontier."""
        questions: list[Question] = []
        for growth, nodes in zip(growing, parents, strict=True):
            for node in nodes:
                depth = 0 if node == ANCHOR else growth.pool[node].depth
                questions.append(Question(growth.state.request, len(questions), growth.state.anchor + 1 + depth))
        guesses = iter(self._guesser.guesses(logits_RV, questions, self.config.branch))
        for growth, nodes in zip(growing, parents, strict=True):
            self._grow(growth, {node: next(guesses) for node in nodes})

    def _grow(self, growth: _Growth, guesses: dict[int, list[Guess]]) -> None:
        pool, begin = growth.pool, len(growth.pool)
        for parent, found in guesses.items():
            depth, survival = (0, 1.0) if parent == ANCHOR else (pool[parent].depth, pool[parent].survival)
            pool += [_Node(guess.token, parent, depth + 1, survival * guess.share) for guess in found
                     if survival * guess.share >= growth.budget.min_survival]
        new = sorted(range(begin, len(pool)), key=lambda index: -pool[index].survival)[: self.config.branch]
        growth.frontier = [index for index in sorted(new) if pool[index].depth < growth.budget.depth]

    def _within(self, budget: Budget) -> Budget:
        config = self.config
        return Budget(min(budget.nodes, config.nodes), min(budget.depth, config.max),
                      max(budget.min_survival, config.min))
