"""`eagle3`: a layer that reads the target's features, then its own, drafts a tree level by level.

    absorb   (feature p - 1, token p) ─> an entry at token p's slot; the last one says what follows the anchor
    draft    each level's likeliest nodes are one pass: a node's own output stands in for the feature it lacks

Source: Li et al., "EAGLE-3" (arXiv 2503.01840); "EAGLE-2" (arXiv 2406.16858), §4, for the tree.
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
from outrider.drafting.levels import Growth
from outrider.drafting.neural import NeuralDrafter, NeuralState, Pending
from outrider.drafting.rows import Rows, stacked
from outrider.nn.eagle3 import Eagle3Network
from outrider.nn.network import Description

FIRST = 1  # token 0 has no feature before it and so no entry


@dataclass(slots=True)
class _Branching:
    """One sequence's tree while it grows. By node that was forwarded: its appended entry; by entry: its output."""

    state: NeuralState
    growth: Growth
    entry_of: dict[int, int] = field(default_factory=lambda: {ANCHOR: ROOT})
    parent_A: list[int] = field(default_factory=list)
    hidden_AD: list[Tensor] = field(default_factory=list)

    def parent_hidden(self, node: int) -> Tensor:
        parent = self.growth.pool[node].parent
        hidden_1D = self.state.hidden if parent == ANCHOR else self.hidden_AD[self.entry_of[parent]]
        assert hidden_1D is not None, "only sequences with an anchor's output grow trees"
        return hidden_1D

    def rows(self) -> Rows:
        """The frontier, behind all entries appended so far."""
        committed, nodes = self.state.anchor + 1, self.growth.frontier
        for node in nodes:
            self.entry_of[node] = len(self.parent_A)
            self.parent_A.append(self.entry_of[self.growth.pool[node].parent])
        slot_L = self.state.pages.slots(committed + len(self.parent_A))
        position_n = [self.state.anchor + self.growth.depth(node) - 1 for node in nodes]
        return Rows([self.growth.token(node) for node in nodes], position_n, slot_L, committed, self.parent_A, FIRST,
                    range(len(nodes)))


class Eagle3Drafter(NeuralDrafter[Eagle3Spec]):
    """EAGLE-3 with EAGLE-2's dynamic tree."""

    kind = Eagle3Spec

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which checkpoint drafts, and how much.

        `max` bounds the depth, `branch` both the children of a node and the nodes that a level forwards (1 is a chain),
        `nodes` the tree. A path whose expected survival falls below `min` is not extended. `weights` q8 or q4 rounds
        the matrices. `pickle` lets a pytorch_model.bin be read, weights only.
        """

        checkpoint: str
        max: int = 6
        branch: int = 4
        nodes: int = 24
        min: float = 0.0
        weights: str = ""
        pickle: bool = False

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
        trees = [_Branching(state, Growth(self.within(budget, self.config.max), state.token_n[-1]))
                 for state, budget in zip(states, budgets, strict=True)]
        rooted = [tree for tree in trees if tree.state.hidden is not None]
        if rooted:
            self._extend(rooted, torch.cat([tree.state.logits for tree in rooted]))  # type: ignore[misc]
        while growing := [tree for tree in rooted if tree.growth.frontier]:
            self._next_level(growing)
        return [tree.growth.tree() for tree in trees]

    def _next_level(self, growing: Sequence[_Branching]) -> None:
        parts = [tree.rows() for tree in growing]
        hidden_TD = torch.cat([tree.parent_hidden(node) for tree in growing for node in tree.growth.frontier])
        outputs = self.network.run("step", stacked(parts, self.target.device), self.store(growing[0].state), hidden_TD)
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None, "a step gives both"
        rows = iter(outputs.hidden_RD.unsqueeze(1))
        for tree in growing:
            tree.hidden_AD += [next(rows) for _ in tree.growth.frontier]
        self._extend(growing, self.widened(outputs.logits_RV))

    def _extend(self, growing: Sequence[_Branching], logits_RV: Tensor) -> None:
        self.extend([tree.state for tree in growing], [tree.growth for tree in growing], logits_RV)
