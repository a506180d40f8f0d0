"""EAGLE-3's network: one layer that reads a token beside what the target, or the draft itself, made of the one before.

    features ─ fc ─ g ──┬─ norm ─┐                              `extend`: g from the target's layers
    hidden ────────  g ─┘        ├─ attention ─ mlp ─ … ─ a ─ norm ─ head     `step`: g is an earlier a
    token ─ embed ─ norm ────────┘

Source: Li et al., "EAGLE-3" (arXiv 2503.01840), §3; the options of later checkpoints after the formats that carry them.
"""

from __future__ import annotations

from torch import Tensor, nn

from outrider.core.draft_spec import Eagle3Spec
from outrider.nn.decoder import Attention, DecoderLayer, GatedMLP
from outrider.nn.layers import Embedding, Linear, Norm
from outrider.nn.network import Outputs
from outrider.ops.interface import Ops, Pass


class FirstLayer(nn.Module):
    """Attention over pairs, twice as wide as its output; its residual is the feature."""

    def __init__(self, spec: Eagle3Spec, ops: Ops) -> None:
        super().__init__()
        stack, size = spec.stack, spec.stack.hidden_size
        self.ops, self.norm_before_residual = ops, spec.norm_before_residual
        self.attn_norm = Norm(size, stack, ops)
        self.feature_norm = Norm(size, stack, ops)
        self.attn = Attention(stack, 0, ops, num_in=2 * size)
        self.mlp_norm = Norm(size, stack, ops)
        self.mlp = GatedMLP(stack, ops)

    def forward(self, token_TD: Tensor, feature_TD: Tensor, run: Pass) -> Tensor:
        normed_TD = self.feature_norm(feature_TD)
        mixed_TD = self.attn(self.ops.join([self.attn_norm(token_TD), normed_TD]), run)
        x_TD = self.ops.add(normed_TD if self.norm_before_residual else feature_TD, mixed_TD)
        return self.ops.add(x_TD, self.mlp(self.mlp_norm(x_TD)))


class Eagle3Network(nn.Module):
    """Passes: `extend`, fed with features, and `step`, fed with what earlier passes gave as hidden states."""

    def __init__(self, spec: Eagle3Spec, ops: Ops) -> None:
        super().__init__()
        stack, size = spec.stack, spec.stack.hidden_size
        self.ops, self.norm_output = ops, spec.norm_output
        self.embed = Embedding(stack.vocab_size, size, 1.0, ops)
        self.input_norm = Norm(spec.feature_size, stack, ops) if spec.norm_before_fc else None
        self.fc_norm = Norm(spec.target_hidden_size, stack, ops) if spec.fc_norm else None
        self.fc = Linear(spec.feature_size, size, False, ops)
        rest = (DecoderLayer(stack, layer, ops) for layer in range(1, stack.num_layers))
        self.layers = nn.ModuleList([FirstLayer(spec, ops), *rest])
        self.norm = Norm(size, stack, ops)
        self.head = Linear(size, spec.draft_vocab_size, False, ops)

    def extend(self, run: Pass, feature_TF: Tensor) -> Outputs:
        for norm in (self.input_norm, self.fc_norm):
            feature_TF = feature_TF if norm is None else norm(feature_TF)
        return self.step(run, self.fc(feature_TF))

    def step(self, run: Pass, hidden_TD: Tensor) -> Outputs:
        first, *rest = self.layers
        x_TD = first(self.embed(run.step.token_T), hidden_TD, run)
        for layer in rest:
            x_TD = layer(x_TD, run)
        last_RD = self.ops.pick(x_TD, run.step.logit_row_R)
        normed_RD = self.norm(last_RD)
        return Outputs(self.head(normed_RD).float(), normed_RD if self.norm_output else last_RD)
