"""Log-probabilities in the two shapes of OpenAI's API: chat's, and the older one of completions."""

from __future__ import annotations

from collections.abc import Sequence

from outrider.core.request import Logprobs, TokenLogprob
from outrider.io.tokenizer import Tokenizer

_LEAST = -9999.0  # JSON has no infinity


class LogprobForms:
    """Both shapes have one entry for each token, the token that ends an answer among them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def chat(self, entries: Sequence[Logprobs]) -> dict[str, object]:
        """`choices[].logprobs`."""
        return {"content": [{**self._token(entry.chosen), "top_logprobs": [self._token(other) for other in entry.top]}
                            for entry in entries], "refusal": None}

    def legacy(self, token_n: Sequence[int], entries: Sequence[Logprobs | None], offset: int) -> dict[str, object]:
        """`choices[].logprobs`; the first token of a prompt has no entry. `offset` is where the text begins."""
        offsets = []
        for token in token_n:
            offsets.append(offset)
            offset += len(self._text(token))
        return {"tokens": [self._name(token) for token in token_n],
                "token_logprobs": [None if entry is None else _finite(entry.chosen.logprob) for entry in entries],
                "top_logprobs": [None if entry is None else self._best(entry) for entry in entries],
                "text_offset": offsets}

    def _token(self, found: TokenLogprob) -> dict[str, object]:
        data = self._tokenizer.token_bytes(found.token)
        return {"token": data.decode("utf-8", "replace"), "logprob": _finite(found.logprob), "bytes": list(data)}

    def _best(self, entry: Logprobs) -> dict[str, float]:
        """The chosen token is always among them. Two ids of one spelling share an entry, the better one's."""
        best: dict[str, float] = {}
        for found in (*entry.top, entry.chosen):
            best.setdefault(self._name(found.token), _finite(found.logprob))
        return best

    def _text(self, token: int) -> str:
        return self._tokenizer.token_bytes(token).decode("utf-8", "replace")

    def _name(self, token: int) -> str:
        """The token's text; bytes that are no text are spelt out, so that they can be told apart."""
        data = self._tokenizer.token_bytes(token)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
