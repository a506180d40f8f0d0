"""Tiny targets with random weights, and what a drafter gets from them: embedding, head, tokens and tapped features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn


def randomise(model: nn.Module, seed: int) -> None:
    """Weights large enough that every part matters, norms and convolutions around one; all exact in bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            weight = 1.0 + 0.3 * noise
        elif name.endswith("base_kernel"):
            weight = 0.4 * noise
            weight[:, 0] += 1.0
        elif "embed" in name or "codebook" in name or "markov_w1" in name:
            weight = noise
        elif parameter.ndim == 1:
            weight = 0.5 * noise
        else:
            weight = 1.3 * noise * parameter.shape[-1] ** -0.5
        parameter.data = weight.bfloat16().float()


@dataclass(frozen=True, slots=True)
class Target:
    """A target, a text of its vocabulary, and the residual stream behind each layer over that text.

    Shapes: tokens [T], residuals [layers, T, H] (before any norm, the last layer too; rounded to bfloat16).
    """

    model: nn.Module
    tokens: Tensor
    residuals: Tensor

    @property
    def embed(self) -> Tensor:
        return self.model.get_input_embeddings().weight.detach()

    @property
    def head(self) -> Tensor:
        return self.model.lm_head.weight.detach()

    def features(self, taps: Sequence[int]) -> Tensor:
        """The outputs of layers `taps` (from 0) side by side, [T, taps × H]."""
        return torch.cat([self.residuals[tap] for tap in taps], dim=-1)

    def arrays(self) -> dict[str, Tensor]:
        """For a case; what is exact in 16 bits goes there so."""
        return {"embed": self.embed.bfloat16(), "head": self.head.bfloat16(), "tokens": self.tokens,
                "residuals": self.residuals.bfloat16()}


def tiny_model(kind: str, *, vocab: int, hidden: int, layers: int, seed: int, **more: object) -> nn.Module:
    sizes = {"vocab_size": vocab, "hidden_size": hidden, "intermediate_size": hidden + 8, "num_hidden_layers": layers,
             "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 2048,
             "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, **{**sizes, **more})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    randomise(model, seed)
    return model.eval().requires_grad_(False)


def tiny_target(kind: str, *, vocab: int, hidden: int, layers: int, seed: int, length: int) -> Target:
    model = tiny_model(kind, vocab=vocab, hidden=hidden, layers=layers, seed=seed)
    tokens = torch.randint(3, vocab, (length,), generator=torch.Generator().manual_seed(seed))
    return Target(model, tokens, residuals_of(model, tokens).bfloat16().float())


def residuals_of(model: nn.Module, tokens: Tensor) -> Tensor:
    """What each layer hands on, [layers, T, H]. The library's `hidden_states` has the last one behind the norm."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        found.append((output if isinstance(output, Tensor) else output[0])[0].clone())

    hooks = [layer.register_forward_hook(keep) for layer in model.model.layers]
    with torch.no_grad():
        model(tokens[None])
    for hook in hooks:
        hook.remove()
    return torch.stack(found)
