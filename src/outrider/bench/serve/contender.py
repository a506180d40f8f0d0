"""Who is measured: a server with a setting of speculation, and what it turned out to take."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from outrider.bench.serve.answer import OK, Answer, Drafts, read_answer
from outrider.bench.serve.ask import OPTIONAL, Terms, Wish, body_of, path_of
from outrider.bench.serve.document import parsed, text_at
from outrider.bench.serve.reply import read_reply
from outrider.bench.serve.wire import Site, exchange
from outrider.bench.workload import Prompt
from outrider.errors import PeerError

SHORT_S = 30.0
REFUSALS = ("HTTP 400", "HTTP 422")
_COUNTER = re.compile(r"^(?:vllm|llamacpp):spec_decode_num_(draft|accepted)_tokens(?:_total)?(?:\{[^}]*\})?\s+(\S+)",
                      re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`name` is what tables call it."""

    name: str
    site: Site
    terms: Terms

    @property
    def refused(self) -> tuple[str, ...]:
        return tuple(name for name in OPTIONAL if name not in self.terms.taken)

    def messages(self, prompts: Sequence[Prompt], count: int, wish: Wish, salt: str) -> list[bytes]:
        """Requests for `count` answers, the prompts in turn; each pass over them has a salt of its own."""
        chosen = [(prompts[number % len(prompts)], number // len(prompts)) for number in range(count)]
        return [self._message(prompt, wish, f"{salt}-{number}") for prompt, number in chosen]

    def counters(self) -> Drafts | None:
        """Of all drafts since the server began, from `/metrics`; None where it has no such counters."""
        seen = asyncio.run(exchange(self.site, self.site.message("GET", "/metrics"), SHORT_S))
        return read_counters(read_reply(seen).body.decode("utf-8", "replace"))

    def _message(self, prompt: Prompt, wish: Wish, salt: str) -> bytes:
        return self.site.message("POST", path_of(prompt), body_of(prompt, wish, self.terms, salt))


def read_counters(page: str) -> Drafts | None:
    """Sums over all labels; None unless both counters are there."""
    sums: dict[str, float] = {}
    for kind, value in _COUNTER.findall(page):
        try:
            sums[kind] = sums.get(kind, 0.0) + float(value)
        except ValueError:
            return None
    return Drafts(round(sums["draft"]), round(sums["accepted"])) if len(sums) == 2 else None


def since(before: Drafts | None, after: Drafts | None) -> Drafts | None:
    """What happened between two readings."""
    if before is None or after is None:
        return None
    return Drafts(after.drafted - before.drafted, after.accepted - before.accepted)


def model_at(site: Site) -> str:
    """The first model that a server names. Raises: PeerError where no such server is."""
    seen = asyncio.run(exchange(site, site.message("GET", "/v1/models"), SHORT_S))
    reply = read_reply(seen)
    model = text_at(parsed(reply.body), "data", 0, "id")
    if model:
        return model
    if seen.fault or not reply.status:
        raise PeerError(site.name, seen.fault or "what answers there does not speak HTTP")
    hint = ": give --api-key" if reply.status == 401 else ", expected a list of models"
    raise PeerError(site.name, f"GET {site.root}/v1/models answered HTTP {reply.status}{hint}")


def introduce(name: str, site: Site, terms: Terms, prompt: Prompt, wish: Wish) -> Contender:
    """Finds out which settings a server takes by asking it for two tokens. Raises: PeerError where it gives none."""
    while True:
        contender = Contender(name=name, site=site, terms=terms)
        answer = _asked(contender, prompt, replace(wish, max_tokens=2))
        if not answer.error:
            return contender
        taken = terms.taken
        if answer.error not in REFUSALS or not taken:
            raise PeerError(name, f"{answer.error}: {answer.detail}" if answer.detail else answer.error)
        named = {setting for setting in taken if setting in answer.detail}
        terms = replace(terms, taken=taken - (named or {next(setting for setting in OPTIONAL if setting in taken)}))


def _asked(contender: Contender, prompt: Prompt, wish: Wish) -> Answer:
    message = contender.messages([prompt], 1, wish, "introduction")[0]
    return read_answer(asyncio.run(exchange(contender.site, message, 300.0)))


def is_ready(site: Site) -> bool:
    """Whether `/health` says so."""
    seen = asyncio.run(exchange(site, site.message("GET", "/health"), SHORT_S))
    return read_reply(seen).status == OK
