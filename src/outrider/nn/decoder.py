"""One dense decoder for every family: Llama, Mistral, Qwen2, Qwen3 and Gemma 3 differ by facts in `ModelSpec`.

    tokens ─ embed ─┬─────────────────────────┬───────────────────────┬─ … ─ norm ─ head ─ logits
                    └ norm ─ attention ─[norm]┴ norm ─ gated mlp ─[norm]┘
                                       (bracketed norms: Gemma 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from outrider.core.spec import ModelSpec
from outrider.nn.layers import Embedding, Linear, Norm
from outrider.ops.interface import AttentionShape, Ops, Pass


class Attention(nn.Module):
    """Grouped-query attention over the paged cache, rotary positions, optional q/k norms."""

    def __init__(self, spec: ModelSpec, layer: int, ops: Ops, *, num_in: int = 0, both_ways: bool = False) -> None:
        """`num_in`: features of a row where they are not the hidden size."""
        super().__init__()
        self.ops, num_in = ops, num_in or spec.hidden_size
        self.q = Linear(num_in, spec.query_size, spec.qkv_bias, ops)
        self.k = Linear(num_in, spec.kv_size, spec.qkv_bias, ops)
        self.v = Linear(num_in, spec.kv_size, spec.qkv_bias, ops)
        self.o = Linear(spec.query_size, spec.hidden_size, spec.out_bias, ops)
        self.q_norm = Norm(spec.head_size, spec, ops) if spec.qk_norm else None
        self.k_norm = Norm(spec.head_size, spec, ops) if spec.qk_norm else None
        scale = spec.head_size**-0.5 if spec.attention_scale is None else spec.attention_scale
        sliding = spec.is_sliding(layer)
        self.shape = AttentionShape(layer, spec.head_size, scale, sliding, spec.window if sliding else 0,
                                    spec.attention_softcap, both_ways)

    def forward(self, x_TD: Tensor, run: Pass) -> Tensor:
        q_TD, k_TD, v_TD = self.q(x_TD), self.k(x_TD), self.v(x_TD)
        if self.q_norm is not None and self.k_norm is not None:
            q_TD, k_TD = self.q_norm(q_TD), self.k_norm(k_TD)
        mixed_TD: Tensor = self.o(self.ops.attention(q_TD, k_TD, v_TD, run, self.shape))
        return mixed_TD


class GatedMLP(nn.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(self, spec: ModelSpec, ops: Ops) -> None:
        super().__init__()
        self.ops, self.activation = ops, spec.activation
        self.gate = Linear(spec.hidden_size, spec.inner_size, False, ops)
        self.up = Linear(spec.hidden_size, spec.inner_size, False, ops)
        self.down = Linear(spec.inner_size, spec.hidden_size, False, ops)

    def forward(self, x_TD: Tensor) -> Tensor:
        mixed_TD: Tensor = self.down(self.ops.gate(self.gate(x_TD), self.up(x_TD), self.activation))
        return mixed_TD


class DecoderLayer(nn.Module):
    """Pre-norm attention and MLP on the residual stream; Gemma 3 also norms what each adds."""

    def __init__(self, spec: ModelSpec, layer: int, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        self.attn_norm = Norm(spec.hidden_size, spec, ops)
        self.attn = Attention(spec, layer, ops)
        self.attn_post_norm = Norm(spec.hidden_size, spec, ops) if spec.post_norms else None
        self.mlp_norm = Norm(spec.hidden_size, spec, ops)
        self.mlp = GatedMLP(spec, ops)
        self.mlp_post_norm = Norm(spec.hidden_size, spec, ops) if spec.post_norms else None

    def forward(self, x_TD: Tensor, run: Pass) -> Tensor:
        attended: Tensor = self.attn(self.attn_norm(x_TD), run)
        x_TD = self.ops.add(x_TD, attended if self.attn_post_norm is None else self.attn_post_norm(attended))
        mixed: Tensor = self.mlp(self.mlp_norm(x_TD))
        return self.ops.add(x_TD, mixed if self.mlp_post_norm is None else self.mlp_post_norm(mixed))


class Decoder(nn.Module):
    """The stack, from token ids to final hidden states, and the head apart."""

    def __init__(self, spec: ModelSpec, ops: Ops) -> None:
        super().__init__()
        self.spec, self.ops = spec, ops
        self.embed = Embedding(spec.vocab_size, spec.hidden_size, spec.embed_scale, ops)
        self.layers = nn.ModuleList(DecoderLayer(spec, layer, ops) for layer in range(spec.num_layers))
        self.norm = Norm(spec.hidden_size, spec, ops)
        self.head = Linear(spec.hidden_size, spec.vocab_size, False, ops)
        if spec.tied_head:
            self.head.weight = self.embed.weight

    def forward(self, run: Pass, taps: Sequence[int]) -> Hidden:
        """Caches keys and values; returns hidden states of the logit rows and taps of every row."""
        x_TD = self.embed(run.step.token_T)
        tapped: dict[int, Tensor] = {}
        for index, layer in enumerate(self.layers):
            x_TD = layer(x_TD, run)
            if index in taps:
                tapped[index] = x_TD
        feature_TF = self.ops.join([tapped[tap] for tap in taps]) if taps else None
        return Hidden(self.norm(self.ops.pick(x_TD, run.step.logit_row_R)), feature_TF)

    def logits(self, hidden_RD: Tensor) -> Tensor:
        """Float32 logits [R, V] of final hidden states."""
        logits_RV: Tensor = self.head(hidden_RD).float()
        cap = self.spec.final_softcap
        return logits_RV if cap is None else self.ops.softcap(logits_RV, cap)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Final hidden states of the rows that want logits, and the taps (concatenated) of all rows."""

    hidden_RD: Tensor
    feature_TF: Tensor | None
