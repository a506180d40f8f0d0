"""Constraints on what is generated, from JSON schemas, regular expressions and grammars."""
