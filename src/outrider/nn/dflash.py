"""DFlash's network: a few layers that see a whole block of masks at once, with the target's features as context.

    features ─ fc ─ norm ─ C ──────┬─────────┬── …    `absorb`: each layer's keys and values of C, into the cache
                                   k v       k v
    anchor mask mask … ─ embed ─ layer 0 ─ layer 1 … ─ norm ─ head      `block`: all rows at once

The context has no rows of its own: it is seen, and sees nothing. DFlash 2 convolves along the block around each
sublayer.

Source: Chen, Liang, Liu, "DFlash" (arXiv 2602.06036), §3; convolutions after the DFlash 2 release.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from outrider.core.draft_spec import ConvSpec, DFlashSpec
from outrider.nn.decoder import Attention, GatedMLP
from outrider.nn.layers import Embedding, Linear, Norm
from outrider.nn.network import Outputs
from outrider.ops.interface import Ops, Pass


class BlockAttention(Attention):
    """The decoder's attention, but for blocks: the context is absorbed apart."""

    def absorb(self, context_TD: Tensor, run: Pass) -> None:
        """Caches keys and values of context rows."""
        k_TD = self.k(context_TD)
        self.ops.remember(k_TD if self.k_norm is None else self.k_norm(k_TD), self.v(context_TD), run, self.shape)


class Convolution(nn.Module):
    """Mixes each row with those before it in the block, on the way into a sublayer (side 0) and out of it (side 1)."""

    def __init__(self, size: int, conv: ConvSpec, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        self.base = nn.Parameter(torch.empty(2, conv.kernel, size), requires_grad=False)
        self.kernel = Linear(size, 2 * conv.kernel * size // conv.group, False, ops)

    def forward(self, x_TD: Tensor, kernel_TE: Tensor, run: Pass, side: int) -> Tensor:
        return self.ops.convolve(x_TD, kernel_TE, self.base, run, side)


class DFlashLayer(nn.Module):
    """Pre-norm attention and MLP; with `conv` each between two convolutions whose kernels come from its input."""

    def __init__(self, spec: DFlashSpec, layer: int, ops: Ops) -> None:
        super().__init__()
        stack, size = spec.stack, spec.stack.hidden_size
        self.ops = ops
        self.attn_norm = Norm(size, stack, ops)
        self.attn = BlockAttention(stack, layer, ops, both_ways=not spec.causal[layer])
        self.mlp_norm = Norm(size, stack, ops)
        self.mlp = GatedMLP(stack, ops)
        self.attn_conv = Convolution(size, spec.conv, ops) if spec.conv else None
        self.mlp_conv = Convolution(size, spec.conv, ops) if spec.conv else None

    def forward(self, x_TD: Tensor, run: Pass) -> Tensor:
        normed_TD = self.attn_norm(x_TD)
        if self.attn_conv is None or self.mlp_conv is None:
            x_TD = self.ops.add(x_TD, self.attn(normed_TD, run))
            return self.ops.add(x_TD, self.mlp(self.mlp_norm(x_TD)))
        kernel_TE = self.attn_conv.kernel(normed_TD)
        mixed_TD = self.attn(self.attn_conv(normed_TD, kernel_TE, run, 0), run)
        x_TD = self.ops.add(x_TD, self.attn_conv(mixed_TD, kernel_TE, run, 1))
        normed_TD = self.mlp_norm(x_TD)
        kernel_TE = self.mlp_conv.kernel(normed_TD)
        mixed_TD = self.mlp(self.mlp_conv(normed_TD, kernel_TE, run, 0))
        return self.ops.add(x_TD, self.mlp_conv(mixed_TD, kernel_TE, run, 1))


class MarkovProduct(nn.Module):
    """The large half of a Markov head: what a vector means for every token."""

    def __init__(self, spec: DFlashSpec, ops: Ops) -> None:
        super().__init__()
        self.after = Linear(spec.markov_rank, spec.draft_vocab_size, False, ops)


class DFlashNetwork(nn.Module):
    """Passes: `absorb`, fed with features; `block`, with the tokens of blocks; `bias`, what a correction head mixes."""

    def __init__(self, spec: DFlashSpec, ops: Ops) -> None:
        super().__init__()
        stack = spec.stack
        self.ops, self.softcap = ops, spec.softcap
        self.fc = Linear(spec.feature_size, stack.hidden_size, False, ops)
        self.feature_norm = Norm(stack.hidden_size, stack, ops)
        self.embed = Embedding(stack.vocab_size, stack.hidden_size, spec.input_scale, ops)
        self.layers = nn.ModuleList(DFlashLayer(spec, layer, ops) for layer in range(stack.num_layers))
        self.norm = Norm(stack.hidden_size, stack, ops)
        self.head = Linear(stack.hidden_size, spec.draft_vocab_size, False, ops)
        self.markov = MarkovProduct(spec, ops) if spec.markov_rank else None

    def absorb(self, run: Pass, feature_TF: Tensor) -> Outputs:
        context_TD = self.feature_norm(self.fc(feature_TF))
        for layer in self.layers:
            layer.attn.absorb(context_TD, run)  # type: ignore[union-attr, operator]
        return Outputs()

    def block(self, run: Pass, _: Tensor | None) -> Outputs:
        x_TD = self.embed(run.step.token_T)
        for layer in self.layers:
            x_TD = layer(x_TD, run)
        hidden_RD = self.norm(self.ops.pick(x_TD, run.step.logit_row_R))
        logits_RV = self.head(hidden_RD).float()
        return Outputs(logits_RV if self.softcap is None else self.ops.softcap(logits_RV, self.softcap), hidden_RD)

    def bias(self, _: Pass, mixed_TE: Tensor) -> Outputs:
        assert self.markov is not None, "only Markov heads have a bias"
        return Outputs(self.markov.after(mixed_TE).float())
