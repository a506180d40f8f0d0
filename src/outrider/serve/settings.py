"""`Settings`: what the server allows and calls itself."""

from __future__ import annotations

from dataclasses import dataclass

from outrider.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits of the server; those of the engine are in `EngineConfig`.

    `api_keys`: none lets everybody in. `model_names` are what requests may call the model, the first of them what
    answers call it; none: the name it was loaded by. `max_prompt_tokens` 0 is what the context holds. `max_choices`
    are the answers of one HTTP request, prompts times `n`; `max_waiting` those that may queue beyond the ones that
    run. `queue_timeout_s` bounds the wait for the first token, `request_timeout_s` the whole answer, `body_timeout_s`
    and `stall_s` clients that are slow to send or to read, `drain_s` what is still running when the server is told to
    stop. `hosts` are the names that it answers to, as browsers send them; none: any.
    """

    api_keys: tuple[str, ...] = ()
    model_names: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 2**20
    max_prompt_tokens: int = 0
    max_choices: int = 64
    max_waiting: int = 256
    queue_timeout_s: float = 300.0
    request_timeout_s: float = 3600.0
    body_timeout_s: float = 30.0
    stall_s: float = 60.0
    drain_s: float = 30.0
    cors_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, low in (("max_body_bytes", 1), ("max_prompt_tokens", 0), ("max_choices", 1), ("max_waiting", 0),
                          ("queue_timeout_s", 0), ("request_timeout_s", 0), ("body_timeout_s", 0), ("stall_s", 0),
                          ("drain_s", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, expected at least {low}")
        if any(not key.strip() for key in self.api_keys):
            raise ConfigError("api_keys: a key is empty")
