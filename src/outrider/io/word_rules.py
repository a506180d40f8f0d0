"""How byte-level vocabularies cut text into words before merging, by the name GGUF files give to each rule.

Source: the `pre_tokenizer` and `normalizer` of each family's published tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CASED_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class WordRule:
    """How text is cut into words before merging. Without a `pattern` GPT-2's own is used.

    `whole_words` takes a word that is itself a token without merging; `add_bos` holds where the file does not say.
    """

    pattern: str = ""
    single_digits: bool = False
    compose: bool = False  # to Unicode's composed form (NFC) first
    whole_words: bool = False
    add_bos: bool = False


_GPT2 = WordRule()
_DIGITS = WordRule(single_digits=True)
_LLAMA3 = WordRule(_WORDS % "{1,3}", whole_words=True, add_bos=True)
WORD_RULES: Mapping[str, WordRule] = {
    "default": _GPT2,
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "qwen2": WordRule(_WORDS % "", compose=True),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "tekken": WordRule(_CASED_WORDS, whole_words=True, add_bos=True),
}


def word_splitter(rule: WordRule) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not rule.pattern)
    if rule.pattern:
        split = pre_tokenizers.Split(Regex(rule.pattern), behavior="isolated")
        return pre_tokenizers.Sequence([split, byte_level])
    if rule.single_digits:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    return byte_level
