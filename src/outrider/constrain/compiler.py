"""From grammars to constraints for one model's vocabulary."""

from __future__ import annotations

from outrider.constrain.grammar import Grammar
from outrider.core.constraint import Constraint


class Compiler:
    """One a model; threads may share it. The last grammars that were compiled are kept."""

    def compile(self, grammar: Grammar) -> Constraint:
        """May take a second for a large schema. Raises: RequestError, one line that begins with `grammar.field`."""
        raise NotImplementedError
