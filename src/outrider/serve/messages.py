"""From the messages of a body to what a chat template is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outrider.serve.errors import refused
from outrider.serve.schema.chat import MessageBody
from outrider.serve.service import Service

_THINKING = "enable_thinking"


def plain_messages(messages: Sequence[MessageBody]) -> list[Mapping[str, object]]:
    """One text a message."""
    return [_plain(message) for message in messages]


def template_variables(given: Mapping[str, object] | None, service: Service) -> dict[str, object]:
    """What the template reads beside the messages."""
    given = dict(given or {})
    if given.get(_THINKING) is False and _THINKING not in service.template_variables:
        del given[_THINKING]  # a model that cannot think does not
    return given


def _plain(message: MessageBody) -> Mapping[str, object]:
    extra = {name: value for name, value in (message.model_extra or {}).items() if value is not None}
    if "audio" in extra or "function_call" in extra:
        raise refused("messages", "audio and function_call are not supported")
    role = "system" if message.role == "developer" else message.role
    return {**extra, "role": role, "content": message.text()}

