"""The rotary settings of a `config.json`, old (`rope_theta`, `rope_scaling`) or new (`rope_parameters`)."""

from __future__ import annotations

import math
from typing import Literal

from outrider.core.spec import RopeSpec
from outrider.errors import CheckpointError, ConfigError
from outrider.io.fields import Fields

_LAYER_KINDS = ("full_attention", "sliding_attention")


def read_rope(config: Fields, kind: Literal["full_attention", "sliding_attention"], default_theta: float) -> RopeSpec:
    """The rotation of one kind of layer.

    Old files scale only the layers that see everything, and keep the local base elsewhere (`default_theta`).
    Raises: CheckpointError where the scaling is not supported.
    """
    if not config.has("rope_parameters"):
        if kind == "sliding_attention":
            return RopeSpec(theta=default_theta)
        return _scaled(config.section("rope_scaling"), config.positive("rope_theta", default_theta), config)
    parameters = config.section("rope_parameters")
    if any(parameters.has(name) for name in _LAYER_KINDS):
        parameters = parameters.section(kind)
        return _scaled(parameters, parameters.positive("rope_theta", default_theta), config)
    if kind == "sliding_attention":  # one set for all layers
        raise CheckpointError(f"{parameters.where}: 'sliding_attention' is missing")
    theta = parameters.positive("rope_theta", config.positive("rope_theta", default_theta))
    return _scaled(parameters, theta, config)


def _scaled(parameters: Fields, theta: float, config: Fields) -> RopeSpec:
    name = "rope_type" if parameters.has("rope_type") else "type"
    scaling = parameters.text(name, "default")
    if parameters.has("partial_rotary_factor") and parameters.number("partial_rotary_factor") != 1:
        raise parameters.unsupported("partial_rotary_factor", parameters.number("partial_rotary_factor"), "1.0")
    if scaling == "default":
        return RopeSpec(theta=theta)
    if scaling == "linear":
        return RopeSpec(theta=theta, scaling="linear", factor=parameters.positive("factor"))
    if scaling == "yarn":
        return _yarn(parameters, theta, config)
    if scaling != "llama3":
        raise parameters.unsupported(name, scaling, "default, linear, llama3, yarn")
    return RopeSpec(
        theta=theta,
        scaling="llama3",
        factor=parameters.positive("factor"),
        low_freq_factor=parameters.positive("low_freq_factor"),
        high_freq_factor=parameters.positive("high_freq_factor"),
        original_positions=parameters.integer("original_max_position_embeddings", low=1),
    )


def _yarn(parameters: Fields, theta: float, config: Fields) -> RopeSpec:
    """Published defaults for what is left out; the positions before stretching stand beside the rest in some files."""
    if theta <= 1:
        raise CheckpointError(f"{config.where}: 'rope_theta' is {theta}, yarn needs more than 1")
    positions = config.integer("max_position_embeddings", 0)
    key = "original_max_position_embeddings"
    original = config.integer(key, low=1) if config.has(key) else parameters.integer(key, positions or None, low=1)
    factor = parameters.positive("factor", positions / original or None)
    return RopeSpec(
        theta=theta,
        scaling="yarn",
        factor=factor,
        original_positions=original,
        beta_fast=parameters.positive("beta_fast", 32.0),
        beta_slow=parameters.positive("beta_slow", 1.0),
        whole_pairs=parameters.flag("truncate", True),
        magnitude=_magnitude(parameters, factor),
    )


def _magnitude(parameters: Fields, factor: float) -> float:
    """What multiplies cos and sin: as stated, else by the rule of the paper, else by that of DeepSeek's models."""
    if parameters.has("attention_factor"):
        return parameters.positive("attention_factor")
    if factor <= 1:
        return 1.0
    above, below = parameters.number("mscale", 0.0), parameters.number("mscale_all_dim", 0.0)
    if not (above and below):
        above, below = 1.0, 0.0
    grown = (0.1 * above * math.log(factor) + 1) / (0.1 * below * math.log(factor) + 1)
    if grown <= 0:
        raise parameters.unsupported("mscale", above, "numbers above 0")
    return grown


def rope_config(rope: RopeSpec) -> dict[str, object]:
    """The keys that `read_rope` reads: the old ones and the new one, for readers of either.

    Raises: ConfigError for divisors of frequencies, which only GGUF files hold.
    """
    if rope.frequency_divisor:
        raise ConfigError("divisors of rotary frequencies, as GGUF files have them, cannot be written to a config.json")
    parameters = _scaling(rope)
    keys: dict[str, object] = {"rope_theta": rope.theta, "rope_parameters": {"rope_theta": rope.theta, **parameters}}
    return keys if rope.scaling == "none" else {**keys, "rope_scaling": parameters}


def _scaling(rope: RopeSpec) -> dict[str, object]:
    if rope.scaling == "none":
        return {"rope_type": "default"}
    parameters: dict[str, object] = {"rope_type": rope.scaling, "factor": rope.factor}
    if rope.scaling == "llama3":
        parameters |= {"low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor}
        parameters["original_max_position_embeddings"] = rope.original_positions
    if rope.scaling == "yarn":
        parameters |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow, "truncate": rope.whole_pairs}
        parameters |= {"original_max_position_embeddings": rope.original_positions, "attention_factor": rope.magnitude}
    return parameters
