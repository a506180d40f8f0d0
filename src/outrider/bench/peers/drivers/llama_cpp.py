"""llama.cpp through llama-cpp-python: plain, and with the prompt lookup that the package brings along."""

from __future__ import annotations

import time

import llama_cpp
from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

# Drafted tokens by mode: the package's default, and what its documentation advises without a GPU.
LOOKUP = {"lookup": 10, "lookup-2": 2}


class Peer:
    """A model for each mode; their weights are one memory map."""

    def __init__(self, model: str, modes: list[str], threads: int, context: int, draft_model: str) -> None:
        self.version = llama_cpp.__version__
        self._models = {mode: _loaded(model, mode, threads, context) for mode in modes}

    def generate(self, mode: str, ids: list[int], max_tokens: int, stop_ids: list[int]) -> dict[str, object]:
        model, found, first_s = self._models[mode], [], 0.0
        model.reset()  # nothing of the request before is used again
        begin_s = time.perf_counter()
        for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
            first_s = first_s or time.perf_counter() - begin_s
            found.append(int(token))
            if len(found) == max_tokens or token in stop_ids:
                break
        return {"ids": found, "first_s": first_s, "total_s": time.perf_counter() - begin_s}


def _loaded(model: str, mode: str, threads: int, context: int) -> llama_cpp.Llama:
    draft = LlamaPromptLookupDecoding(num_pred_tokens=LOOKUP[mode]) if mode in LOOKUP else None
    # With a draft it keeps the logits of every position, but makes room for a batch of them unless told.
    return llama_cpp.Llama(model_path=model, n_ctx=context, n_threads=threads, n_threads_batch=threads,
                           draft_model=draft, logits_all=draft is not None, flash_attn=True, verbose=False)
