"""Greedy accepted lengths over 500 rounds on tiny overfitted pairs, by the package's own loop where it has one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from dflash import model as zlab
from speculators.models.eagle3.core import Eagle3DraftModel
from torch import Tensor, nn

from golden_drafters import anchored, eagle
from golden_drafters import zlab as zlab_cases
from golden_drafters.case import made_by, save_model
from golden_drafters.target import Target, residuals_of
from golden_drafters.training import (
    HIDDEN,
    LAYERS,
    VOCAB,
    shared_target,
    train_anchored,
    train_eagle,
    train_zlab,
    write_corpus,
)

NUM_ROUNDS = 500
NUM_NEW = 48
MIN_MARGIN = 2e-4
SIZES = {"num_hidden_layers": 2, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 8}


@dataclass(slots=True)
class Run:
    """One prompt: the text with it, and how many drafts each full round accepted (corrections and bonus not counted).

    `margin` is the closest decision of target or drafter anywhere in it.
    """

    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    margin: float = float("inf")

    def decide(self, logits: Tensor) -> Tensor:
        best = logits.topk(2, dim=-1).values
        self.margin = min(self.margin, float((best[..., 0] - best[..., 1]).min()))
        return logits.argmax(-1)


@dataclass(frozen=True, slots=True)
class Pair:
    name: str
    kind: str
    layout: str
    num_drafts: int
    packages: tuple[str, ...]
    train: Callable[[nn.Module], nn.Module]
    generate: Callable[[nn.Module, nn.Module, Run], None]


def zlab_pair(name: str, draft: Mapping[str, object], config: Mapping[str, object], num_steps: int) -> Pair:
    recipe = zlab_cases.Recipe(name, 71, {**SIZES, **config}, draft, vocab=VOCAB, hidden=HIDDEN, target_layers=LAYERS)

    def train(target: nn.Module) -> nn.Module:
        model = zlab_cases.build(recipe)
        soften(model)
        train_zlab(model, target, write_corpus(target, 768, 6, 6 + NUM_NEW + 8, 5), num_steps)
        return model

    return Pair(name, "dflash", "z-lab", int(str(draft["block_size"])) - 1, ("dflash",), train, generate_zlab)


def anchored_pair(name: str, more: Mapping[str, object], layers: Mapping[str, object], num_steps: int) -> Pair:
    recipe = anchored.Recipe(name.removeprefix("accepted-"), 72, (1, 2, 3), {**SIZES, **layers}, more, vocab=VOCAB,
                             hidden=HIDDEN)

    def train(target: nn.Module) -> nn.Module:
        model = anchored.build(recipe, Target(target, torch.zeros(1), torch.zeros(1)))
        soften(model)
        model.verifier_norm.weight.data = target.model.norm.weight.clone()
        train_anchored(model, write_corpus(target, 768, 6, 6 + NUM_NEW + 8, 5), num_steps)
        return model

    num_drafts = int(str(more["block_size"])) - (not more.get("sample_from_anchor", recipe.algorithm == "dspark"))
    return Pair(name, "dflash", "speculators", num_drafts, ("speculators",), train, generate_anchored)


def eagle_pair(name: str, more: Mapping[str, object], depth: int, num_steps: int) -> Pair:
    recipe = eagle.Recipe(name, 73, SIZES, more, aux=(1, 2, 3), vocab=VOCAB, hidden=HIDDEN, kind="qwen3",
                          target_layers=LAYERS)

    def train(target: nn.Module) -> nn.Module:
        model = eagle.build(recipe, Target(target, torch.zeros(1), torch.zeros(1)))
        soften(model)
        model.lm_head.weight.data = target.lm_head.weight.clone()
        model.verifier_lm_head.weight.data = target.lm_head.weight.clone()
        model.verifier_norm.weight.data = target.model.norm.weight.clone()
        train_eagle(model, write_corpus(target, 768, 6, 6 + NUM_NEW + 8, 5), num_steps, depth)
        return model

    return Pair(name, "eagle3", "speculators", depth, ("speculators",), train,
                lambda model, target, run: generate_eagle(model, target, run, depth))


def soften(model: nn.Module) -> None:
    """Norms at one and small matrices, to start training from."""
    for name, parameter in model.named_parameters():
        frozen = any(part in name for part in ("embed_tokens", "lm_head"))
        if not frozen:
            parameter.data = torch.ones_like(parameter) if "norm" in name else 0.5 * parameter.data


def generate_zlab(model: nn.Module, target: nn.Module, run: Run) -> None:
    """The package's own loop. Rounds that it shortens at the end are left out of `accepted`."""
    hook = target.lm_head.register_forward_hook(lambda _, __, output: (run.decide(output), None)[1])
    select = zlab.CandidateSelector.select

    def spying(selector: zlab.CandidateSelector, hidden: Tensor, logits: Tensor, anchors: Tensor,
               heat: float) -> object:
        found = select(selector, hidden, logits, anchors, heat)
        run.decide(zlab_cases.walk(selector, hidden, logits, torch.cat([anchors[:, None], found[0]], 1))[1])
        return found

    zlab.CandidateSelector.select, zlab._cuda_time = spying, lambda: 1.0
    try:
        found = zlab.dflash_generate(model, target, torch.tensor([run.prompt]), NUM_NEW, None, return_stats=True)
    finally:
        zlab.CandidateSelector.select = select
        hook.remove()
    run.tokens, start = found.output_ids[0].tolist(), len(run.prompt)
    for produced in found.acceptance_lengths:
        if start + model.block_size <= len(run.prompt) + NUM_NEW:
            run.accepted.append(produced - 1)
        start += produced


