"""Targets: the models that verify."""
