"""`DraftSpec`: the facts of a trained drafter, whatever file format they came from.

Readers of checkpoints (`io`) fill these in, networks (`nn`) are built from them. The tensors that belong to a spec go
by canonical names, weights as [out, in]; D is the draft's hidden size, F the target's times the number of taps:

    all         layers.{i}.{attn_norm,mlp_norm}.weight [D]      layers.{i}.attn.{q,k,v,o}.weight (and .bias if biased)
                layers.{i}.attn.{q,k}_norm.weight [head size], with `stack.qk_norm`
                layers.{i}.mlp.{gate,up,down}.weight            norm.weight [D]      fc.weight [D, F]
                head.weight [draft vocabulary, D]   embed.weight [vocabulary, D]   absent where borrowed from the target
                draft_ids int64 [draft vocabulary]  the target's id of each row of the head, ascending, if reduced
    dflash      feature_norm.weight [D]
      conv      layers.{i}.{attn,mlp}_conv.base [2, K, D]       layers.{i}.{attn,mlp}_conv.kernel.weight [2 K D / g, D]
      selector  selector.{before,after}.weight [vocabulary, rank]     selector.hidden.weight [rank, D]
      markov    markov.before.weight [vocabulary, rank]   markov.after.weight [draft vocabulary, rank]
      gated     markov.gate.weight [rank, D + rank]   markov.gate.bias [rank]
      rnn       markov.joint.weight [3 rank, 2 rank + D]   markov.joint.bias [3 rank]
      confidence  confidence.weight [1, D or D + rank]    confidence.bias [1], if it has one
    eagle3      layers.0.attn.{q,k,v}.weight [·, 2 D]     layers.0.feature_norm.weight [D]
                fc_norms.{tap}.weight [target's D] with `fc_norm`   input_norm.weight [F] with `norm_before_fc`
    specblock   fuse.weight [D, 3 D]   fuse_norms.{condition,token,slot}.weight [D]   slots.weight [K, D]
                shifts.{i}.weight [D, 2 D] between layers i and i + 1
                rank.up.weight [rank size, D + 15]   rank.down.weight [4, rank size]   (and .bias if biased)

Taps count the target's layers from 0 and mean the residual stream behind that layer, before any norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outrider.core.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftSpec:
    """What all trained drafters have.

    `stack` describes the draft's own layers; its `vocab_size` is the target's. `draft_vocab_size` counts the ids that
    the drafter can propose. `num_target_layers` is 0 where the file does not say; `verifier` names the target, if it
    does.
    """

    stack: ModelSpec
    taps: tuple[int, ...]
    target_hidden_size: int
    draft_vocab_size: int
    num_target_layers: int = 0
    verifier: str = ""

    @property
    def feature_size(self) -> int:
        return self.target_hidden_size * len(self.taps)

    @property
    def has_reduced_vocab(self) -> bool:
        """Whether draft ids are an ascending selection of the target's ids."""
        return self.draft_vocab_size != self.stack.vocab_size


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """DFlash 2: a grouped dynamic causal convolution around each sublayer. `kernel` taps, `group` features a weight."""

    kernel: int
    group: int


@dataclass(frozen=True, slots=True)
class SelectorSpec:
    """DFlash 2: picks among the `top_k` best of each row by what was picked before."""

    rank: int
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DFlashSpec(DraftSpec):
    """DFlash, DFlash 2 and DSpark.

    A block is the anchor and masks, `block_size` rows in all. Row k predicts the token at its own position; with
    `from_anchor` (DSpark) the one after it, so that the anchor's row predicts too. `causal` says by layer whether a
    row of the block sees only those before it; windows are the stack's. `markov_rank` 0 and `confidence` none: no such
    head.
    """

    block_size: int
    mask_id: int
    causal: tuple[bool, ...]
    from_anchor: bool = False
    input_scale: float = 1.0
    output_scale: float = 1.0
    softcap: float | None = None
    conv: ConvSpec | None = None
    selector: SelectorSpec | None = None
    markov_rank: int = 0
    markov_kind: Literal["vanilla", "gated", "rnn"] = "vanilla"
    confidence: Literal["none", "hidden", "hidden_markov"] = "none"

    @property
    def num_drafts(self) -> int:
        """Tokens that one block proposes."""
        return self.block_size if self.from_anchor else self.block_size - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Eagle3Spec(DraftSpec):
    """EAGLE-3 and 3.1. Layers behind the first are plain, as wide as the draft.

    `norm_before_residual`: the first layer's residual is the normed feature. `fc_norm`: each tap is normed before `fc`;
    `norm_before_fc`: all together. `norm_output`: the next step is fed the output behind the last norm, not before it.
    """

    norm_before_residual: bool = False
    norm_before_fc: bool = False
    fc_norm: bool = False
    norm_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecBlockSpec(DraftSpec):
    """SpecBlock: `num_slots` tokens a block; `rank_size` is the width inside the rank head, 0 without one."""

    num_slots: int
    rank_size: int = 0
