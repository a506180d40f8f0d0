"""transformers: plain, with its prompt lookup, with an assistant model. Reads a directory, or expands a GGUF file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
import transformers


class Peer:
    """One model for all modes, in bfloat16: decoding reads half as much as in float32."""

    def __init__(self, model: str, modes: list[str], threads: int, context: int, draft_model: str) -> None:
        torch.set_num_threads(threads)
        self.version = transformers.__version__
        self._model = _loaded(model)
        self._options: dict[str, dict[str, Any]] = {"plain": {}, "lookup": {"prompt_lookup_num_tokens": 10}}
        if "draft" in modes:
            self._options["draft"] = {"assistant_model": _loaded(draft_model)}

    def generate(self, mode: str, ids: list[int], max_tokens: int, stop_ids: list[int]) -> dict[str, object]:
        prompt = torch.tensor([ids])
        clock = _Clock()
        begin_s = time.perf_counter()
        with torch.inference_mode():
            output = self._model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=max_tokens,
                eos_token_id=stop_ids or None, pad_token_id=0, streamer=clock, **self._options[mode])
        total_s = time.perf_counter() - begin_s
        return {"ids": output[0, len(ids):].tolist(), "first_s": clock.times_s[1] - begin_s, "total_s": total_s}


class _Clock:
    """A streamer that notes when something came; the prompt comes first."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def put(self, value: object) -> None:
        self.times_s.append(time.perf_counter())

    def end(self) -> None:
        pass


def _loaded(path: str) -> Any:
    file = Path(path)
    place = {"gguf_file": file.name} if file.is_file() else {}
    folder = file.parent if file.is_file() else file
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **place)
    model.generation_config = transformers.GenerationConfig()  # greedy, whatever the model's authors prefer
    return model.eval()
