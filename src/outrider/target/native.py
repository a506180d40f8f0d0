"""`NativeTarget`: the same decoder, recorded once and run by the kernels: exact, whatever else is in the pass."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outrider.cache.kv import CacheShape, KVCache
from outrider.cache.payload import Payload, Store
from outrider.core.spec import ModelSpec
from outrider.core.step import PAGE_SIZE, LayerCache, LayerPages, Step
from outrider.errors import ConfigError
from outrider.nn.decoder import Decoder
from outrider.nn.network import Description
from outrider.ops.interface import Pass, RopeTables
from outrider.ops.native.library import Library
from outrider.ops.native.matrix import MatrixFunctions
from outrider.ops.native.program import Buffers, PageTable, Pool, Program
from outrider.ops.native.recorder import Outside, Recorder, Weights
from outrider.ops.native.screen import Screen, Screening, is_worthwhile, screened
from outrider.ops.rope import GrowingRope
from outrider.target.interface import ForwardOutput
from outrider.target.native_network import NativeNetwork, pack_network
from outrider.target.network import Network
from outrider.target.of_spec import TargetOfSpec
from outrider.target.weights import obstacle

CPU = torch.device("cpu")
_NO_ROWS = torch.empty(0, dtype=torch.int64)


class NativeTarget(TargetOfSpec):
    """See `interface.Target`. `context` bounds absolute positions and so the rope tables.

    A row's logits are the same bits alone and in any batch, chunk, tree or page, with any number of threads. Engines in
    several threads may share it: passes take turns.
    """

    def __init__(self, library: Library, spec: ModelSpec, weights: Weights, context: int, threads: int,
                 fingerprint: str = "") -> None:
        super().__init__(spec, context, fingerprint, exact=True)
        self.weights = weights
        full = GrowingRope(spec.rope, spec.head_size, context)
        local = full if spec.local_rope is None else GrowingRope(spec.local_rope, spec.head_size, context)
        self._library, self._growing, self._ropes = library, (full, local), RopeTables(full.table, local.table)
        self._kernels, self._pool = library.kernels(), Pool(library, threads)
        self._recorder, self._decoder = described(spec, weights)
        head = weights.matrices["embed.weight" if spec.tied_head else "head.weight"]
        self._num_logits = head.rows
        self._recording = threading.Lock()
        self._programs: dict[tuple[tuple[int, ...], bool], Program] = {}
        may_screen = spec.final_softcap is None and is_worthwhile(head)
        self._screening = Screening(library, head, threads) if may_screen else None
        self._head: Program | None = None
        self._pages: weakref.WeakKeyDictionary[KVCache[Any], PageTable] = weakref.WeakKeyDictionary()

    @property
    def device(self) -> torch.device:
        return CPU

    @property
    def threads(self) -> int:
        return self._pool.threads

    @property
    def weight_bytes(self) -> int:
        """What the weights occupy in memory."""
        return self.weights.num_bytes

    def with_threads(self, threads: int) -> NativeTarget:
        """The same model on a pool of its own; the weights are shared."""
        return NativeTarget(self._library, self.spec, self.weights, self.context, threads, self.fingerprint)

    def with_head(self, count: int) -> NativeTarget:
        """The same model on a pool of its own, whose logits are those of the first `count` ids: [R, count]."""
        spec = replace(self.spec, tied_head=False)
        return NativeTarget(self._library, spec, self.weights.with_head(count), self.context, self.threads,
                            self.fingerprint)

    def new_cache(self, num_tokens: int, payloads: Sequence[Payload] = ()) -> KVCache[LayerPages]:
        """A cache for this model and these payloads with room for `num_tokens`, rounded up to blocks.

        Memory is taken as it is used.
        """
        spec = self.spec
        pages = -(-num_tokens // PAGE_SIZE)
        shape = CacheShape(spec.num_layers, spec.num_kv_heads, spec.head_size, pages, PAGE_SIZE)
        stores = [Store(payload, _layers(payload, pages * payload.entries), pages, torch.float32, CPU)
                  for payload in payloads]
        return KVCache(shape, _layers(shape, pages), CPU, stores)

    def network(self, describe: Description, weights: Mapping[str, Tensor], spec: ModelSpec, positions: int,
                rounding: str = "") -> Network:
        """See `interface.TargetView`. Raises: ConfigError for layers that the kernels cannot run."""
        if reason := obstacle(spec):
            raise ConfigError(f"the drafter cannot run on native ops: {reason}; load the target with --ops reference")
        packed = pack_network(self._library, weights, self.weights, rounding)
        return NativeNetwork(self._library, self._pool, describe, packed, spec, positions)

    @torch.inference_mode()
    def forward(self, step: Step, cache: KVCache[LayerPages], taps: Sequence[int] = ()) -> ForwardOutput:
        pages = self._pages.get(cache)
        if pages is None:
            pages = self._pages[cache] = PageTable(cache.layers)
        for rope in self._growing:
            rope.reach(max((span.length + len(span.parent_A) for span in step.spans), default=0))
        logits_RV = _floats(len(step.logit_row_R), self._num_logits)
        feature_TF = _floats(len(step.token_T), self.spec.hidden_size * len(taps)) if taps else None
        buffers = {Outside.LOGITS: logits_RV} | ({} if feature_TF is None else {Outside.FEATURES: feature_TF})
        screen = self._screen(step)
        refined = self._program(tuple(taps), screen).run(self._kernels, self._pool, step, pages, self._ropes,
                                                         Buffers(buffers))
        if screen is not None and self._screening is not None:
            self._screening.note(refined, len(logits_RV))
        return ForwardOutput(logits_RV, feature_TF)

    @torch.inference_mode()
    def embed(self, token_T: Tensor) -> Tensor:
        matrices = MatrixFunctions(self._library)
        return matrices.unpack(self.weights.matrices["embed.weight"], token_T, self.spec.embed_scale)

    @torch.inference_mode()
    def head(self, hidden_TD: Tensor) -> Tensor:
        with self._recording:
            if self._head is None:
                hidden = self._recorder.outside(Outside.INPUT, self.spec.hidden_size, picked=False)
                recording = self._recorder.finish({Outside.LOGITS: self._decoder.logits(hidden)})
                self._head = Program(self._library, recording)
        logits_TV = _floats(len(hidden_TD), self._num_logits)
        row_T = torch.zeros(len(hidden_TD), dtype=torch.int64, device=CPU)
        buffers = Buffers({Outside.INPUT: hidden_TD.float().contiguous(), Outside.LOGITS: logits_TV})
        step = Step(row_T, row_T, row_T, (), _NO_ROWS)
        self._head.run(self._kernels, self._pool, step, None, None, buffers)
        return logits_TV

    def _screen(self, step: Step) -> Screen | None:
        """What this step's logits are screened with, if they are."""
        if not step.best_only or self._screening is None or not len(step.logit_row_R):
            return None
        with self._recording:
            return self._screening.due()

    def _program(self, taps: tuple[int, ...], screen: Screen | None) -> Program:
        """The pass that also gives these taps, recorded when first asked for. Raises: IndexError for no such layer."""
        if any(not 0 <= tap < self.num_layers for tap in taps):
            raise IndexError(f"taps {taps} of a model with layers 0 … {self.num_layers - 1}")
        with self._recording:
            key = taps, screen is not None
            if key not in self._programs:
                self._programs[key] = self._recorded(taps, screen)
            return self._programs[key]

    def _recorded(self, taps: tuple[int, ...], screen: Screen | None) -> Program:
        hidden = self._decoder(Pass(self._recorder.step, _NO_CACHES, self._ropes), taps)
        outputs = {Outside.LOGITS: self._decoder.logits(hidden.hidden_RD)}
        if hidden.feature_TF is not None:
            outputs[Outside.FEATURES] = hidden.feature_TF
        rewrite = None if screen is None else partial(screened, screen=screen)
        return Program(self._library, self._recorder.finish(outputs, rewrite))


_NO_CACHES: tuple[LayerCache, ...] = ()


def described(spec: ModelSpec, weights: Weights) -> tuple[Recorder, Decoder]:
    """The decoder's description over a recorder, its parameters standing for `weights`."""
    recorder = Recorder()
    with torch.device("meta"):
        decoder = Decoder(spec, recorder)
    recorder.bind(dict(decoder.named_parameters()), weights)
    return recorder, decoder


def _floats(rows: int, width: int) -> Tensor:
    """What kernels write to: float32 whatever torch's defaults are."""
    return torch.empty(rows, width, dtype=torch.float32, device=CPU)


def _layers(shape: CacheShape | Payload, pages: int) -> tuple[LayerPages, ...]:
    size = (pages, shape.num_kv_heads, shape.head_size, PAGE_SIZE)
    swapped = (pages, shape.num_kv_heads, PAGE_SIZE, shape.head_size)
    return tuple(LayerPages(_zeros(size), _zeros(swapped)) for _ in range(shape.num_layers))


def _zeros(size: tuple[int, ...]) -> Tensor:
    """Half precision; numpy's zeros take memory only where they are written to."""
    return torch.from_numpy(np.zeros(size, dtype=np.float16))
