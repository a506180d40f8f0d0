"""Naming drafters: the syntax, configs, instances, files and plugins; every mistake named in one line."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from outrider.drafters.mix import MixDrafter
from outrider.drafters.none import NoDrafter
from outrider.drafters.prompt_lookup import PromptLookupDrafter
from outrider.drafters.suffix import SuffixDrafter
from outrider.drafting import registry
from outrider.drafting.interface import NoOptions
from outrider.drafting.syntax import DrafterSpec, drafter_of, parse, spec_of, split_runs
from outrider.errors import ConfigError, OutriderError
from outrider.testing import check_drafter, tiny_model

MINE = '''
from __future__ import annotations

from dataclasses import dataclass

from outrider.core.commit import Commit
from outrider.core.tree import Budget, DraftTree
from outrider.drafting.interface import HostDrafter, SequenceContext


class Mine(HostDrafter[list[int]]):
    @dataclass(frozen=True, slots=True)
    class Config:
        max: int = 3
        loud: bool = False
        sizes: tuple[int, ...] = (1, 2)
        name: str | None = None
        floor: float = 0.5

    def start(self, context: SequenceContext) -> list[int]:
        return [context.token]

    def observe(self, state: list[int], commit: Commit) -> None:
        state += commit.token_n

    def draft(self, state: list[int], budget: Budget) -> DraftTree:
        return DraftTree.chain(state[-min(self.config.max, budget.nodes, budget.depth):])
'''


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return str(path)


def config_of(text: str) -> Any:
    return parse(text).config


def test_options_take_the_types_of_their_fields(mine: str) -> None:
    config = config_of(f"{mine}:max=7; loud=yes;sizes=4/8;name=x y;floor=0.25")
    assert (config.max, config.loud, config.sizes, config.name, config.floor) == (7, True, (4, 8), "x y", 0.25)
    assert config_of(f"{mine}:loud=false").loud is False
    assert (config_of(mine).max, config_of(mine).name) == (3, None)


def test_hyphen_and_underscore_are_equal() -> None:
    assert parse("prompt-lookup:max-ngram=5;min_ngram=1") == parse("prompt_lookup:max_ngram=5;min-ngram=1")
    assert parse("prompt-lookup").name == "prompt_lookup"


def test_values_may_hold_colons_and_equal_signs() -> None:
    assert config_of("model:target=ollama:qwen:0.5b").target == "ollama:qwen:0.5b"
    assert config_of("ngram_hash:pool=a=b.pool").pool == "a=b.pool"


def test_a_plus_joins_a_mixture() -> None:
    spec = parse("suffix + prompt-lookup:max=4")
    assert (spec.name, spec.drafter) == ("suffix+prompt_lookup", MixDrafter)
    assert [member.drafter for member in spec.config.members] == [SuffixDrafter, PromptLookupDrafter]
    assert spec.config.members[1].config.max == 4
    assert spec_of(["suffix", PromptLookupDrafter.Config(max=4)]).config == spec.config
    drafter = spec.build(tiny_model().target)
    assert drafter.sources == ("suffix", "prompt_lookup")


def test_a_list_takes_every_form_and_one_member_is_itself(mine: str) -> None:
    target = tiny_model().target
    own = NoDrafter(None, target)
    mixed = drafter_of(["suffix", own, NoDrafter.Config(), SuffixDrafter, mine], target)
    assert isinstance(mixed, MixDrafter) and mixed.members[1] is own
    assert mixed.sources == ("suffix", "none", "none", "suffix", "mine")
    assert spec_of(["suffix"]) == parse("suffix")


def test_auto_is_a_flat_mixture_of_what_looks_things_up() -> None:
    assert parse("auto").drafter is MixDrafter and parse("auto").name == "auto"
    assert members(parse("auto")) == ["suffix", "ngram_hash"]
    assert parse("auto").config.members[0].config.max == 64
    assert members(parse("auto+model:target=x")) == ["suffix", "ngram_hash", "model"]
    assert members(spec_of(["auto", PromptLookupDrafter.Config()])) == ["suffix", "ngram_hash", "prompt_lookup"]
    assert drafter_of("auto", tiny_model().target).sources == ("suffix", "ngram_hash")


def test_a_drafter_named_beside_auto_takes_the_place_of_its_own() -> None:
    spec = parse("auto+suffix:max=3")
    assert members(spec) == ["ngram_hash", "suffix"] and spec.config.members[1].config.max == 3
    assert members(parse("auto+auto")) == ["suffix", "ngram_hash"]
    assert members(parse("suffix+auto+ngram_hash")) == ["suffix", "ngram_hash"]


def members(spec: DrafterSpec) -> list[str]:
    return [member.name for member in spec.config.members]


BAD = [
    ("auto:max=3", "name a drafter beside it"), ("atuo", "did you mean 'auto'"),
    ("sufix", "did you mean 'suffix'"), ("", "expected NAME"), ("suffix++none", "joined by +"), ("+", "joined by +"),
    ("suffix:max", "expected key=value"), ("suffix:mx=3", "did you mean 'max'"), ("none:max=3", "its options: none"),
    ("prompt_lookup:max=three", "option max takes int"), ("prompt_lookup:max=", "option max takes int"),
    ("suffix:frozen=maybe", "option frozen takes bool"), ("suffix:max=1;max=2", "given twice"),
    ("model", "needs target=..."), ("missing.py", "no drafter file"), ("mix", "needs members=..."),
    ("suffix+sufix", "did you mean 'suffix'"), ("ngram_hash:sizes=4/x", "option sizes takes"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_mistakes_are_named_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_values_are_refused_when_the_drafter_is_made() -> None:
    with pytest.raises(OutriderError, match="min_ngram"):
        drafter_of("prompt_lookup:min_ngram=9", tiny_model().target)


@pytest.mark.parametrize("wanted", [7, None, object(), NoOptions()])
def test_other_things_are_no_drafters(wanted: object) -> None:
    with pytest.raises(ConfigError, match="no drafter takes a config of type"):
        spec_of(wanted)


def test_a_class_that_needs_options_says_so() -> None:
    with pytest.raises(ConfigError, match="needs target="):
        spec_of(registry.find("model"))


def test_a_config_leads_to_its_drafter() -> None:
    assert spec_of(SuffixDrafter.Config()).drafter is SuffixDrafter
    spec = DrafterSpec("mine", NoDrafter, NoDrafter.Config())
    assert spec_of(spec) is spec


def test_an_instance_is_bound_once_and_to_one_model() -> None:
    first, second = tiny_model().target, tiny_model().target
    drafter = NoDrafter()
    assert drafter_of(drafter, first) is drafter and drafter.target is first
    assert drafter_of(drafter, first) is drafter
    with pytest.raises(ConfigError, match="make one for each model"):
        drafter_of(drafter, second)


def test_a_file_is_a_drafter(mine: str) -> None:
    check_drafter(f"{mine}:max=2")
    assert drafter_of(mine, tiny_model().target).sources == ("mine",)
    assert parse(mine).name == "mine"


@pytest.mark.parametrize(("body", "message"), [
    ("x = 1\n", "expected one Drafter class, found 0"),
    (MINE + "class Other(Mine):\n    pass\n", "expected one Drafter class, found 2"),
    ("import nothing_of_that_name\n", "cannot be loaded: ModuleNotFoundError"),
    ("def broken(:\n", "cannot be loaded: SyntaxError"),
])
def test_a_broken_file_is_a_one_line_error(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(body)
    with pytest.raises(ConfigError) as caught:
        parse(str(path))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for folder, count in (("a", 5), ("b", 9)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(MINE.replace("max: int = 3", f"max: int = {count}"))
    assert [config_of(str(tmp_path / folder / "mine.py")).max for folder in ("a", "b", "a")] == [5, 9, 5]


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry point of an installed package."""

    name: str
    value: str

    @property
    def point(self) -> EntryPoint:
        return EntryPoint(self.name, self.value, registry.GROUP)


