"""Networks of drafters, run where the target runs: over torch here, over the kernels in `native_network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from outrider.cache.payload import Store
from outrider.core.spec import ModelSpec
from outrider.core.step import Step
from outrider.errors import CheckpointError
from outrider.nn.network import Description, Outputs
from outrider.ops.interface import Ops, Pass, RopeTables
from outrider.ops.reference import ReferenceOps
from outrider.ops.rope import rope_table

BORROWED = ("embed.weight", "head.weight")  # the target's, where the drafter has none of its own


class Network(Protocol):
    """A drafter's network, ready to run."""

    @property
    def read_bytes(self) -> int:
        """Bytes of all its weights but the embedding, of which a pass needs a few rows."""

    def run(self, name: str, step: Step, store: Store[Any] | None, input_TF: Tensor | None = None) -> Outputs:
        """One pass. `store` has the drafter's entries, `input_TF` is what the pass is fed beside tokens."""


class TorchNetwork:
    """Runs a description as it is."""

    def __init__(self, describe: Description, tensor: Callable[[str], Tensor], spec: ModelSpec, positions: int,
                 device: torch.device, ops: Ops | None = None) -> None:
        """`tensor` gives each parameter by name, `ops` computes (the reference's unless given)."""
        with torch.device("meta"):
            self._module = describe(ops or ReferenceOps())
        values = {name: tensor(name).to(device) for name, _ in self._module.named_parameters()}
        self._module.load_state_dict(values, assign=True)
        self._module.requires_grad_(False).eval()
        table = rope_table(spec.rope, spec.head_size, positions, device)
        local = table if spec.local_rope is None else rope_table(spec.local_rope, spec.head_size, positions, device)
        self._ropes = RopeTables(table, local)

    @property
    def read_bytes(self) -> int:
        return sum(value.nbytes for name, value in self._module.named_parameters() if name != "embed.weight")

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """Its own and those it has borrowed, which are the target's very objects."""
        return dict(self._module.named_parameters())

    @torch.inference_mode()
    def run(self, name: str, step: Step, store: Store[Any] | None, input_TF: Tensor | None = None) -> Outputs:
        layers = () if store is None else store.layers
        outputs: Outputs = getattr(self._module, name)(Pass(step, layers, self._ropes), input_TF)
        return outputs


def lender(weights: Mapping[str, Tensor], borrowed: Mapping[str, Tensor]) -> Callable[[str], Tensor]:
    """Parameters by name: the drafter's own, else the target's. Raises: CheckpointError where there is neither."""

    def tensor(name: str) -> Tensor:
        found = weights.get(name, borrowed.get(name) if name in BORROWED else None)
        if found is None:
            raise CheckpointError(f"the drafter's checkpoint has no '{name}'")
        return found

    return tensor
