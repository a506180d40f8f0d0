"""Products with packed weights: codes become 16-bit (or float32) numbers on the way into the tensor cores."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def packed_linear_kernel(
    x_TD: tl.tensor, code: tl.tensor, scale_NG: tl.tensor, minimum_NG: tl.tensor, bias_N: tl.tensor, out_TN: tl.tensor,
    rows: int, N: tl.constexpr, D: tl.constexpr, NIBBLES: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
) -> None:
    """x @ weight.T + bias. Grid: blocks of outputs, blocks of rows. Layouts: `packed.PackedWeight`."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    t = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)
    acc_TN = tl.zeros((BLOCK_T, BLOCK_N), tl.float32)
    for begin in range(0, D, BLOCK_D):
        if NIBBLES:
            acc_TN = _nibbles(acc_TN, x_TD, code, scale_NG, minimum_NG, t, n, begin, rows, N, D, BLOCK_D)
        else:
            acc_TN = _bytes(acc_TN, x_TD, code, scale_NG, t, n, begin, rows, N, D, BLOCK_D)
    if BIASED:
        acc_TN += tl.load(bias_N + n, mask=n < N, other=0.0).to(tl.float32)[None, :]
    inside_TN = (t < rows)[:, None] & (n < N)[None, :]
    tl.store(out_TN + t.to(tl.int64)[:, None] * N + n[None, :], acc_TN.to(out_TN.dtype.element_ty), mask=inside_TN)


@triton.jit
def _nibbles(acc_TN: tl.tensor, x_TD: tl.tensor, code: tl.tensor, scale_NG: tl.tensor, minimum_NG: tl.tensor,
             t: tl.tensor, n: tl.tensor, begin: tl.tensor, rows: int, N: tl.constexpr, D: tl.constexpr,
             BLOCK_D: tl.constexpr) -> tl.tensor:
    """Byte i of a group of 32 holds codes i and i + 16: low and high halves are two products."""
    half = begin // 2 + tl.arange(0, BLOCK_D // 2)
    inside_NH = (n < N)[:, None] & (half < D // 2)[None, :]
    code_NH = tl.load(code + n.to(tl.int64)[:, None] * (D // 2) + half[None, :], mask=inside_NH, other=0)
    group_NH = n[:, None] * (D // 32) + (half // 16)[None, :]
    scale_NH = tl.load(scale_NG + group_NH, mask=inside_NH, other=0.0).to(tl.float32)
    minimum_NH = tl.load(minimum_NG + group_NH, mask=inside_NH, other=0.0).to(tl.float32)
    for high in tl.static_range(2):
        d = half // 16 * 32 + half % 16 + 16 * high
        inside_TH = (t < rows)[:, None] & (half < D // 2)[None, :]
        x_TH = tl.load(x_TD + t.to(tl.int64)[:, None] * D + d[None, :], mask=inside_TH, other=0.0)
        number_NH = ((code_NH >> (4 * high)) & 15).to(tl.float32) * scale_NH - minimum_NH
        acc_TN = tl.dot(x_TH, tl.trans(number_NH.to(x_TH.dtype)), acc_TN, input_precision="ieee")
    return acc_TN


@triton.jit
def _bytes(acc_TN: tl.tensor, x_TD: tl.tensor, code: tl.tensor, scale_NG: tl.tensor, t: tl.tensor, n: tl.tensor,
           begin: tl.tensor, rows: int, N: tl.constexpr, D: tl.constexpr, BLOCK_D: tl.constexpr) -> tl.tensor:
    d = begin + tl.arange(0, BLOCK_D)
    inside_ND = (n < N)[:, None] & (d < D)[None, :]
    code_ND = tl.load(code + n.to(tl.int64)[:, None] * D + d[None, :], mask=inside_ND, other=0)
    scale_ND = tl.load(scale_NG + n[:, None] * (D // 32) + (d // 32)[None, :], mask=inside_ND, other=0.0)
    inside_TD = (t < rows)[:, None] & (d < D)[None, :]
    x = tl.load(x_TD + t.to(tl.int64)[:, None] * D + d[None, :], mask=inside_TD, other=0.0)
    number_ND = code_ND.to(tl.float32) * scale_ND.to(tl.float32)
    return tl.dot(x, tl.trans(number_ND.to(x.dtype)), acc_TN, input_precision="ieee")
