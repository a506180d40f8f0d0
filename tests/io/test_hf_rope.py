"""Rotary settings of a config.json: read, written, read again."""

from __future__ import annotations

import math

import pytest

from outrider.core.spec import RopeSpec
from outrider.errors import ConfigError
from outrider.io.fields import Fields
from outrider.io.hf_rope import read_rope, rope_config

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}


def read(**config: object) -> RopeSpec:
    return read_rope(Fields("config.json", config), "full_attention", 10_000.0)


def test_yarn_and_its_defaults() -> None:
    rope = read(rope_theta=1e6, rope_scaling=YARN)
    assert rope == RopeSpec(
        theta=1e6, scaling="yarn", factor=4.0, original_positions=512, magnitude=0.1 * math.log(4) + 1
    )
    assert read(rope_theta=1e6, rope_parameters=YARN) == rope
    beside = {key: value for key, value in YARN.items() if key != "original_max_position_embeddings"}
    assert read(rope_theta=1e6, rope_scaling=beside, original_max_position_embeddings=512) == rope
    assert read(rope_theta=1e6, rope_scaling=beside, max_position_embeddings=512) == rope


@pytest.mark.parametrize(
    ("more", "magnitude"),
    [
        ({"attention_factor": 0.8}, 0.8),
        ({"mscale": 1.0, "mscale_all_dim": 1.0}, 1.0),
        ({"mscale": 0.7}, 0.1 * math.log(4) + 1),
        ({"factor": 1.0}, 1.0),
    ],
)
def test_what_multiplies_cos_and_sin(more: dict[str, object], magnitude: float) -> None:
    assert read(rope_scaling=YARN | more).magnitude == pytest.approx(magnitude)


@pytest.mark.parametrize(
    "rope",
    [
        RopeSpec(theta=5e5),
        RopeSpec(theta=5e5, scaling="linear", factor=2.0),
        RopeSpec(theta=5e5, scaling="llama3", factor=8.0, original_positions=512),
        RopeSpec(theta=5e5, scaling="yarn", factor=8.0, original_positions=512, magnitude=1.1, whole_pairs=False),
    ],
)
def test_what_is_written_reads_back(rope: RopeSpec) -> None:
    config = rope_config(rope)
    assert read(**config) == rope
    assert read(**{key: value for key, value in config.items() if key != "rope_parameters"}) == rope


def test_divisors_have_no_words() -> None:
    with pytest.raises(ConfigError, match="divisors"):
        rope_config(RopeSpec(frequency_divisor=(1.0, 2.0)))
