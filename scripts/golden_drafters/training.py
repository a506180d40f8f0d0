"""Drafters overfitted on what one tiny target writes, so that greedy drafts are accepted at every length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from dflash import model as zlab
from speculators.losses import resolve_loss_config
from speculators.models.dspark.core import DSparkDraftModel
from speculators.models.eagle3.core import Eagle3DraftModel
from torch import Tensor, nn

from golden_drafters.target import tiny_model

VOCAB, HIDDEN, LAYERS, SEED = 24, 24, 4, 3
DEPTH_OF_TEXT = 0.3  # how much the layers add to the last token's embedding: between a lookup table and chaos
RATE = 4e-3
LOSS = resolve_loss_config("ce", "eager")  # the fused ones need Triton
TOTAL_VARIATION = resolve_loss_config("tv", "eager")["tv"][0]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts that the target wrote, [texts, T], and what each layer handed on, [layers, texts, T, H]."""

    tokens: Tensor
    residuals: Tensor

    def features(self, taps: list[int]) -> Tensor:
        return torch.cat([self.residuals[tap] for tap in taps], dim=-1)


def shared_target() -> nn.Module:
    model = tiny_model("qwen3", vocab=VOCAB, hidden=HIDDEN, layers=LAYERS, seed=SEED)
    for layer in model.model.layers:
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            linear.weight.data = (linear.weight * DEPTH_OF_TEXT).bfloat16().float()
    return model


@torch.no_grad()
def write_corpus(target: nn.Module, num_texts: int, prompt: int, length: int, seed: int) -> Corpus:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, VOCAB, (num_texts, prompt), generator=generator)
    while tokens.shape[1] < length:
        best = target(tokens, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, best], dim=1)
    found: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, output: found.append(
        output if isinstance(output, Tensor) else output[0])) for layer in target.model.layers]
    target(tokens)
    for hook in hooks:
        hook.remove()
    return Corpus(tokens, torch.stack(found))


def optimise(model: nn.Module, num_steps: int, loss_of: Callable[[torch.Generator], Tensor]) -> None:
    """AdamW on what asks for gradients, then rounds the weights to bfloat16."""
    generator = torch.Generator().manual_seed(SEED)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=num_steps)
    for step in range(num_steps):
        loss = loss_of(generator)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            print(f"  step {step}: loss {loss.item():.3f}", flush=True)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    model.eval().requires_grad_(False)


def pick(generator: torch.Generator, low: int, high: int, count: int = 1) -> Tensor:
    return torch.randint(low, high, (count,), generator=generator)


def train_zlab(model: zlab.DFlashDraftModel, target: nn.Module, corpus: Corpus, num_steps: int) -> None:
    """Blocks at one random place of many texts: cross entropy of every masked row, of the selector's scores too."""
    features, size = corpus.features(model.target_layer_ids), model.block_size

    def loss_of(generator: torch.Generator) -> Tensor:
        start = int(pick(generator, 4, corpus.tokens.shape[1] - size))
        texts = pick(generator, 0, len(corpus.tokens), 96)
        block = corpus.tokens[texts, start : start + size]
        ids = torch.full_like(block, model.mask_token_id)
        ids[:, 0] = block[:, 0]
        positions = torch.arange(start + size)[None].expand(len(texts), -1)
        hidden = model(target_hidden=features[texts, :start], noise_embedding=target.get_input_embeddings()(ids),
                       position_ids=positions)[:, 1:]
        logits = model.compute_logits(hidden, target.lm_head)
        loss = early_first(logits, block[:, 1:])
        if isinstance(model, zlab.DFlash2DraftModel):
            selector = model.candidate_selector
            context = selector.predecessor_codebook(block[:, :-1]) * selector.hidden_projection(hidden)
            scores = logits + context @ selector.successor_codebook.weight.T
            loss = loss + early_first(scores, block[:, 1:])
        return loss

    optimise(model.train().requires_grad_(True), num_steps, loss_of)


def early_first(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, of early rows more than of those that count only if these are right."""
    weight = torch.exp(-torch.arange(labels.shape[1]) / 2)
    return (F.cross_entropy(logits.transpose(1, 2), labels, reduction="none") * weight).mean(0).sum() / weight.sum()


def packed(corpus: Corpus, taps: list[int], texts: Tensor) -> dict[str, Tensor]:
    """Texts one behind the other, as the package's training passes take them."""
    count, length = len(texts), corpus.tokens.shape[1]
    return {
        "hidden_states": corpus.features(taps)[texts].flatten(0, 1)[None],
        "input_ids": corpus.tokens[texts].flatten()[None],
        "verifier_last_hidden_states": corpus.residuals[-1][texts].flatten(0, 1)[None],
        "document_ids": torch.arange(count).repeat_interleave(length)[None],
        "position_ids": torch.arange(length).repeat(count)[None],
        "loss_mask": torch.ones(1, count * length),
    }


def train_anchored(model: DSparkDraftModel, corpus: Corpus, num_steps: int) -> None:
    """The package's own loss, at anchors of its own choice; `loss_mask` keeps these away from the ends of texts."""
    taps = [aux - 1 for aux in model.target_layer_ids]
    model.train().requires_grad_(True)
    freeze(model)

    def loss_of(generator: torch.Generator) -> Tensor:
        batch = packed(corpus, taps, pick(generator, 0, len(corpus.tokens), 6))
        keep = torch.ones(6, corpus.tokens.shape[1])
        keep[:, :4] = keep[:, -model.block_size - 1 :] = 0
        batch["loss_mask"] = keep.flatten()[None]
        heads = {"tv_loss_fn": TOTAL_VARIATION} if isinstance(model, DSparkDraftModel) else {}
        return model(**batch, max_anchors=48, loss_config=LOSS, **heads)[1]

    optimise(model, num_steps, loss_of)


def train_eagle(model: Eagle3DraftModel, corpus: Corpus, num_steps: int, unrolled: int) -> None:
    """The package's own loss, over several steps; row j holds token j + 1 and feature j."""
    taps = [aux - 1 for aux in model.target_layer_ids]
    model.train().requires_grad_(True)
    freeze(model)

    def loss_of(generator: torch.Generator) -> Tensor:
        texts = pick(generator, 0, len(corpus.tokens), 4)
        batch = packed(Corpus(corpus.tokens[:, 1:], corpus.residuals[:, :, 1:]), taps, texts)
        batch["hidden_states"] = corpus.features(taps)[texts, :-1].flatten(0, 1)[None]
        keep = torch.ones(4, corpus.tokens.shape[1] - 1)
        keep[:, -unrolled:] = 0
        batch["loss_mask"] = keep.flatten()[None]
        batch["position_ids"] += 1
        return model(**batch, ttt_steps=unrolled, loss_config=LOSS)[1]

    optimise(model, num_steps, loss_of)


def freeze(model: nn.Module) -> None:
    """The target's weights that the package keeps in its models."""
    frozen = ["embed_tokens", "verifier_lm_head", "verifier_norm"]
    if not isinstance(model, Eagle3DraftModel):
        frozen.append("lm_head")
    for name, parameter in model.named_parameters():
        if name.split(".")[0] in frozen:
            parameter.requires_grad_(False)
