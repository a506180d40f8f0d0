"""`InfillTokens`: the tokens with which a code model is told what stands before and behind a gap.

What the model file names goes first, what the families are known by fills the rest:

    Qwen2.5-Coder, CodeGemma   <|fim_prefix|> before <|fim_suffix|> behind <|fim_middle|>     + repo and file marks
    StarCoder, Granite         <fim_prefix> … (SantaCoder <fim-prefix> …)                     + repo and file marks
    GLM, Falcon                <|code_prefix|> …, <|prefix|> …
    DeepSeek-Coder             <｜fim▁begin｜> before <｜fim▁hole｜> behind <｜fim▁end｜>
    CodeLlama                  ▁<PRE> before ▁<SUF> behind ▁<MID>, ends with ▁<EOT>
    Codestral                  [SUFFIX] behind [PREFIX] before; nothing marks the gap

Source: Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (arXiv 2207.14255); Hui et al.,
"Qwen2.5-Coder" (arXiv 2409.12186), §3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

ROLES = ("prefix", "suffix", "middle", "pad", "repo", "file")


@dataclass(frozen=True, slots=True)
class InfillTokens:
    """Ids of the marks. `middle` None: the suffix goes first and the gap begins where the prefix ends.

    `repo` and `file` go before the name of a repository and of a file in it; `ends` are the tokens with which models
    end an infill, beyond those that end any text.
    """

    prefix: int
    suffix: int
    middle: int | None = None
    repo: int | None = None
    file: int | None = None
    ends: frozenset[int] = frozenset()

    @property
    def is_suffix_first(self) -> bool:
        return self.middle is None

    @property
    def marks(self) -> tuple[int, ...]:
        """The three marks, or two where nothing marks the gap."""
        return tuple(token for token in (self.prefix, self.suffix, self.middle) if token is not None)


@dataclass(frozen=True, slots=True)
class _Family:
    """How a family of models spells the marks."""

    prefix: str
    suffix: str
    middle: str = ""
    pad: str = ""
    end: str = ""

    def is_known(self, token_id: Callable[[str], int | None]) -> bool:
        """Whether a vocabulary has all the marks; the others may lack."""
        return all(token_id(piece) is not None for piece in (self.prefix, self.suffix, self.middle) if piece)

    def tokens(self, token_id: Callable[[str], int | None]) -> dict[str, int]:
        """By role."""
        spelt = {field.name: getattr(self, field.name) for field in fields(self)}
        return {role: token for role, piece in spelt.items() if piece and (token := token_id(piece)) is not None}


_FAMILIES = (
    _Family("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"),
    _Family("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"),
    _Family("<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>"),
    _Family("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    _Family("<|prefix|>", "<|suffix|>", "<|middle|>"),
    _Family("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    _Family("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>", end="\u2581<EOT>"),
    _Family("[PREFIX]", "[SUFFIX]"),
)
_REPO_PIECES = ("<|repo_name|>", "<|fim_repo|>", "<repo_name>", "<reponame>")
_FILE_PIECES = ("<|file_sep|>", "<|file_separator|>", "<file_sep>", "<filename>")


def infill_tokens(named: Mapping[str, int], token_id: Callable[[str], int | None]) -> InfillTokens | None:
    """The marks of a vocabulary, or None. `named` are those that the file names, by role (see `ROLES`)."""
    family = next((family for family in _FAMILIES if family.is_known(token_id)), None)
    found = {} if family is None else family.tokens(token_id)
    for role, pieces in (("repo", _REPO_PIECES), ("file", _FILE_PIECES)):
        for token in map(token_id, pieces):
            if token is not None:
                found.setdefault(role, token)
    found |= named
    is_whole = "middle" in found or (family is not None and not family.middle)
    if "prefix" not in found or "suffix" not in found or not is_whole:
        return None
    return InfillTokens(found["prefix"], found["suffix"], found.get("middle"), found.get("repo"), found.get("file"),
                        frozenset(found.values()))
