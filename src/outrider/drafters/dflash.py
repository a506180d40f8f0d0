"""`dflash`: one pass drafts a whole block, from masks, fed with what several layers of the target made of the context.

    absorb   features of committed positions ─ fc ─ norm ─> each layer's keys and values, in the target's pages
    draft    [anchor, mask, mask, …] in one pass; row k says what stands at its own position (DSpark: behind it)

Rows do not know what the others chose. DFlash 2 and DSpark correct for it: each row's candidates are scored again given
the token before them, so that a chain is chosen token by token, and a tree's branches each by their own path.

Source: Chen, Liang, Liu, "DFlash" (arXiv 2602.06036); DFlash 2 (release of August 2026); "DSpark" (arXiv 2607.05147);
trees after "DDTree" (arXiv 2604.12989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from outrider.cache.payload import Payload
from outrider.core.draft_spec import DFlashSpec
from outrider.core.tree import Budget, DraftTree
from outrider.drafting.correction import confidence_of, correction_of
from outrider.drafting.growth import grown
from outrider.drafting.guesses import Guess, Question
from outrider.drafting.neural import NeuralDrafter, NeuralState, Pending
from outrider.drafting.rows import Rows, stacked
from outrider.nn.dflash import DFlashNetwork
from outrider.nn.network import Description


class DFlashDrafter(NeuralDrafter[DFlashSpec]):
    """DFlash, DFlash 2 and DSpark: what a checkpoint holds decides."""

    kind = DFlashSpec

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which checkpoint drafts, and how much.

        `max` bounds the depth (0: what the block gives), `branch` the siblings of a node (1 is a chain), `nodes` the
        tree. A path whose expected survival falls below `min` is not extended. `weights` q8 or q4 rounds the matrices.
        """

        checkpoint: str
        max: int = 0
        branch: int = 1
        nodes: int = 24
        min: float = 0.0
        weights: str = ""

    def describe(self) -> Description:
        return partial(DFlashNetwork, self.spec)

    def payload(self) -> Payload:
        stack = self.spec.stack
        return Payload(stack.num_layers, stack.num_kv_heads, stack.head_size, scratch=self.spec.block_size)

    def prepared(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The output scale is folded into the last norm; heads that correct are kept apart."""
        self._correction = correction_of(self.spec, weights)
        self._confidence = confidence_of(self.spec, weights)
        weights["norm.weight"] = weights["norm.weight"].float() * self.spec.output_scale
        return {name: value for name, value in weights.items()
                if not name.startswith(("selector.", "markov.", "confidence."))}

    def absorb_rows(self, pending: Sequence[Pending]) -> None:
        rows = [Rows.chain([0] * len(item.feature_nF), item.begin, item.state.pages.slots(item.end))
                for item in pending]
        feature_TF = torch.cat([item.feature_nF for item in pending])
        self.network.run("absorb", stacked(rows, self.target.device), self.store(pending[0].state), feature_TF)

    def draft(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> list[DraftTree]:
        within = [self._within(budget) for budget in budgets]
        rows = [self._block(state, budget) for state, budget in zip(states, within, strict=True)]
        step = stacked(rows, self.target.device)
        outputs = self.network.run("block", step, self.store(states[0]))
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None, "a block pass gives both"
        trees, first_row = [], 0
        for state, budget, block in zip(states, within, rows, strict=True):
            own = slice(first_row, first_row + len(block.wanted))
            trees.append(self._tree(state, budget, outputs.logits_RV[own], outputs.hidden_RD[own]))
            first_row = own.stop
        return trees

    def _within(self, budget: Budget) -> Budget:
        config, depth = self.config, min(budget.depth, self.spec.num_drafts)
        return Budget(min(budget.nodes, config.nodes), min(depth, config.max or depth),
                      max(budget.min_survival, config.min))

    def _block(self, state: NeuralState, budget: Budget) -> Rows:
        """The anchor and masks, as many rows as the depth calls for."""
        spec, begin = self.spec, state.anchor
        count = budget.depth if spec.from_anchor else budget.depth + 1
        tokens = [state.token_n[-1], *[spec.mask_id] * (count - 1)]
        return Rows.chain(tokens, begin, state.pages.slots(begin + count), range(0 if spec.from_anchor else 1, count))

    def _tree(self, state: NeuralState, budget: Budget, logits_RV: Tensor, hidden_RD: Tensor) -> DraftTree:
        """Best first over what each row proposes: the row of a node's depth speaks of its children."""
        if self._correction is None:
            questions = [Question(state.request, row, state.anchor + 1 + row) for row in range(len(logits_RV))]
            guesses_R = self._guesser.guesses(self.widened(logits_RV), questions, self.config.branch)
            return grown(lambda _, depth, __: guesses_R[depth], budget, state.token_n[-1])
        corrected, confidence = self._correction.over(logits_RV, hidden_RD), self._confidence

        def children(_: int, depth: int, token: int) -> list[Guess]:
            question = Question(state.request, 0, state.anchor + 1 + depth)
            logits_1V = self.widened(corrected.logits(depth, token))
            guesses = self._guesser.guesses(logits_1V, [question], self.config.branch)[0]
            return guesses if confidence is None else confidence.applied(guesses, confidence.chance(hidden_RD[depth],
                                                                                                    token))

        return grown(children, budget, state.token_n[-1])
