"""Embedding, linear and norm over `Ops`: the places where weights of another kind than tensors will go."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from outrider.core.spec import ModelSpec
from outrider.ops.interface import Ops


class Embedding(nn.Module):
    """Rows of a table by token id, times `scale`; weight [V, D]."""

    def __init__(self, num_rows: int, size: int, scale: float, ops: Ops) -> None:
        super().__init__()
        self.ops, self.scale = ops, scale
        self.weight = nn.Parameter(torch.empty(num_rows, size), requires_grad=False)

    def forward(self, token_T: Tensor) -> Tensor:
        return self.ops.embed(token_T, self.weight, self.scale)


class Linear(nn.Module):
    """x @ weight.T + bias through `ops.linear`; weight [out, in]."""

    def __init__(self, num_in: int, num_out: int, bias: bool, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        self.weight = nn.Parameter(torch.empty(num_out, num_in), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(num_out), requires_grad=False) if bias else None

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.ops.linear(x_TD, self.weight, self.bias)


class Norm(nn.Module):
    """Root-mean-square norm of a row or of each head in it; the loader has added the family's offset to the weight."""

    def __init__(self, size: int, spec: ModelSpec, ops: Ops) -> None:
        super().__init__()
        self.ops, self.eps = ops, spec.norm_eps
        self.weight = nn.Parameter(torch.empty(size), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.ops.norm(x, self.weight, self.eps)