def test_installed_packages_bring_drafters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By class or by module; hyphen and underscore are equal here too; what is no drafter is refused."""
    (tmp_path / "plugged.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    points = [Plugin("by-class", "plugged:Mine").point, Plugin("by_module", "plugged").point,
              Plugin("wrong", "plugged:dataclass").point]
    monkeypatch.setattr(registry, "_plugins", lambda: points)
    assert {"by-class", "by_module", "suffix"} <= set(registry.names())
    assert parse("by_class:max=9").drafter is parse("by-module").drafter
    with pytest.raises(ConfigError, match="is not an outrider Drafter"):
        parse("wrong")
    with pytest.raises(ConfigError, match="did you mean 'by_module'"):
        parse("by_modul")
    assert spec_of(parse("by-class").config).drafter is parse("by-class").drafter


def test_the_file_name_is_the_registration() -> None:
    own = {path.stem for path in Path(registry.__file__).parents[1].joinpath("drafters").glob("*.py")} - {"__init__"}
    assert own <= set(registry.names())


def test_commas_separate_runs() -> None:
    assert split_runs("none, suffix+model:target=a") == ["none", "suffix+model:target=a"]
    for text in ("", "none,", ",none"):
        with pytest.raises(ConfigError, match="separated by commas"):
            split_runs(text)
