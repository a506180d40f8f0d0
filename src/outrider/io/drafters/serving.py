"""The commands that start other servers with a drafter.

Source: documentation of vLLM (`--speculative-config`) and SGLang (`--speculative-*`), November 2026.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from outrider.core.draft_spec import DFlashSpec, DraftSpec
from outrider.io.drafters.speculators_config import method_of

_PLACE = "TARGET"
_EAGLE_STEPS, _EAGLE_TOP_K, _EAGLE_NODES = 5, 8, 32


def serving_commands(spec: DraftSpec, layout: str, folder: Path, verifier: str) -> tuple[str, ...]:
    """One line for vLLM and one for SGLang, or the reason why there is none."""
    return _vllm(spec, layout, folder, verifier), _sglang(spec, layout, folder, verifier)


def _vllm(spec: DraftSpec, layout: str, folder: Path, verifier: str) -> str:
    if layout == "speculators" and method_of(spec) == "dflash2":
        return "# vLLM wants DFlash 2 in z-lab's layout: export with --to z-lab"
    if layout == "speculators" and verifier:
        return f"vllm serve {shlex.quote(str(folder))}"
    steps = spec.num_drafts if isinstance(spec, DFlashSpec) else 3
    method = "eagle3" if layout == "eagle3" else method_of(spec).removesuffix("2")
    given = json.dumps({"method": method, "model": str(folder), "num_speculative_tokens": steps})
    return f"vllm serve {shlex.quote(verifier or _PLACE)} --speculative-config {shlex.quote(given)}"


def _sglang(spec: DraftSpec, layout: str, folder: Path, verifier: str) -> str:
    model = f"--model-path {shlex.quote(verifier or _PLACE)}"
    draft = f"--speculative-draft-model-path {shlex.quote(str(folder))}"
    start = f"python -m sglang.launch_server {model} --speculative-algorithm"
    if not isinstance(spec, DFlashSpec):
        tree = f"--speculative-num-steps {_EAGLE_STEPS} --speculative-eagle-topk {_EAGLE_TOP_K}"
        return f"{start} EAGLE3 {draft} {tree} --speculative-num-draft-tokens {_EAGLE_NODES}"
    if layout == "speculators":
        return "# SGLang reads DFlash in z-lab's layout: export with --to z-lab"
    return f"{start} DFLASH {draft} --speculative-num-draft-tokens {spec.block_size}"