def generate(model: nn.Module, target: nn.Module, run: Run, draft: Callable[[list[int], Tensor], list[int]],
             num_drafts: int) -> None:
    """The rule of the papers: drafts are kept as far as the target would have written them, then its own token."""
    run.tokens = [*run.prompt, int(run.decide(target(torch.tensor([run.prompt])).logits[0, -1]))]
    while len(run.tokens) + num_drafts <= len(run.prompt) + NUM_NEW:
        text = torch.tensor(run.tokens)
        drafts = draft(run.tokens, residuals_of(target, text[:-1]))
        wanted = run.decide(target(torch.tensor([run.tokens + drafts])).logits[0, len(run.tokens) - 1 :]).tolist()
        kept = next((index for index, token in enumerate(drafts) if token != wanted[index]), len(drafts))
        run.accepted.append(kept)
        run.tokens += [*drafts[:kept], wanted[kept]]
    while len(run.tokens) < len(run.prompt) + NUM_NEW:  # so that no recorded round is near the end
        run.tokens.append(int(run.decide(target(torch.tensor([run.tokens])).logits[0, -1])))


def generate_anchored(model: nn.Module, target: nn.Module, run: Run) -> None:
    first = 0 if model.config.sample_from_anchor else 1

    def draft(tokens: list[int], residuals: Tensor) -> list[int]:
        recipe = anchored.Recipe("accepted", 0, tuple(model.target_layer_ids), hidden=HIDDEN, starts=(len(tokens) - 1,))
        known = Target(target, torch.tensor(tokens), residuals)
        hidden, logits = (rows[:, first:] for rows in anchored.engine_backbone(model, known, recipe))
        found = anchored.sequential_outputs(model, hidden, logits, torch.tensor(tokens[-1:]))
        run.decide(found.get("biased_logits", logits))
        return found["drafts"][0].tolist()

    generate(model, target, run, draft, model.block_size - first)


def generate_eagle(model: Eagle3DraftModel, target: nn.Module, run: Run, depth: int) -> None:
    def draft(tokens: list[int], residuals: Tensor) -> list[int]:
        features = torch.cat([residuals[aux - 1] for aux in model.target_layer_ids], dim=-1)
        drafts, logits = eagle.chain(model, torch.tensor(tokens), features, depth)
        run.decide(logits)
        return drafts.tolist()

    generate(model, target, run, draft, depth)


@torch.no_grad()
def rounds(pair: Pair, model: nn.Module, target: nn.Module) -> list[Run]:
    """Runs of fresh prompts until there are enough rounds; those with a decision too close are dropped."""
    generator, runs = torch.Generator().manual_seed(99), list[Run]()
    while sum(len(run.accepted) for run in runs) < NUM_ROUNDS:
        length = int(torch.randint(4, 13, (1,), generator=generator))
        run = Run(torch.randint(3, VOCAB, (length,), generator=generator).tolist())
        pair.generate(model, target, run)
        if run.margin >= MIN_MARGIN:
            runs.append(run)
    return runs


def record(pair: Pair, target: nn.Module) -> None:
    with torch.enable_grad():
        model = pair.train(target)
    runs = rounds(pair, model, target)
    lengths = Counter(length for run in runs for length in run.accepted)
    mean = sum(length * count for length, count in lengths.items()) / sum(lengths.values())
    print(f"{pair.name}: mean {mean:.2f}, {sorted(lengths.items())}")
    if mean < 2 or set(lengths) != set(range(pair.num_drafts + 1)):
        raise ValueError(f"{pair.name}: accepts too few, or not every length")
    folder = save_model(pair.name, model, "bfloat16")
    facts = {"kind": pair.kind, "format": pair.layout, "made_by": made_by(*pair.packages, "transformers"),
             "num_drafts": pair.num_drafts,
             "runs": [{"prompt": run.prompt, "tokens": run.tokens, "accepted": run.accepted} for run in runs]}
    (folder / "accepted.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n", encoding="utf-8")


PAIRS = (
    zlab_pair("accepted-dflash-zlab", {"block_size": 8, "mask_token_id": 0, "target_layer_ids": [0, 1, 2]}, {}, 3000),
    zlab_pair("accepted-dflash2-zlab", {"block_size": 5, "mask_token_id": 0, "target_layer_ids": [0, 1, 2],
                                        **zlab_cases.CONV},
              {"use_sliding_window": True, "sliding_window": 12, "is_causal": False,
               "layer_types": ["sliding_attention"] * 2}, 3000),
    anchored_pair("accepted-dflash-speculators", {"block_size": 6}, {}, 1800),
    anchored_pair("accepted-dspark-speculators", {"block_size": 5, "markov_rank": 6}, {}, 900),
    eagle_pair("accepted-eagle3-speculators", {"norm_before_residual": True}, 5, 600),
)


def record_all() -> None:
    torch.manual_seed(0)
    target = shared_target()
    save_model("accepted-target", target, "bfloat16")
    for pair in PAIRS:
        record(pair, target)
