"""SpecBlock's network: a block of slots for each token, each slot guessing one token further.

    condition ─ norm ─┐         the same in all slots: the target's features through `fc`, or an earlier slot's hidden
    token ─── norm ───┼─ fuse ─ layer 0 ─ shift ─ layer 1 ─ … ─ norm ─ head
    slot ──── norm ───┘                    └ each slot joined with the one before it

Source: Shi et al., "SpecBlock" (arXiv 2605.07243), §3, and its released code as the reference notes describe it.
"""

from __future__ import annotations

from torch import Tensor, nn

from outrider.core.draft_spec import SpecBlockSpec
from outrider.nn.decoder import DecoderLayer
from outrider.nn.layers import Embedding, Linear, Norm
from outrider.nn.network import Outputs
from outrider.ops.interface import Ops, Pass


class FuseNorms(nn.Module):
    """One norm for each of the three things that are fused."""

    def __init__(self, spec: SpecBlockSpec, ops: Ops) -> None:
        super().__init__()
        self.condition, self.token, self.slot = (Norm(spec.stack.hidden_size, spec.stack, ops) for _ in range(3))


class SpecBlockNetwork(nn.Module):
    """Passes: `condition`, features to conditions, a row a token; `block`, fed with conditions, a row a slot."""

    def __init__(self, spec: SpecBlockSpec, ops: Ops) -> None:
        super().__init__()
        stack, size = spec.stack, spec.stack.hidden_size
        self.ops = ops
        self.embed = Embedding(stack.vocab_size, size, 1.0, ops)
        self.fc = Linear(spec.feature_size, size, False, ops)
        self.slots = Embedding(spec.num_slots, size, 1.0, ops)
        self.fuse_norms = FuseNorms(spec, ops)
        self.fuse = Linear(3 * size, size, False, ops)
        self.layers = nn.ModuleList(DecoderLayer(stack, layer, ops) for layer in range(stack.num_layers))
        self.shifts = nn.ModuleList(Linear(2 * size, size, False, ops) for _ in range(stack.num_layers - 1))
        self.norm = Norm(size, stack, ops)
        self.head = Linear(size, spec.draft_vocab_size, False, ops)

    def condition(self, run: Pass, feature_TF: Tensor) -> Outputs:
        return Outputs(hidden_RD=self.ops.pick(self.fc(feature_TF), run.step.logit_row_R))

    def block(self, run: Pass, condition_TD: Tensor) -> Outputs:
        token_TD, slot_TD = self.embed(run.step.token_T), self.slots(run.step.place_T)
        norms = self.fuse_norms
        x_TD = self.fuse(self.ops.join([norms.condition(condition_TD), norms.token(token_TD), norms.slot(slot_TD)]))
        for index, layer in enumerate(self.layers):
            x_TD = layer(x_TD, run)
            if index < len(self.shifts):
                x_TD = self.shifts[index](self.ops.join([x_TD, self.ops.previous(x_TD, run)]))
        last_RD = self.ops.pick(x_TD, run.step.logit_row_R)
        return Outputs(self.head(self.norm(last_RD)).float(), last_RD)
