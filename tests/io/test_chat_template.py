"""Chat templates render as published ones are meant to, and cannot do anything else."""

from __future__ import annotations

from datetime import datetime

import pytest

import real_models
import tiny_vocabularies
from outrider.errors import RequestError
from outrider.io.chat_template import ChatTemplate, Message
from outrider.io.gguf_header import read_header
from outrider.io.gguf_tokenizer import HeaderMetadata, from_gguf

CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
HI = [Message("user", "Hi")]


def render(source: str, **variables: object) -> str:
    return ChatTemplate(source).render(HI, variables=variables)


def test_messages_become_the_models_text() -> None:
    template = ChatTemplate(CHATML)
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    messages = [{"role": "system", "content": "Be brief."}, Message("user", "Hi")]
    assert template.render(messages, add_generation_prompt=False) == expected
    assert template.render(messages) == expected + "<|im_start|>assistant\n"


def test_variables_reach_the_template() -> None:
    assert ChatTemplate(CHATML).variables == {"enable_thinking"}
    assert render(CHATML, enable_thinking=False).endswith("</think>\n\n")
    assert render(CHATML, enable_thinking=True).endswith("assistant\n")


def test_a_variable_that_the_template_does_not_read_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(RequestError, match=r"does not read 'enable_thinkin' \(did you mean 'enable_thinking'\?\)"):
        render(CHATML, enable_thinkin=False)
    with pytest.raises(RequestError, match="'messages' is set by us"):
        render(CHATML, messages=[])
    assert render(CHATML, tools=None) == render(CHATML)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("  {% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"),
        ("{{ {'b': '<é>', 'a': [1, none]} | tojson }}", '{"b": "<é>", "a": [1, null]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}x{{ messages[0].content }}{% endgeneration %}", "xHi"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% if tools %}T{% endif %}{{ strftime_now is defined }}{{ '-' * 3 }}", "True---"),
        ("{{ messages[0].missing }}|{{ messages[0]['role'].upper() }}", "|USER"),
    ],
)
def test_the_dialect(source: str, expected: str) -> None:
    assert render(source) == expected


def test_the_clock_can_be_fixed() -> None:
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", now=lambda: datetime(2024, 7, 26))
    assert template.render(HI) == template.render(HI) == "26 Jul 2024"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ strftime_now.__closure__[0] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ (messages | attr('__class__')).__name__ + '' }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{% include '/etc/hostname' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * [1] }}",
        "{% for i in range(1000000000) %}{% endfor %}",
    ],
)
def test_the_sandbox_holds(source: str) -> None:
    with pytest.raises(RequestError, match="chat template") as error:
        render(source)
    assert "\n" not in str(error.value)


def test_private_attributes_are_nothing() -> None:
    assert render("[{{ raise_exception.__globals__ }}{{ ''.__class__ }}{{ messages.__len__ }}]") == "[]"


def test_what_the_template_objects_to_is_passed_on() -> None:
    with pytest.raises(RequestError, match="refused the messages: roles must alternate"):
        render("{{ raise_exception('roles must\nalternate') }}")
    with pytest.raises(RequestError, match="not valid"):
        ChatTemplate("{% if %}")
    with pytest.raises(RequestError, match="message 0 must have a role"):
        ChatTemplate(CHATML).render([{"content": "x"}])


def test_a_model_without_template_says_what_to_do() -> None:
    tokenizer = from_gguf(tiny_vocabularies.sentencepiece(), where="tiny")
    with pytest.raises(RequestError, match=r"no chat template .* complete plain text instead"):
        ChatTemplate.of(tokenizer)


def test_the_models_own_tokens_are_known_to_its_template() -> None:
    metadata = tiny_vocabularies.sentencepiece() | {"tokenizer.chat_template": "{{ bos_token }}x{{ eos_token }}"}
    tokenizer = from_gguf(metadata, where="tiny")
    text = ChatTemplate.of(tokenizer).render(HI)
    assert text == "<bos>x<eos>"
    assert tokenizer.with_bos(tokenizer.encode(text, special=True))[:2] != [1, 1]


@pytest.mark.real_model
def test_a_real_template_makes_control_tokens() -> None:
    path = real_models.path("qwen2.5-coder-0.5b-instruct")
    tokenizer = from_gguf(HeaderMetadata(read_header(path)), where=path.name)
    text = ChatTemplate.of(tokenizer).render(HI)
    assert text == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer.encode(text, special=True)
    assert [ids.count(token) for token in (151644, 151645)] == [3, 2]
