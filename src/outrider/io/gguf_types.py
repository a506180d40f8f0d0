"""The types of GGUF values and tensors: their numbers in the file, their sizes, their names.

Imports neither torch nor `gguf`, so that listing models stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass

from outrider.errors import CheckpointError

STRING = 8
ARRAY = 9
INDICES = "I64"  # token ids, in drafters; no weights
SCALAR_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


@dataclass(frozen=True, slots=True)
class TensorType:
    """How values are stored: blocks of `block_size` values in `block_bytes` bytes."""

    name: str
    block_size: int
    block_bytes: int

    @property
    def quantised(self) -> bool:
        return self.block_size > 1

    def row_bytes(self, num_values: int) -> int:
        return num_values // self.block_size * self.block_bytes


TENSOR_TYPES = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    27: TensorType(INDICES, 1, 8),
    30: TensorType("BF16", 1, 2),
}

# Known to other programs, not readable here: named in the message instead of shown as a number.
_UNSUPPORTED = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 28: "F64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip


def tensor_type(number: int, where: str) -> TensorType:
    """Raises: CheckpointError where the type is not supported."""
    if number in TENSOR_TYPES:
        return TENSOR_TYPES[number]
    given = _UNSUPPORTED.get(number, f"number {number}")
    supported = ", ".join(known.name for known in TENSOR_TYPES.values())
    raise CheckpointError(f"{where} has the type {given}, which is not supported; supported: {supported}")
