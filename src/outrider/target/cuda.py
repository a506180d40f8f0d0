"""`CudaTarget`: the decoder over Triton kernels, its small passes replayed as CUDA graphs.

    step ── bucket ──> buffers of that bucket ──> replay ──> copies of the rows that were asked for
              │
              └─ rows, logits, tiles, splits … rounded up, so that shapes repeat from round to round

Rows that fill a bucket up write to no slot and are in no tile; what they compute is dropped.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from outrider.cache.kv import KVCache
from outrider.cache.payload import Store
from outrider.core.spec import ModelSpec
from outrider.core.step import LayerCache, Step
from outrider.core.tree import width_bucket
from outrider.nn.decoder import Decoder
from outrider.nn.network import Description, Outputs
from outrider.ops.cuda.graphs import Capture, CudaCapture, Run
from outrider.ops.cuda.packed import BITS, packs
from outrider.ops.cuda.plan import Heads, HostPlan, PlannedStep, Tiling, host_plan, placed
from outrider.ops.interface import Pass
from outrider.target.decoder import DecoderTarget
from outrider.target.interface import ForwardOutput
from outrider.target.network import Network, TorchNetwork

if TYPE_CHECKING:
    from outrider.ops.cuda.ops import CudaOps

MOST_ROWS = 128  # of a graph: larger passes are prefill, where launches cost little beside the work
MOST_GRAPHS = 32  # of a cache; the one that was not used for longest makes room


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a graph is captured for."""

    rows: int
    logits: int
    tiling: Tiling
    taps: tuple[int, ...]


class CudaTarget(DecoderTarget):
    """See `interface.Target`. Engines in several threads may share it: graphs take turns."""

    def __init__(self, decoder: Decoder, ops: CudaOps, context: int, fingerprint: str = "", *,
                 capture: Capture | None = None, graphs: bool = True) -> None:
        """`ops` are the decoder's. `capture` is for tests; `graphs` false launches every kernel of every pass."""
        super().__init__(decoder, context, fingerprint)
        self._ops, self._graphing = ops, threading.Lock()
        self._graphs: weakref.WeakKeyDictionary[KVCache[Any], OrderedDict[Bucket, Graph]] = weakref.WeakKeyDictionary()
        self._capture: Capture | None = None
        if graphs and ops.fits(self.dtype, self.spec.head_size):
            self._capture = capture or CudaCapture(self.device)

    @property
    def weight_bytes(self) -> int:
        """What the weights occupy in memory."""
        whole = (one for one in self.decoder.parameters() if self._ops.packed(one) is None)
        return self._ops.packed_bytes + sum(parameter.nbytes for parameter in whole)

    @torch.inference_mode()
    def forward(self, step: Step, cache: KVCache[Any], taps: Sequence[int] = ()) -> ForwardOutput:
        if self._capture is None or not 0 < len(step.token_T) <= MOST_ROWS:
            return super().forward(step, cache, taps)
        heads = Heads(self.spec.num_heads // self.spec.num_kv_heads, self.spec.num_kv_heads,
                      self.spec.head_size * self.dtype.itemsize, self._ops.processors)
        host = host_plan(step.spans, heads)
        rows, logits = width_bucket(len(step.token_T)), width_bucket(len(step.logit_row_R))
        with self._graphing:
            try:
                graph = self._graph(Bucket(rows, logits, host.tiling.padded(), tuple(taps)), cache, step, host)
            except RuntimeError as error:
                self._capture = None
                logging.getLogger(__name__).warning("without CUDA graphs: %s", str(error).partition("\n")[0])
                return super().forward(step, cache, taps)
            return graph.replayed(step, host)

    def network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec, positions: int,
                rounding: str = "") -> Network:
        """See `interface.TargetView`. What is borrowed stays as the target has it."""
        network = self.torch_network(describe, weights, spec, positions)
        lent = (id(self.decoder.embed.weight), id(self.decoder.head.weight))
        if rounding:
            rounded([one for one in network.parameters.values() if id(one) not in lent], self._ops, rounding)
        return CudaNetwork(network, self._ops)

    def _graph(self, bucket: Bucket, cache: KVCache[Any], step: Step, host: HostPlan) -> Graph:
        """The bucket's graph, captured on first use."""
        graphs = self._graphs.setdefault(cache, OrderedDict())
        if bucket not in graphs:
            if len(graphs) == MOST_GRAPHS:
                graphs.popitem(last=False)
            assert self._capture is not None, "asked for a graph without a way to capture one"
            graph = Graph(bucket, self.device, step, host)
            layers = cache.layers  # not the cache itself: its graphs go when it does
            graph.record(self._capture, lambda planned: self._passed(planned, layers, bucket.taps))
            graphs[bucket] = graph
        graphs.move_to_end(bucket)
        return graphs[bucket]

    def _passed(self, step: Step, layers: Sequence[LayerCache], taps: tuple[int, ...]) -> ForwardOutput:
        hidden = self.decoder(Pass(step, layers, self._ropes), taps)
        return ForwardOutput(self.decoder.logits(hidden.hidden_RD), hidden.feature_TF)


