"""Outrider: language models answer faster, and every token stays the same.

    from outrider import LLM

    with LLM("smollm2-135m-instruct") as llm:
        print(llm.generate("The sky is", max_tokens=16))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrider.core.request import Delta, Request, Result, Sample, Speculation
    from outrider.core.sampling import Sampling
    from outrider.drafting.interface import Drafter, HostDrafter
    from outrider.engine.async_llm import AsyncLLM
    from outrider.engine.llm import LLM
    from outrider.errors import OutriderError

__version__ = "0.1.0"

# Imported when first used, so that `import outrider` and the verbs that need no model stay quick.
_HOMES = {
    "AsyncLLM": "outrider.engine.async_llm",
    "Delta": "outrider.core.request",
    "Drafter": "outrider.drafting.interface",
    "HostDrafter": "outrider.drafting.interface",
    "LLM": "outrider.engine.llm",
    "OutriderError": "outrider.errors",
    "Request": "outrider.core.request",
    "Result": "outrider.core.request",
    "Sample": "outrider.core.request",
    "Sampling": "outrider.core.sampling",
    "Speculation": "outrider.core.request",
}

__all__ = ["LLM", "AsyncLLM", "Delta", "Drafter", "HostDrafter", "OutriderError", "Request", "Result", "Sample",
           "Sampling", "Speculation", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'outrider' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
