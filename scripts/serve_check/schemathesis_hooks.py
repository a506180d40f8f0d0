"""What schemathesis is told of our server: the name that requests may give the model. It cannot guess it, and nine in
ten requests would end there."""

from __future__ import annotations

import os
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """An empty name is left as it is, so that a wrong one is sent now and then."""
    if isinstance(case.body, dict) and isinstance(name := case.body.get("model"), str) and name:
        case.body["model"] = os.environ["SERVED_MODEL"]
    if isinstance(name := case.path_parameters.get("name"), str) and len(name) > 1:
        case.path_parameters["name"] = os.environ["SERVED_MODEL"]