@dataclass(frozen=True, slots=True)
class CudaNetwork:
    """A drafter's network over the kernels, which may have some of its matrices packed."""

    inner: TorchNetwork
    ops: CudaOps

    @property
    def read_bytes(self) -> int:
        read = [one for name, one in self.inner.parameters.items() if name != "embed.weight"]
        return sum(one.nbytes if (packed := self.ops.packed(one)) is None else packed.num_bytes for one in read)

    def run(self, name: str, step: Step, store: Store[Any] | None, input_TF: Tensor | None = None) -> Outputs:
        return self.inner.run(name, step, store, input_TF)


class Graph:
    """One bucket's buffers, the pass recorded over them, and where it leaves its results."""

    def __init__(self, bucket: Bucket, device: torch.device, step: Step, host: HostPlan) -> None:
        """Filled with a first step, so that recording already computes something that is meant."""
        token_T, position_T, slot_T = (torch.zeros(bucket.rows, dtype=torch.int64, device=device) for _ in range(3))
        row_R = torch.zeros(bucket.logits, dtype=torch.int64, device=device)
        plan = placed(host, bucket.tiling, bucket.rows, device)
        self._step, self._plan = PlannedStep(token_T, position_T, slot_T, (), row_R, plan=plan), plan
        self._output: ForwardOutput | None = None
        self._replay: Run | None = None
        self._fill(step)

    def record(self, capture: Capture, forward: Callable[[Step], ForwardOutput]) -> None:
        """Raises: RuntimeError where the pass cannot be captured."""

        def run() -> None:
            self._output = forward(self._step)

        self._replay = capture(run)

    def replayed(self, step: Step, host: HostPlan) -> ForwardOutput:
        """The pass over a step of the bucket; what comes back is nobody else's."""
        assert self._replay is not None, "replayed before it was recorded"
        self._fill(step)
        self._plan.fill(host, len(self._step.token_T))
        self._replay()
        assert self._output is not None, "recording left no output"
        feature_TF = self._output.feature_TF
        return ForwardOutput(self._output.logits_RV[: len(step.logit_row_R)].clone(),
                             None if feature_TF is None else feature_TF[: len(step.token_T)].clone())

    def _fill(self, step: Step) -> None:
        count = len(step.token_T)
        self._step.token_T[:count] = step.token_T
        self._step.position_T[:count] = step.position_T
        self._step.slot_T[:count] = step.slot_T
        self._step.slot_T[count:] = -1  # a former step's slots may be somebody else's by now
        self._step.logit_row_R[: len(step.logit_row_R)] = step.logit_row_R


def rounded(parameters: Iterable[Tensor], ops: CudaOps, rounding: str) -> None:
    """Packs every matrix among the parameters of a module over `ops`; those with odd rows stay as they are."""
    for parameter in parameters:
        if packs(parameter):
            ops.round(parameter, BITS[rounding])
