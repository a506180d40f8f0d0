"""The quantisation tag in a GGUF file's name: `Q4_K_M` in `qwen2.5-coder-0.5b-instruct-q4_k_m.gguf`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from outrider.errors import UnknownReferenceError, suggestion

GGUF = ".gguf"
# What most repositories offer and most people take, in that order, when no tag is given.
_USUAL = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0", "Q4_1", "Q6_K", "F16", "BF16", "F32")
_TYPES = r"(?:UD-)?(?:I?Q\d[A-Z0-9_]*|TQ\d_\d|BF16|F16|F32|FP16|MXFP4(?:_MOE)?)"
_TAG = re.compile(rf"(?:^|[-._/])({_TYPES})(?=[-./]|$)", re.IGNORECASE)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")


def tag_of(file_name: str) -> str | None:
    """The tag in upper case, or None where the name has none."""
    stem = file_name[: -len(GGUF)] if file_name.lower().endswith(GGUF) else file_name
    found = _TAG.findall(_SPLIT.sub("", stem))
    return found[-1].upper() if found else None


def choose_gguf(file_names: Sequence[str], tag: str | None, repo: str) -> str:
    """The GGUF file that `repo:tag` means, or the most usual one where no tag is given.

    Raises:
        UnknownReferenceError: nothing fits, or the file is split; the message lists the tags that are there.
    """
    by_tag: dict[str, str] = {}
    for name in sorted(file_names):
        if name.lower().endswith(GGUF) and not name.rsplit("/", 1)[-1].lower().startswith("mmproj"):
            by_tag.setdefault(tag_of(name) or name, name)
    if not by_tag:
        raise UnknownReferenceError(f"'{repo}' has no GGUF file" + ("" if tag else " and no safetensors files"))
    wanted = tag.upper() if tag else next((usual for usual in _USUAL if usual in by_tag), next(iter(by_tag)))
    if wanted not in by_tag:
        hint = suggestion(wanted, by_tag)
        raise UnknownReferenceError(f"'{repo}' has no GGUF file tagged '{tag}'{hint}; it has {', '.join(by_tag)}")
    if _SPLIT.search(by_tag[wanted][: -len(GGUF)]):
        raise UnknownReferenceError(f"'{repo}:{wanted}' is split over several files (not supported); take another tag")
    return by_tag[wanted]
