"""The readable implementation of `Ops`: plain torch, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import Span
from outrider.ops.interface import AttentionShape, RopeTable


class ReferenceOps:
    """See `interface.Ops`. Norms, rotations and softmax are taken in float32, or float64 where the weights are."""

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x_TD, weight, bias)

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = _widened(x)
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        return (scaled * _widened(weight)).to(x.dtype)

    def rotate(self, x_THK: Tensor, table: RopeTable, position_T: Tensor) -> Tensor:
        cos_T1K = table.cos_PK[position_T].unsqueeze(1)
        sin_T1K = table.sin_PK[position_T].unsqueeze(1)
        left, right = _widened(x_THK).chunk(2, dim=-1)
        turned = torch.cat((left * cos_T1K - right * sin_T1K, right * cos_T1K + left * sin_T1K), dim=-1)
        return turned.to(x_THK.dtype)

    def attention(self, q_THK: Tensor, key_SGK: Tensor, value_SGK: Tensor, spans: Sequence[Span],
                  shape: AttentionShape) -> Tensor:
        out_THK = torch.empty_like(q_THK)
        for span in spans:
            rows = slice(span.begin, span.begin + span.count)
            visible_ML = span.local_ML if shape.local else span.visible_ML
            key_LGK, value_LGK = key_SGK[span.slot_L], value_SGK[span.slot_L]
            out_THK[rows] = _attend(q_THK[rows], key_LGK, value_LGK, visible_ML, shape)
        return out_THK

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        active = F.silu(gate_TI) if activation == "silu" else F.gelu(gate_TI, approximate="tanh")
        return active * up_TI


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _attend(q_MHK: Tensor, key_LGK: Tensor, value_LGK: Tensor, visible_ML: Tensor | None,
            shape: AttentionShape) -> Tensor:
    """Grouped-query attention of M rows over L entries: each of G key heads serves H / G query heads."""
    count, heads, size = q_MHK.shape
    groups = key_LGK.shape[1]
    q_GRK = q_MHK.view(count, groups, heads // groups, size).permute(1, 2, 0, 3).reshape(groups, -1, size)
    score_GRL = q_GRK @ key_LGK.permute(1, 2, 0)
    score_GHML = _widened(score_GRL).view(groups, heads // groups, count, -1) * shape.scale
    if shape.softcap is not None:
        score_GHML = torch.tanh(score_GHML / shape.softcap) * shape.softcap
    if visible_ML is not None:
        score_GHML = score_GHML.masked_fill(~visible_ML, -torch.inf)
    weight_GRL = score_GHML.softmax(-1).to(q_MHK.dtype).view(groups, -1, key_LGK.shape[0])
    out_GRK = weight_GRL @ value_LGK.permute(1, 0, 2)
    return out_GRK.view(groups, heads // groups, count, size).permute(2, 0, 1, 3).reshape(count, heads, size)
