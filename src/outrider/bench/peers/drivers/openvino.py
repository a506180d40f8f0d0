"""OpenVINO GenAI: plain, with its prompt lookup, and with a draft model. Reads a converted directory or a GGUF file."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import openvino
import openvino_genai


class Peer:
    """A pipeline for each mode."""

    def __init__(self, model: str, modes: list[str], threads: int, context: int, draft_model: str) -> None:
        self.version = openvino_genai.__version__
        self._threads = threads
        extra: dict[str, dict[str, Any]] = {"plain": {}, "lookup": {"prompt_lookup": True}}
        if "draft" in modes:
            draft = openvino_genai.draft_model(draft_model, "CPU", INFERENCE_NUM_THREADS=threads)
            extra["draft"] = {"draft_model": draft}
        self._pipelines = {mode: self._pipeline(model, extra[mode]) for mode in modes}

    def generate(self, mode: str, ids: list[int], max_tokens: int, stop_ids: list[int]) -> dict[str, object]:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample, config.apply_chat_template = max_tokens, False, False
        config.stop_token_ids, config.ignore_eos = set(stop_ids), not stop_ids
        if mode != "plain":
            config.num_assistant_tokens = 5
        if mode == "lookup":
            config.max_ngram_size = 3
        times_s: list[float] = []

        def note(_: object) -> Any:
            times_s.append(time.perf_counter())
            return openvino_genai.StreamingStatus.RUNNING

        begin_s = time.perf_counter()
        result = self._pipelines[mode].generate(openvino.Tensor(np.array([ids], dtype=np.int64)), config, note)
        total_s = time.perf_counter() - begin_s
        first_s = result.perf_metrics.get_ttft().mean / 1e3
        return {"ids": list(map(int, result.tokens[0])), "first_s": first_s, "total_s": total_s}

    def _pipeline(self, model: str, extra: dict[str, Any]) -> Any:
        schedule = openvino_genai.SchedulerConfig()
        schedule.enable_prefix_caching = False  # nothing of the request before is used again
        schedule.max_num_batched_tokens = 2048
        return openvino_genai.LLMPipeline(model, "CPU", scheduler_config=schedule, INFERENCE_NUM_THREADS=self._threads,
                                          **extra)
