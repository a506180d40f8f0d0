"""Whatever is sent, the answer is an answer or says whose fault it is: never 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outrider.serve.refusals import REFUSALS
from outrider.serve.schema.chat import ChatBody
from outrider.serve.schema.completions import CompletionBody
from outrider.serve.schema.tokens import DetokenizeBody, TokenizeBody
from tiny_server import TinyServer, error_of

PATHS = {"/v1/completions": CompletionBody, "/v1/chat/completions": ChatBody, "/tokenize": TokenizeBody,
         "/detokenize": DetokenizeBody}
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=9)
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                                                       max_size=3), max_leaves=6)
NEAR = st.sampled_from([0, 1, -1, 2, 0.5, 1.0, True, "", "a", [], {}, [1], ["a"], {"type": "text"}, {"enabled": True},
                        {"include_usage": True}, {"1": 5}, [{"role": "user", "content": "a"}], [[1, 2]], 10**12,
                        "\ud800"])


def bodies(path: str) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly fields that there are, mostly with values that are almost right."""
    names = st.sampled_from([*PATHS[path].model_fields, *REFUSALS, "foo"])
    whole = {"prompt": "ab", "messages": [{"role": "user", "content": "ab"}], "tokens": [1]}
    required = {name: whole[name] for name in PATHS[path].model_fields if name in whole and path != "/tokenize"}
    return st.dictionaries(names, NEAR | ANY, max_size=4).map(lambda chosen: {"max_tokens": 3, **required, **chosen})


@pytest.mark.parametrize("path", PATHS)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_body_breaks_the_server(server: TinyServer, path: str, data: st.DataObject) -> None:
    found = server.client.post(path, content=json.dumps(data.draw(bodies(path))),
                               headers={"content-type": "application/json"})
    if found.status_code != 200:
        error_of(found, found.status_code)
        assert found.status_code in (400, 404)
    assert "server_error" not in found.text
