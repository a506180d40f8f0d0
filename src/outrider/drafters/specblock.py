"""`specblock`: a pass drafts a block of slots, and the next pass starts new blocks at any node of it.

    absorb    a token's block: K slots for (feature p - 1, token p); the anchor's own is the first block of the draft
    grow      a greedy chain over the slots, siblings where a slot is unsure; then blocks at the likeliest of all these
              nodes in one pass, each fed with the hidden state of the slot it hangs from

    anchor's block   s0 ─ s1 ─ s2 ─ s3           what a block started at a sibling of s1 sees: all before the anchor,
                      └ sibling                  s0, s1 (the slot that proposed it), itself
                           └ b0 ─ b1 ─ b2 ─ b3

Source: Shi et al., "SpecBlock" (arXiv 2605.07243), §3; tree growth as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from outrider.cache.payload import Payload
from outrider.core.draft_spec import SpecBlockSpec
from outrider.core.step import ROOT
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.guesses import Guess, Question
from outrider.drafting.levels import Growth
from outrider.drafting.neural import NeuralDrafter, NeuralState, Pending
from outrider.drafting.ranks import RankHead, first_width, width
from outrider.drafting.rows import Rows, stacked
from outrider.nn.network import Description
from outrider.nn.specblock import SpecBlockNetwork

_MOST_CHILDREN = 10


@dataclass(frozen=True, slots=True)
class _Origin:
    """The slot that proposed a candidate: its appended entry and its output."""

    entry: int
    hidden_1D: Tensor


@dataclass(slots=True)
class _Branching:
    """One sequence's tree while it grows; the growth's frontier has the nodes at which the next blocks may begin."""

    state: NeuralState
    growth: Growth
    origins: list[_Origin] = field(default_factory=list)  # by node
    parent_A: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Slots:
    """The outputs of one block: guesses and rank classes by slot, hidden states, the entry of its first slot."""

    guesses_K: Sequence[list[Guess]]
    rank_K: Sequence[int | None]
    hidden_KD: Tensor
    entry: int


class SpecBlockDrafter(NeuralDrafter[SpecBlockSpec]):
    """Blocks of slots, started anywhere."""

    kind = SpecBlockSpec

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which checkpoint drafts, and how much.

        `blocks` are drafted one behind the other, `beam` bounds how many start in one pass, `nodes` the tree. A path
        whose expected survival falls below `min` is not extended. `weights` q8 or q4 rounds the matrices.
        `pickle` lets pytorch_model.bin and vocab_mapping.pt be read, weights only.
        """

        checkpoint: str
        blocks: int = 2
        beam: int = 10
        nodes: int = 24
        min: float = 0.0
        weights: str = ""
        pickle: bool = False

    def describe(self) -> Description:
        return partial(SpecBlockNetwork, self.spec)

    def payload(self) -> Payload:
        stack, config = self.spec.stack, self.config
        return Payload(stack.num_layers, stack.num_kv_heads, stack.head_size, entries=self.spec.num_slots,
                       carry=self.spec.feature_size, scratch=1 + config.beam * (config.blocks - 1))

    def prepared(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        self._ranks = RankHead.of(weights)
        self._norm_D = weights["norm.weight"].float()
        return {name: value for name, value in weights.items() if not name.startswith("rank.")}

    def absorb_rows(self, pending: Sequence[Pending]) -> None:
        size = self.spec.num_slots
        parts, counts = [], []
        for item in pending:
            token_n = item.state.token_n[item.begin + 1 : item.end + 1]
            counts.append(len(token_n))
            parts.append(self._token_rows(item, token_n))
        condition_nD = self._conditions(torch.cat([item.feature_nF for item in pending]))
        outputs = self.network.run("block", stacked(parts, self.target.device), self.store(pending[0].state),
                                   condition_nD.repeat_interleave(size, 0))
        self.remember(pending, outputs, size)

    def draft(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> list[DraftTree]:
        size, depth = self.spec.num_slots, self.config.blocks * self.spec.num_slots
        trees = [_Branching(state, Growth(self.within(budget, depth), state.token_n[-1]), [],
                            list(range(ROOT, size - 1)))
                 for state, budget in zip(states, budgets, strict=True)]
        rooted = [tree for tree in trees if tree.state.hidden is not None]
        if rooted:
            logits_RV = torch.cat([tree.state.logits for tree in rooted])  # type: ignore[misc]
            hidden_RD = torch.cat([tree.state.hidden for tree in rooted])  # type: ignore[misc]
            self._extend(rooted, [0] * len(rooted), logits_RV, hidden_RD)
        for _ in range(self.config.blocks - 1):
            for tree in rooted:
                tree.growth.narrow(self.config.beam)
            if growing := [tree for tree in rooted if tree.growth.frontier]:
                self._next_blocks(growing)
        return [tree.growth.tree() for tree in trees]

    def _token_rows(self, item: Pending, token_n: Sequence[int]) -> Rows:
        """A block for each token; only the last one's outputs are wanted."""
        size, store = self.spec.num_slots, self.store(item.state)
        count, slot_L = size * len(token_n), store.entry_slots(item.state.pages.slots(item.end + 1))
        position_n = [item.begin + 1 + index + slot for index in range(len(token_n)) for slot in range(size)]
        return Rows([token for token in token_n for _ in range(size)], position_n, slot_L, (item.begin + 1) * size,
                    range(ROOT, count - 1), size, range(count - size, count), [*range(size)] * len(token_n))

    def _conditions(self, feature_nF: Tensor) -> Tensor:
        device = self.target.device
        step = stacked([Rows.alone(len(feature_nF), device)], device)
        hidden = self.network.run("condition", step, None, feature_nF).hidden_RD
        assert hidden is not None, "conditions are hidden states"
        return hidden

    def _next_blocks(self, growing: Sequence[_Branching]) -> None:
        """Blocks at the likeliest starts of every sequence, in one pass."""
        size, parts, entries = self.spec.num_slots, [], []
        for tree in growing:
            entries.append(len(tree.parent_A))
            parts.append(self._block_rows(tree))
        condition_TD = torch.cat([tree.origins[node].hidden_1D for tree in growing for node in tree.growth.frontier])
        outputs = self.network.run("block", stacked(parts, self.target.device), self.store(growing[0].state),
                                   condition_TD.repeat_interleave(size, 0))
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None, "a block gives both"
        self._extend(growing, entries, self.widened(outputs.logits_RV), outputs.hidden_RD)

    def _block_rows(self, tree: _Branching) -> Rows:
        size, state, nodes = self.spec.num_slots, tree.state, tree.growth.frontier
        for node in nodes:
            first = len(tree.parent_A)
            tree.parent_A += [tree.origins[node].entry, *range(first, first + size - 1)]
        slot_L = self.store(state).entry_slots(state.pages.slots(state.anchor + len(tree.parent_A) // size))
        # Every block rotates as the anchor's does, however deep it starts: that is how they were trained.
        position_n = [state.anchor + slot for _ in nodes for slot in range(size)]
        return Rows([tree.growth.token(node) for node in nodes for _ in range(size)], position_n, slot_L,
                    state.anchor * size, tree.parent_A, size, range(size * len(nodes)), [*range(size)] * len(nodes))

    def _extend(self, growing: Sequence[_Branching], entries: Sequence[int], logits_RV: Tensor,
                hidden_RD: Tensor) -> None:
        """Reads the blocks that began at the frontiers, whose rows follow each other."""
        size, questions = self.spec.num_slots, list[Question]()
        for tree in growing:
            for node in tree.growth.frontier:
                behind = tree.state.anchor + 1 + tree.growth.depth(node)
                questions += [Question(tree.state.request, len(questions) + slot, behind + slot)
                              for slot in range(size)]
        guesses = self._guesser.guesses(logits_RV, questions, _MOST_CHILDREN)
        ranks = self._rank_classes(hidden_RD, logits_RV)
        row = 0
        for tree, entry in zip(growing, entries, strict=True):
            starts, tree.growth.frontier = tree.growth.frontier, []
            for index, node in enumerate(starts):
                own = slice(row, row + size)
                self._grow(tree, node, _Slots(guesses[own], ranks[own], hidden_RD[own], entry + index * size))
                row = own.stop

    def _rank_classes(self, hidden_RD: Tensor, logits_RV: Tensor) -> Sequence[int | None]:
        if self._ranks is None:
            return [None] * len(hidden_RD)
        wide_RD = hidden_RD.float()
        normed_RD = wide_RD * torch.rsqrt(wide_RD.square().mean(-1, keepdim=True) + self.spec.stack.norm_eps)
        return self._ranks.classes(normed_RD * self._norm_D, logits_RV)

    def _grow(self, tree: _Branching, start: int, slots: _Slots) -> None:
        """The greedy chain of a block and its siblings; all of them may start blocks, the last of the chain too."""
        growth, parent = tree.growth, start
        for slot, guesses in enumerate(slots.guesses_K):
            if not guesses:
                return
            sure = guesses[0].share
            count = first_width(sure) if parent == ANCHOR else width(slots.rank_K[slot], sure)
            new = growth.add(parent, guesses[:count])
            tree.origins += [_Origin(slots.entry + slot, slots.hidden_KD[slot : slot + 1])] * len(new)
            growth.frontier += new
            greedy = growth.children(parent).get(guesses[0].token)
            if greedy is None:
                return
            parent = greedy
