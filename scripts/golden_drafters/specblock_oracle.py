"""SpecBlock in plain torch, all rows of all blocks at once under a mask that says who sees whom.

No package of it exists: this is written down from the paper and what is known of the released code (names of tensors,
positions, visibility), and shares nothing with `src/outrider`.

Source: Shi et al., "SpecBlock" (arXiv 2605.07243).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RANK_INNER = 256
RANKS = 4


@dataclass(frozen=True, slots=True)
class Sizes:
    vocab: int
    draft_vocab: int
    hidden: int
    target_hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    slots: int
    eps: float = 1e-5
    theta: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Block:
    """K rows: block `behind` (none: the committed text) and its slot `slot` say what it hangs from.

    `place` is the text's row that all blocks of a path share: row j holds token j + 1 and feature j.
    """

    place: int
    token: int
    behind: Block | None = None
    slot: int = -1


@dataclass(frozen=True, slots=True)
class Found:
    """Shapes: logits [blocks, K, W], hidden [blocks, K, D] before the last norm, rank_logits [blocks, K, 4]."""

    logits: Tensor
    hidden: Tensor
    rank_logits: Tensor


class Norm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes, self.width = sizes, sizes.hidden // sizes.heads
        self.q_proj = nn.Linear(sizes.hidden, sizes.heads * self.width, bias=False)
        self.k_proj = nn.Linear(sizes.hidden, sizes.kv_heads * self.width, bias=False)
        self.v_proj = nn.Linear(sizes.hidden, sizes.kv_heads * self.width, bias=False)
        self.o_proj = nn.Linear(sizes.heads * self.width, sizes.hidden, bias=False)

    def rotated(self, x: Tensor, positions: Tensor) -> Tensor:
        """x is [heads, rows, width]; the first half of a head's features is turned against the second."""
        half = self.width // 2
        angle = positions[:, None] * self.sizes.theta ** (-torch.arange(half) / half)
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        q, k, v = (layer(x).view(len(x), -1, self.width).transpose(0, 1)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        group = self.sizes.heads // self.sizes.kv_heads
        q, k = self.rotated(q, positions), self.rotated(k, positions).repeat_interleave(group, 0)
        scores = (q @ k.transpose(1, 2)) * self.width**-0.5
        share = scores.masked_fill(~visible, float("-inf")).softmax(-1)
        return self.o_proj((share @ v.repeat_interleave(group, 0)).transpose(0, 1).flatten(1))


class MLP(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(sizes.hidden, sizes.inner, bias=False)
        self.up_proj = nn.Linear(sizes.hidden, sizes.inner, bias=False)
        self.down_proj = nn.Linear(sizes.inner, sizes.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.input_layernorm = Norm(sizes.hidden, sizes.eps)
        self.post_attention_layernorm = Norm(sizes.hidden, sizes.eps)
        self.self_attn = Attention(sizes)
        self.mlp = MLP(sizes)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), positions, visible)
        return x + self.mlp(self.post_attention_layernorm(x))


class InputLayer(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.condition_proj = nn.Linear(3 * sizes.target_hidden, sizes.hidden, bias=False)
        self.condition_norm = Norm(sizes.hidden, sizes.eps)
        self.embed_tokens = nn.Embedding(sizes.vocab, sizes.hidden)
        self.token_norm = Norm(sizes.hidden, sizes.eps)
        self.position_queries = nn.Embedding(sizes.slots, sizes.hidden)
        self.query_norm = Norm(sizes.hidden, sizes.eps)
        self.fuse = nn.Linear(3 * sizes.hidden, sizes.hidden, bias=False)

    def forward(self, condition: Tensor, tokens: Tensor, slots: Tensor) -> Tensor:
        return self.fuse(torch.cat([self.condition_norm(condition), self.token_norm(self.embed_tokens(tokens)),
                                    self.query_norm(self.position_queries(slots))], dim=-1))


@dataclass(slots=True)
class Rows:
    """The rows laid out so far, `slots` for each block, and the hidden states that their outputs left."""

    blocks: list[Block] = field(default_factory=list)
    conditions: list[Tensor] = field(default_factory=list)


class SpecBlock(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.input_layer = InputLayer(sizes)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.shift_proj = nn.ModuleList(
            nn.Linear(2 * sizes.hidden, sizes.hidden, bias=False) for _ in range(sizes.layers - 1))
        self.norm = Norm(sizes.hidden, sizes.eps)
        self.lm_head = nn.Linear(sizes.hidden, sizes.draft_vocab, bias=False)
        self.rank_head = nn.Sequential(nn.Linear(sizes.hidden + 15, RANK_INNER, bias=False), nn.SiLU(),
                                       nn.Linear(RANK_INNER, RANKS, bias=False))
        self.register_buffer("t2d", torch.ones(sizes.vocab, dtype=torch.bool))
        self.register_buffer("d2t", torch.zeros(sizes.draft_vocab, dtype=torch.long))

    def run(self, text: list[int], features: Tensor, deeper: list[Block]) -> Found:
        """First blocks at all rows of the text, then `deeper` ones, each behind one that is already there."""
        rows = Rows([Block(row, token) for row, token in enumerate(text[1:])],
                    list(self.input_layer.condition_proj(features[: len(text) - 1])))
        known: dict[int, int] = {}
        for block in deeper:
            # A block's condition is the output of the slot that it hangs from: all that is laid out must run first.
            hidden = self.outputs(rows)[0]
            assert block.behind is not None, "first blocks come from the text"
            source = known.get(id(block.behind), block.place)
            known[id(block)] = len(rows.blocks)
            rows.blocks.append(block)
            rows.conditions.append(hidden[source, block.slot])
        hidden, logits = self.outputs(rows)
        return Found(logits, hidden, self.ranks(hidden, logits))

    def outputs(self, rows: Rows) -> tuple[Tensor, Tensor]:
        size, count = self.sizes.slots, len(rows.blocks)
        slots = torch.arange(size).repeat(count)
        tokens = torch.tensor([block.token for block in rows.blocks]).repeat_interleave(size)
        # Deeper blocks of a path keep the positions of its first one.
        positions = torch.tensor([block.place + 1 for block in rows.blocks]).repeat_interleave(size) + slots
        x = self.input_layer(torch.stack(rows.conditions).repeat_interleave(size, 0), tokens, slots)
        visible = self.visibility(rows)
        before = torch.arange(len(x)) - (slots > 0).long()  # slot 0 stands in for its own predecessor
        for index, layer in enumerate(self.layers):
            if index:
                x = self.shift_proj[index - 1](torch.cat([x, x[before]], dim=-1))
            x = layer(x, positions, visible)
        hidden = x.view(count, size, -1)
        return hidden, self.lm_head(self.norm(hidden))

    def visibility(self, rows: Rows) -> Tensor:
        """A slot sees the first blocks of earlier rows, the slots up to the taken one on its path, its own so far."""
        size, count = self.sizes.slots, len(rows.blocks)
        of_block = torch.zeros(count, count, size, dtype=torch.bool)
        for index, block in enumerate(rows.blocks):
            for other, seen in enumerate(rows.blocks):
                of_block[index, other] = seen.behind is None and seen.place < block.place
            while block.behind is not None:
                other = self.index_of(rows, block.behind)
                of_block[index, other, : block.slot + 1] = True
                block = block.behind
        visible = of_block.repeat_interleave(size, 0).flatten(1)
        own = torch.block_diag(*[torch.ones(size, size).tril()] * count).bool()
        return visible | own

    def index_of(self, rows: Rows, block: Block) -> int:
        if block.behind is None:
            return block.place
        return next(index for index, other in enumerate(rows.blocks) if other is block)

    def ranks(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """From the normed hidden state and what the twenty best logits look like."""
        best = logits.topk(20, dim=-1).values
        logp = best.log_softmax(-1)
        share = logp.exp()
        seen = [logp[..., :10], best[..., :1] - best[..., [1, 2, 4]], share[..., :1], -(share * logp).sum(-1, True)]
        return self.rank_head(torch.cat([self.norm(hidden), *seen], dim=-1))
