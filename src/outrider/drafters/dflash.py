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
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor

from outrider.cache.payload import Payload
from outrider.core.draft_spec import DFlashSpec
from outrider.core.tree import ANCHOR, Budget, DraftTree
from outrider.drafting.correction import Asked, Corrected, assured, confidence_of, correction_of
from outrider.drafting.growth import grown
from outrider.drafting.guesses import Guess, Question
from outrider.drafting.levels import Growth
from outrider.drafting.neural import NeuralDrafter, NeuralState, Pending
from outrider.drafting.rows import Rows, stacked
from outrider.nn.dflash import DFlashNetwork
from outrider.nn.network import Description


@dataclass(slots=True)
class _Drafting:
    """One sequence's tree while it grows; its rows begin at `first_row`. By node: what its correction has left."""

    state: NeuralState
    growth: Growth
    first_row: int
    left: dict[int, Tensor | None] = field(default_factory=dict)

    def before(self, node: int) -> Tensor | None:
        return None if node == ANCHOR else self.left[self.growth.pool[node].parent]


class DFlashDrafter(NeuralDrafter[DFlashSpec]):
    """DFlash, DFlash 2 and DSpark: what a checkpoint holds decides."""

    kind = DFlashSpec

    @dataclass(frozen=True, slots=True)
    class Config:
        """Which checkpoint drafts, and how much.

        `max` bounds the depth (0: what the block gives), `branch` the siblings of a node (1 is a chain), `nodes` the
        tree. A path whose expected survival falls below `min` is not extended. `weights` q8 or q4 rounds the matrices.
        `pickle` lets a pytorch_model.bin be read, weights only.
        """

        checkpoint: str
        max: int = 0
        branch: int = 1
        nodes: int = 24
        min: float = 0.0
        weights: str = ""
        pickle: bool = False

    def describe(self) -> Description:
        return partial(DFlashNetwork, self.spec)

    def payload(self) -> Payload:
        stack = self.spec.stack
        return Payload(stack.num_layers, stack.num_kv_heads, stack.head_size, scratch=self.spec.block_size)

    def prepared(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The output scale is folded into the last norm; small heads, and what is looked up in them, are kept apart."""
        self._correction = correction_of(self.spec, weights, self._bias)
        self._confidence = confidence_of(self.spec, weights)
        weights["norm.weight"] = weights["norm.weight"].float() * self.spec.output_scale
        return {name: value for name, value in weights.items()
                if name == "markov.after.weight" or not name.startswith(("selector.", "markov.", "confidence."))}

    def absorb_rows(self, pending: Sequence[Pending]) -> None:
        rows = [Rows.chain([0] * len(item.feature_nF), item.begin, item.state.pages.slots(item.end))
                for item in pending]
        feature_TF = torch.cat([item.feature_nF for item in pending])
        self.network.run("absorb", stacked(rows, self.target.device), self.store(pending[0].state), feature_TF)

    def draft(self, states: Sequence[NeuralState], budgets: Sequence[Budget]) -> list[DraftTree]:
        most = min(self.config.max or self.spec.num_drafts, self.spec.num_drafts)
        within = [self.within(budget, most) for budget in budgets]
        parts = [self._block(state, budget) for state, budget in zip(states, within, strict=True)]
        outputs = self.network.run("block", stacked(parts, self.target.device), self.store(states[0]))
        assert outputs.logits_RV is not None and outputs.hidden_RD is not None, "a block pass gives both"
        first_rows = accumulate((len(part.wanted) for part in parts), initial=0)
        drafting = [_Drafting(state, Growth(budget, state.token_n[-1]), first_row)
                    for state, budget, first_row in zip(states, within, first_rows, strict=False)]
        if self._correction is None and not any(state.context.draw for state in states):
            return self._independent(drafting, self.widened(outputs.logits_RV))
        while growing := [one for one in drafting if one.growth.frontier]:
            self._next_level(growing, outputs.logits_RV, outputs.hidden_RD)
        return [one.growth.tree() for one in drafting]

    def _block(self, state: NeuralState, budget: Budget) -> Rows:
        """The anchor and masks, as many rows as the depth calls for."""
        spec, begin = self.spec, state.anchor
        count = budget.depth if spec.from_anchor else budget.depth + 1
        tokens = [state.token_n[-1], *[spec.mask_id] * (count - 1)]
        return Rows.chain(tokens, begin, state.pages.slots(begin + count), range(0 if spec.from_anchor else 1, count))

    def _independent(self, drafting: Sequence[_Drafting], logits_RV: Tensor) -> list[DraftTree]:
        """Best first over what each row proposes: the row of a node's depth speaks of its children."""
        questions = [Question(one.state.request, one.first_row + depth, one.state.anchor + 1 + depth)
                     for one in drafting for depth in range(one.growth.budget.depth)]
        guesses_R = self._guesser.guesses(logits_RV, questions, self.config.branch)

        def row_of(one: _Drafting, _: int, depth: int, __: int) -> Sequence[Guess]:
            return guesses_R[one.first_row + depth]

        return [grown(partial(row_of, one), one.growth.budget, one.growth.anchor) for one in drafting]

    def _next_level(self, growing: Sequence[_Drafting], logits_RV: Tensor, hidden_RD: Tensor) -> None:
        """Children for all frontiers, each node's row corrected for its token."""
        nodes = [(one, node) for one in growing for node in one.growth.frontier]
        row_n = [one.first_row + one.growth.depth(node) for one, node in nodes]
        asked = Asked(logits_RV[row_n], hidden_RD[row_n], [one.growth.token(node) for one, node in nodes],
                      [one.before(node) for one, node in nodes])
        corrected = Corrected(asked.logits_nV, asked.state_n)
        if self._correction is not None:
            corrected = self._correction.applied(asked)
        for (one, node), state_E in zip(nodes, corrected.state_n, strict=True):
            one.left[node] = state_E
        self.extend([one.state for one in growing], [one.growth for one in growing], self.widened(corrected.logits_nV),
                    partial(self._assured, asked))

    def _assured(self, asked: Asked, guesses: list[list[Guess]]) -> list[list[Guess]]:
        if self._confidence is None:
            return guesses
        return [assured(found, chance) for found, chance in zip(guesses, self._confidence.chances(asked), strict=True)]

    def _bias(self, mixed_nE: Tensor) -> Tensor:
        device = self.target.device
        step = stacked([Rows.alone(len(mixed_nE), device)], device)
        logits_nV = self.network.run("bias", step, None, mixed_nE).logits_RV
        assert logits_nV is not None, "a bias is over logits"
        return logits_nV
