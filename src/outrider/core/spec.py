"""`ModelSpec`: the facts that make one dense decoder family differ from another.

Readers of files (`io`) fill it in, layers (`nn`) are built from it. It holds no tensors and no names of
other people's configuration keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Activation = Literal["silu", "gelu_tanh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """Rotary position embedding of one kind of layer (half-rotation layout).

    `scaling` follows the names used by published configs: `none`, `linear` (positions divided by `factor`), `llama3`
    (low frequencies divided by `factor`, a smooth ramp between the two wavelengths) or `yarn` (likewise, the ramp being
    over pairs between `beta_fast` and `beta_slow` turns in `original_positions`, rounded outwards if `whole_pairs`).
    `magnitude` multiplies cos and sin.
    `frequency_divisor` divides each of the `head_size / 2` frequencies where the file stores the divisors
    themselves, as GGUF does for Llama 3 (`rope_freqs.weight`); it then replaces `scaling`.
    """

    theta: float = 10_000.0
    scaling: Literal["none", "linear", "llama3", "yarn"] = "none"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    whole_pairs: bool = True
    magnitude: float = 1.0
    frequency_divisor: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Everything needed to build a dense decoder.

    `sliding` has one flag a layer: true where the layer sees only the last `window` positions (the current one
    included) and uses `local_rope`; false where it sees everything and uses `rope`.
    `norm_offset` is added to every norm weight (1.0 for Gemma weights stored around zero; GGUF files already
    contain the sum, so there it is 0.0).
    """

    family: str  # llama, qwen2, qwen3, mistral, gemma3
    vocab_size: int
    hidden_size: int
    inner_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    max_positions: int
    norm_eps: float
    rope: RopeSpec = field(default_factory=RopeSpec)
    local_rope: RopeSpec | None = None
    sliding: tuple[bool, ...] = ()
    window: int = 0
    activation: Activation = "silu"
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    post_norms: bool = False  # Gemma: a norm after attention and one after the MLP, inside the residual branch
    norm_offset: float = 0.0
    embed_scale: float = 1.0
    attention_scale: float | None = None  # None: head_size ** -0.5
    attention_softcap: float | None = None
    final_softcap: float | None = None
    tied_head: bool = False
    eos_ids: tuple[int, ...] = ()
    bos_id: int | None = None

    @property
    def query_size(self) -> int:
        return self.num_heads * self.head_size

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_size

    def is_sliding(self, layer: int) -> bool:
        return bool(self.sliding) and self.sliding[layer]
