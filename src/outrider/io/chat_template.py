"""Chat templates: a list of messages as the one text that a model was trained on.

Templates are small programs that come inside model files, so they run in a sandbox: no files, no imports, no private
attributes, nothing that is given to them can be changed.

Source: jinja2's sandbox; the names a template may use are those of Hugging Face's `apply_chat_template`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
from jinja2.exceptions import SecurityError

from outrider.errors import RequestError, suggestion
from outrider.io.tokenizer import Tokenizer

_MAX_REPEATED = 1_000_000  # characters or items that a template may make by repeating something
_OWN_VARIABLES = frozenset({"messages", "add_generation_prompt", "bos_token", "eos_token"})
_ALWAYS_GIVEN: Mapping[str, object] = {"tools": None, "documents": None}
_MISSING = (
    "this model has no chat template (it is probably a base model); complete plain text instead, "
    "or use the instruct version of the model"
)


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said. Tool calls and other parts that only some templates know go in a plain mapping instead."""

    role: str  # system, user, assistant, tool
    content: str


class ChatTemplate:
    """`variables` names what else the template reads, such as `tools` or `enable_thinking`.

    `now` is the clock behind the template's `strftime_now`; a fixed one makes every render repeatable.
    Raises: RequestError where the source is no valid template.
    """

    def __init__(
        self, source: str, *, bos_token: str = "", eos_token: str = "", now: Callable[[], datetime] = datetime.now
    ) -> None:
        environment = _environment(now)
        try:
            self._template = environment.from_string(source)
            read = jinja2.meta.find_undeclared_variables(environment.parse(source))
        except (jinja2.TemplateError, RecursionError) as error:
            raise RequestError(f"the model's chat template is not valid: {_one_line(error)}") from error
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self.variables = frozenset(read) - _OWN_VARIABLES - set(environment.globals)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """Raises: RequestError where the model has no template or an invalid one."""
        if tokenizer.template is None:
            raise RequestError(_MISSING)
        bos, eos = tokenizer.bos_id, tokenizer.eos_id
        return cls(
            tokenizer.template,
            bos_token="" if bos is None else tokenizer.piece(bos) or "",
            eos_token="" if eos is None else tokenizer.piece(eos) or "",
        )

    def render(
        self,
        messages: Sequence[Message | Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        variables: Mapping[str, object] | None = None,
    ) -> str:
        """The text to encode with `special=True`.

        `add_generation_prompt` ends it where the assistant's answer begins.
        Raises: RequestError for malformed messages, for variables that the template does not read (None is always
        allowed), and for whatever the template itself objects to.
        """
        given = dict(variables or {})
        self._check_variables(given)
        context = {
            **_ALWAYS_GIVEN,
            **self._tokens,
            **given,
            "messages": [_plain(message, index) for index, message in enumerate(messages)],
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(context)
        except _Refused as error:
            raise RequestError(f"the model's chat template refused the messages: {_one_line(error)}") from error
        except Exception as error:  # a template is a program of someone else's: it can fail in any way
            raise RequestError(
                f"the model's chat template failed on these messages: {type(error).__name__}: {_one_line(error)}"
            ) from error

    def _check_variables(self, given: Mapping[str, object]) -> None:
        for name, value in given.items():
            if name in _OWN_VARIABLES:
                raise RequestError(f"the template variable '{name}' is set by us; leave it out")
            if value is not None and name not in self.variables:
                known = ", ".join(sorted(self.variables)) or "none"
                hint = suggestion(name, self.variables)
                raise RequestError(f"the chat template does not read '{name}'{hint}; it reads: {known}")


def _plain(message: Message | Mapping[str, object], index: int) -> dict[str, object]:
    if isinstance(message, Message):
        return {"role": message.role, "content": message.content}
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError(
            f"message {index} must have a role and a content, such as {{'role': 'user', 'content': 'Hi'}}"
        )
    return dict(message)


class _Refused(jinja2.TemplateError):
    """The template called `raise_exception`."""


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}` marks what a model is trained on; for rendering it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance attribute

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Also refuses what would fill the memory from a few characters of template."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: object, right: object) -> object:
        if operator == "**":
            raise SecurityError("powers are not allowed")
        for repeated, times in ((left, right), (right, left)):
            if not isinstance(repeated, str | list | tuple) or not isinstance(times, int):
                continue
            if len(repeated) * times > _MAX_REPEATED:
                raise SecurityError(f"repeating something {times} times is too much")
        return super().call_binop(context, operator, left, right)


def _environment(now: Callable[[], datetime]) -> jinja2.Environment:
    def strftime_now(form: str) -> str:
        return now().strftime(form)

    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = strftime_now
    return environment


def _raise(message: str) -> NoReturn:
    raise _Refused(message)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike jinja2's own filter this keeps key order and does not escape for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
