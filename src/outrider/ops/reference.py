"""The readable implementation of `Ops`: plain torch, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import Span
from outrider.ops.interface import AttentionShape, Pass, RopeTable


class ReferenceOps:
    """See `interface.Ops`. Norms, rotations and softmax are taken in float32, or float64 where the weights are."""

    def embed(self, token_T: Tensor, weight: Tensor, scale: float) -> Tensor:
        rows_TD = F.embedding(token_T, weight)
        return rows_TD if scale == 1.0 else rows_TD * scale

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x_TD, weight, bias)

    def norm(self, x_TD: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = _stretches(_widened(x_TD), len(weight))
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        return (scaled * _widened(weight)).to(x_TD.dtype).view(x_TD.shape)

    def attention(self, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> Tensor:
        self.remember(k_TD, v_TD, run, shape)
        step, cache = run.step, run.caches[shape.layer]
        q_THK = _rotated(_stretches(q_TD, shape.head_size), _table(run, shape), step.position_T)
        out_THK = torch.empty_like(q_THK)
        for span in step.spans:
            rows = slice(span.begin, span.begin + span.count)
            key_LGK, value_LGK = cache.key_SGK[span.slot_L], cache.value_SGK[span.slot_L]
            out_THK[rows] = _attend(q_THK[rows], key_LGK, value_LGK, _mask(span, shape), shape)
        return out_THK.reshape(q_TD.shape)

    def remember(self, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> None:
        step, cache = run.step, run.caches[shape.layer]
        k_TGK, v_TGK = (_stretches(x, shape.head_size) for x in (k_TD, v_TD))
        cache.key_SGK[step.slot_T] = _rotated(k_TGK, _table(run, shape), step.position_T)
        cache.value_SGK[step.slot_T] = v_TGK

    def previous(self, x_TD: Tensor, run: Pass) -> Tensor:
        row_T = run.step.previous_T
        return x_TD[torch.where(row_T < 0, torch.arange(len(row_T), device=row_T.device), row_T)]

    def convolve(self, x_TD: Tensor, kernel_TE: Tensor, base_2KD: Tensor, run: Pass, side: int) -> Tensor:
        count, size = x_TD.shape
        taps, row_T = base_2KD.shape[1], run.step.previous_T
        kernel_TKE = kernel_TE.view(count, 2, taps, -1)[:, side]
        weight_TKD = base_2KD[side] + kernel_TKE.repeat_interleave(size // kernel_TKE.shape[-1], -1)
        y_TD = weight_TKD[:, 0] * x_TD
        for tap in range(1, taps):
            x_TD = torch.where(row_T[:, None] < 0, 0.0, x_TD[row_T])
            y_TD = y_TD + weight_TKD[:, tap] * x_TD
        return y_TD

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        active = F.silu(gate_TI) if activation == "silu" else F.gelu(gate_TI, approximate="tanh")
        return active * up_TI

    def add(self, x_TD: Tensor, y_TD: Tensor) -> Tensor:
        return x_TD + y_TD

    def pick(self, x_TD: Tensor, row_R: Tensor) -> Tensor:
        return x_TD[row_R]

    def join(self, x_TDs: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(x_TDs), dim=-1)

    def softcap(self, x_RV: Tensor, cap: float) -> Tensor:
        return torch.tanh(x_RV / cap) * cap


def _table(run: Pass, shape: AttentionShape) -> RopeTable:
    return run.ropes.local if shape.local else run.ropes.full


def _stretches(x_TD: Tensor, size: int) -> Tensor:
    return x_TD.view(len(x_TD), x_TD.shape[1] // size, size)


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _rotated(x_THK: Tensor, table: RopeTable, position_T: Tensor) -> Tensor:
    cos_T1K = table.cos_PK[position_T].unsqueeze(1)
    sin_T1K = table.sin_PK[position_T].unsqueeze(1)
    left, right = _widened(x_THK).chunk(2, dim=-1)
    turned = torch.cat((left * cos_T1K - right * sin_T1K, right * cos_T1K + left * sin_T1K), dim=-1)
    return turned.to(x_THK.dtype)


def _mask(span: Span, shape: AttentionShape) -> Tensor | None:
    """Which entries the rows of a span see; None for all of them."""
    visible_ML = span.visible_ML
    if shape.both_ways and visible_ML is not None:
        visible_ML = visible_ML[-1:].expand(span.count, -1) if span.first else None  # the last row sees all others
    if not 0 < shape.window < len(span.slot_L):
        return visible_ML
    near_ML = span.distance_ML.abs() < shape.window
    return near_ML if visible_ML is None else near_ML & visible_ML


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
