"""`CudaOps`: Triton for attention, rotation, norms, gates and packed products; torch's libraries for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from outrider.core.spec import Activation
from outrider.core.step import LayerCache
from outrider.ops.cuda.kernels import attention, matrix, rows
from outrider.ops.cuda.packed import PackedWeight, pack
from outrider.ops.cuda.plan import TILE_FIELDS, Heads, Plan, Planner
from outrider.ops.interface import AttentionShape, Pass
from outrider.ops.reference import ReferenceOps

_WIDE = {torch.float64: tl.float64, torch.float32: tl.float32, torch.float16: tl.float32, torch.bfloat16: tl.float32}
MAX_HEAD_SIZE = 256
_HEAD_BLOCK = 4  # heads that one program rotates
_GATE_BLOCK = 1024
_CONVOLVE_BLOCK = 512


@dataclass(frozen=True, slots=True)
class _Packed:
    """A packed weight with the parameter that it stands for, held so that its identity is not given away."""

    parameter: Tensor
    weight: PackedWeight


class CudaOps(ReferenceOps):
    """See `interface.Ops`. Heads that are odd or very large go the way of the reference; so does what has no kernel."""

    def __init__(self, device: torch.device, processors: int = 0) -> None:
        """`processors`: how many programs of attention make a device busy; 0 asks the device."""
        self.processors = processors or _processors(device)
        self._planner = Planner()
        self._packed: dict[int, _Packed] = {}

    def round(self, parameter: Tensor, bits: int) -> None:
        """Packs a matrix. The parameter keeps identity, shape and dtype, but no memory: it reads as no numbers."""
        self._packed[id(parameter)] = _Packed(parameter, pack(parameter.data, bits))
        parameter.data = parameter.data.new_full((1, 1), torch.nan).expand(parameter.shape)

    @property
    def packed_bytes(self) -> int:
        return sum(one.weight.num_bytes for one in self._packed.values())

    def fits(self, dtype: torch.dtype, head_size: int) -> bool:
        """Whether attention over such heads has a kernel; what has none goes the way of the reference."""
        return dtype in _WIDE and head_size % 2 == 0 and head_size <= MAX_HEAD_SIZE

    def packed(self, weight: Tensor) -> PackedWeight | None:
        """What a parameter was packed to, if it was."""
        found = self._packed.get(id(weight))
        return None if found is None else found.weight

    def embed(self, token_T: Tensor, weight: Tensor, scale: float) -> Tensor:
        packed = self.packed(weight)
        if packed is None:
            return super().embed(token_T, weight, scale)
        return (packed.unpacked(token_T) * scale).to(weight.dtype)

    def linear(self, x_TD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        packed = self.packed(weight)
        return super().linear(x_TD, weight, bias) if packed is None else packed_linear(x_TD, packed, bias)

    def norm(self, x_TD: Tensor, weight: Tensor, eps: float) -> Tensor:
        x_TD, size = x_TD.contiguous(), len(weight)
        out_TD, block = torch.empty_like(x_TD), triton.next_power_of_2(size)
        rows.norm_kernel[(x_TD.numel() // size,)](x_TD, weight, out_TD, eps, size, block, _WIDE[x_TD.dtype],
                                                       num_warps=_warps(block))
        return out_TD

    def attention(self, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> Tensor:
        if not self.fits(q_TD.dtype, shape.head_size):
            return super().attention(q_TD, k_TD, v_TD, run, shape)
        size, cache = shape.head_size, run.caches[shape.layer]
        turned_TD = torch.empty(q_TD.shape, dtype=q_TD.dtype, device=q_TD.device)
        _rotate(q_TD, k_TD, v_TD, turned_TD, run, shape)
        groups = k_TD.shape[1] // size
        heads = Heads(q_TD.shape[1] // size // groups, groups, size * q_TD.dtype.itemsize, self.processors)
        return _attend(turned_TD, cache, self._planner.plan(run.step, heads), heads, run.step.position_T, shape)

    def remember(self, k_TD: Tensor, v_TD: Tensor, run: Pass, shape: AttentionShape) -> None:
        if self.fits(k_TD.dtype, shape.head_size):
            _rotate(None, k_TD, v_TD, k_TD, run, shape)
        else:
            super().remember(k_TD, v_TD, run, shape)

    def gate(self, gate_TI: Tensor, up_TI: Tensor, activation: Activation) -> Tensor:
        gate_TI, up_TI = gate_TI.contiguous(), up_TI.contiguous()
        out_TI, count = torch.empty_like(gate_TI), gate_TI.numel()
        grid = (triton.cdiv(count, _GATE_BLOCK),)
        rows.gate_kernel[grid](gate_TI, up_TI, out_TI, count, activation == "silu", _GATE_BLOCK, _WIDE[gate_TI.dtype])
        return out_TI

    def convolve(self, x_TD: Tensor, kernel_TE: Tensor, base_2KD: Tensor, run: Pass, side: int) -> Tensor:
        x_TD, kernel_TE, base_2KD = x_TD.contiguous(), kernel_TE.contiguous(), base_2KD.contiguous()
        out_TD, (count, size), taps = torch.empty_like(x_TD), x_TD.shape, base_2KD.shape[1]
        group = 2 * taps * size // kernel_TE.shape[1]
        if count:
            rows.convolve_kernel[(count, triton.cdiv(size, _CONVOLVE_BLOCK))](
                x_TD, kernel_TE, base_2KD, run.step.previous_T, out_TD, side, taps, size, group, _CONVOLVE_BLOCK,
                _WIDE[x_TD.dtype])
        return out_TD


def packed_linear(x_TD: Tensor, weight: PackedWeight, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias with a packed weight."""
    x_TD, count = x_TD.contiguous(), len(x_TD)
    out_TN = torch.empty(count, weight.rows, dtype=x_TD.dtype, device=x_TD.device)
    block_t = min(64, max(16, triton.next_power_of_2(count)))
    block_n = 64 if weight.rows >= 16_384 else 32
    grid = (triton.cdiv(weight.rows, block_n), triton.cdiv(count, block_t))
    if count:
        matrix.packed_linear_kernel[grid](
            x_TD, weight.code, weight.scale_NG, weight.minimum_NG, x_TD if bias is None else bias, out_TN, count,
            weight.rows, weight.inputs, weight.bits == 4, bias is not None, block_t, block_n, 128)
    return out_TN


