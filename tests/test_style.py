"""The house style's numbers: how long a file and a function may be, how deep it may nest, what a file may be called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 40
MAX_P90_LINES = 25
MAX_NESTING = 3
FORBIDDEN_WORDS = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}
SOURCE_SUFFIXES = {".py", ".cpp", ".cc", ".c", ".h", ".hpp", ".cu", ".cuh"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    num_lines: int  # without decorators and docstring
    nesting: int


def source_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return sorted(path for path in found if path.suffix in SOURCE_SUFFIXES)


def docstring_lines(node: FunctionNode) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return (node.body[0].end_lineno or 0) - node.body[0].lineno + 1


def is_elif(parent: ast.AST, child: ast.AST) -> bool:
    return isinstance(parent, ast.If) and isinstance(child, ast.If) and parent.orelse == [child]


def nesting(node: ast.AST) -> int:
    """Levels of blocks below `node`; `elif` adds none, and functions defined inside count for themselves."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            continue
        level = int(isinstance(child, BLOCKS) and not is_elif(node, child))
        deepest = max(deepest, level + nesting(child))
    return deepest


def functions_of(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FunctionNode):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
            yield Function(node.name, num_lines, nesting(node))


def faults(path: Path) -> list[str]:
    source = path.read_text(encoding="utf-8")
    found = []
    if FORBIDDEN_WORDS & set(path.stem.lower().split("_")):
        found.append(f"the name '{path.stem}' says nothing of what the file holds")
    if (num_lines := source.count("\n")) > MAX_FILE_LINES:
        found.append(f"{num_lines} lines, at most {MAX_FILE_LINES}")
    for function in functions_of(source) if path.suffix == ".py" else ():
        if function.num_lines > MAX_FUNCTION_LINES:
            found.append(f"{function.name}: {function.num_lines} lines, at most {MAX_FUNCTION_LINES}")
        if function.nesting > MAX_NESTING:
            found.append(f"{function.name}: nested {function.nesting} deep, at most {MAX_NESTING}")
    return found


@pytest.mark.parametrize("path", source_files("src", "csrc", "tests"), ids=lambda path: str(path.relative_to(ROOT)))
def test_file_keeps_the_house_style(path: Path) -> None:
    assert not faults(path)


def test_packages_have_telling_names() -> None:
    folders = {path.parent.relative_to(ROOT) for path in source_files("src", "csrc")}
    assert not [str(folder) for folder in folders if FORBIDDEN_WORDS & set(folder.parts)]


def test_ninetieth_percentile_of_function_lengths() -> None:
    sources = (path.read_text(encoding="utf-8") for path in source_files("src") if path.suffix == ".py")
    lengths = sorted(function.num_lines for source in sources for function in functions_of(source))
    assert lengths[int(0.9 * (len(lengths) - 1))] <= MAX_P90_LINES


def test_the_gates_see_what_they_should(tmp_path: Path) -> None:
    ifs = "".join("    " * level + "if n:\n" for level in range(1, 5))
    deep = "def deep(n: int) -> None:\n" + ifs + "    " * 5 + "pass\n"
    long = "def long() -> None:\n" + '    """Says why.\n\n    And more.\n    """\n' + "    pass\n" * 40
    chain = "def chain(n: int) -> None:\n    if n:\n        pass\n" + "    elif n:\n        pass\n" * 5
    bad, good = tmp_path / "file_utils.py", tmp_path / "good.py"
    bad.write_text(deep + long + "#\n" * 350)
    good.write_text(chain + long.replace("    pass\n" * 40, "    pass\n" * 39))
    assert [fault.split(":")[0] for fault in faults(bad)][2:] == ["deep", "long"]
    assert len(faults(bad)) == 4
    assert not faults(good)
