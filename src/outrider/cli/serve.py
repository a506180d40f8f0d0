"""`outrider serve`: an OpenAI-compatible server."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from outrider.cli.flags import parse
from outrider.cli.options import ModelOptions, Words, check_counts, read_text
from outrider.errors import ConfigError

SUMMARY = "serve a model over HTTP, as OpenAI's API"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve(ModelOptions):
    """Serve a model over HTTP: chat, completions, tokens and figures, as OpenAI's clients know them."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets other machines in, and then give --api-key."""
    port: int = 8000
    """0 takes any free one."""
    name: Words = ()
    """What requests call the model, instead of MODEL; may be repeated."""
    api_key: Words = ()
    """A key that clients must send; may be repeated. Each has prefixes and memories of its own."""
    api_key_file: Path | None = None
    """A file with one key a line."""
    max_sequences: int = 32
    """Answers generated at once."""
    cache_tokens: int = 0
    """Tokens that the key-value cache holds; 0: the full context of every sequence, at most 32768."""
    prefill_tokens: int = 512
    """Tokens of prompts in one pass, at most."""
    overlap: Literal["auto", "on", "off"] = "auto"
    """Launch rounds ahead of their results where nothing is drafted; auto: where it pays."""
    max_prompt_tokens: int = 0
    """Longest prompt; 0: what the context holds."""
    max_body_mib: int = 8
    """Largest body of a request."""
    max_choices: int = 64
    """Answers to one request, prompts times n."""
    max_waiting: int = 256
    """Answers that may queue; beyond them clients are told to come back (429)."""
    queue_timeout_s: float = 300.0
    """Seconds that a request may wait for its first token."""
    request_timeout_s: float = 3600.0
    """Seconds that an answer may take."""
    drain_s: float = 30.0
    """Seconds that running answers get to finish when the server is told to stop."""
    cors_origin: Words = ()
    """A web page's origin that may call the server from a browser; may be repeated; none unless given."""
    allow_host: Words = ()
    """A name that clients may reach the server by, beside localhost, as through a proxy; may be repeated; * is any."""
    log_level: str = "info"
    """debug, info, warning or error. Prompts and answers are never logged."""


def run(argv: list[str]) -> int:
    options = parse(Serve, argv, "outrider serve")
    options.check()
    check_counts(options, "max_sequences", "prefill_tokens", "max_body_mib", "max_choices", least=1)
    keys = _keys(options)
    _log_to_stderr(options.log_level)
    from outrider.serve.hosts import hosts_of
    from outrider.serve.run import address_of, listen

    found = listen(options.host, options.port)  # before the model is loaded: a busy port should be told at once
    hosts = hosts_of(found, options.host, options.allow_host)
    from outrider.cli.session import open_model
    from outrider.engine.async_llm import AsyncLLM
    from outrider.engine.pair import paired
    from outrider.serve.app import create_app
    from outrider.serve.run import serve
    from outrider.serve.service import Service
    from outrider.serve.settings import Settings

    settings = Settings(
        api_keys=keys, model_names=options.name or (options.model,), max_body_bytes=options.max_body_mib * 2**20,
        max_prompt_tokens=options.max_prompt_tokens, max_choices=options.max_choices, max_waiting=options.max_waiting,
        queue_timeout_s=options.queue_timeout_s, request_timeout_s=options.request_timeout_s,
        drain_s=options.drain_s, cors_origins=options.cors_origin, hosts=hosts)
    pair = paired(options.model, options.drafter)
    model = open_model(replace(options, model=pair.model), options.context)
    llm = AsyncLLM(model, drafter=pair.drafter, max_draft=options.max_draft, context=options.context,
                   draft_policy=options.draft_policy, max_sequences=options.max_sequences,
                   cache_tokens=options.cache_tokens, prefill_tokens=options.prefill_tokens, overlap=options.overlap)
    service = Service(llm, settings)
    logging.getLogger(__name__).info("serving %s with %s at %s", ", ".join(service.names), "+".join(llm.sources),
                                     address_of(found))
    serve(create_app(service), service, found)
    return 0


def _keys(options: Serve) -> tuple[str, ...]:
    lines = read_text(options.api_key_file, "--api-key-file").splitlines() if options.api_key_file else []
    from_file = [line.strip() for line in lines if line.strip()]
    if options.api_key_file and not from_file:
        raise ConfigError(f"--api-key-file: no key in '{options.api_key_file}'")
    return (*options.api_key, *from_file)


def _log_to_stderr(level: str) -> None:
    if level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"--log-level: got '{level}', expected debug, info, warning or error")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level.upper())
    logging.getLogger("httptools").setLevel(logging.WARNING)