def _rotate(q_TD: Tensor | None, k_TD: Tensor, v_TD: Tensor, turned_TD: Tensor, run: Pass,
            shape: AttentionShape) -> None:
    """Queries, if any, into `turned_TD`; keys and values into the cache."""
    step, cache, size = run.step, run.caches[shape.layer], shape.head_size
    table = run.ropes.local if shape.local else run.ropes.full
    heads, groups = 0 if q_TD is None else q_TD.shape[1] // size, k_TD.shape[1] // size
    grid = (len(k_TD), triton.cdiv(heads, _HEAD_BLOCK) + triton.cdiv(groups, _HEAD_BLOCK))
    if len(k_TD):
        rows.rotate_kernel[grid](
            k_TD if q_TD is None else q_TD.contiguous(), k_TD.contiguous(), v_TD.contiguous(), turned_TD,
            cache.key_SGK, cache.value_SGK, table.cos_PK, table.sin_PK, step.position_T, step.slot_T,
            heads, groups, size, _HEAD_BLOCK, triton.next_power_of_2(size // 2), _WIDE[k_TD.dtype],
            num_warps=2)


def _attend(turned_TD: Tensor, cache: LayerCache, plan: Plan, heads: Heads, position_T: Tensor,
            shape: AttentionShape) -> Tensor:
    """Rows whose queries are rotated, over a cache that holds their keys and values."""
    tiling, size = plan.tiling, shape.head_size
    out_TD, num_heads = torch.empty_like(turned_TD), turned_TD.numel() // size
    many = num_heads * tiling.splits if tiling.splits > 1 else 0
    wide = torch.promote_types(out_TD.dtype, torch.float32)
    part, stat = (torch.empty(many * width, dtype=wide, device=out_TD.device) for width in (size, 2))
    block_k = max(16, triton.next_power_of_2(size))
    grid = (tiling.tiles, heads.groups, tiling.splits)
    if tiling.tiles:
        attention.attend_kernel[grid](
            turned_TD, cache.key_SGK, cache.value_SGK, out_TD, part, stat, plan.slot_S, plan.tile_NF, plan.place_A,
            plan.seen_TW, position_T, shape.window, tiling.chunk, tiling.words,
            heads.groups, heads.rep, size, TILE_FIELDS, tiling.block, entry_block(out_TD.dtype, block_k), block_k,
            tiling.splits, shape.both_ways, _WIDE[out_TD.dtype], shape.scale, shape.softcap or 0.0, num_stages=2)
    if tiling.splits > 1:
        attention.join_kernel[(num_heads,)](part, stat, out_TD, size, block_k, tiling.splits,
                                            triton.next_power_of_2(tiling.splits))
    return out_TD


def entry_block(dtype: torch.dtype, block_k: int) -> int:
    """Entries that are looked at at once: keys and values of two such blocks have to fit in 99 KiB of fast memory."""
    return max(16, min(64, 16_384 // (block_k * dtype.itemsize)))


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _warps(block: int) -> int:
    return 1 if block <= 256 else min(8, max(4, block // 1024))
