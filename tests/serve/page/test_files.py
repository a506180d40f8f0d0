"""The page's files: all of them served, as what they are, with nothing from elsewhere."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from outrider.serve.page.files import KINDS, NAMES, PATHS
from outrider.serve.settings import Settings
from tiny_server import TinyServer, error_of, serving

FOLDER = resources.files("outrider.serve.page")
TEXTS = {name: (FOLDER / name).read_text(encoding="utf-8") for name in NAMES}
SCRIPTS = [name for name in NAMES if name.endswith(".js")]
ELEMENT = re.compile(r'\bid="([\w-]+)"')


def test_every_file_of_the_folder_is_listed() -> None:
    there = {item.name for item in FOLDER.iterdir() if item.is_file() and not item.name.endswith(".py")}
    assert there == set(NAMES)


@pytest.mark.parametrize("path", sorted(PATHS))
def test_files_are_what_they_are(server: TinyServer, path: str) -> None:
    name = path.removeprefix("/page/") if path != "/" else "index.html"
    found = server.get(path)
    assert found.status_code == 200 and found.text == TEXTS[name]
    assert found.headers["content-type"] == KINDS[name[name.index("."):]]
    assert found.headers["x-content-type-options"] == "nosniff"
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert server.get(path, **{"if-none-match": found.headers["etag"]}).status_code == 304


def test_the_page_needs_no_key_and_the_api_does() -> None:
    with serving(Settings(api_keys=("secret",))) as server:
        assert {server.get(path).status_code for path in PATHS} == {200}
        error_of(server.get("/v1/models"), 401)
        error_of(server.get("/page/nothing.js"), 401)


def test_other_files_are_not_served(server: TinyServer) -> None:
    for name in ("files.py", "__init__.py", "index.html", "../app.py", "%2e%2e/app.py"):
        assert server.get(f"/page/{name}").status_code == 404
    assert "/page/main.js" not in server.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    known = {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert set(re.findall(r"\w+://[^\s\"')]+", TEXTS[name])) <= known
    assert not re.search(r"""(?:src|href)="//|@import|url\(""", TEXTS[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_use_ids_that_there_are_and_make_no_markup(name: str) -> None:
    ids = set(ELEMENT.findall(TEXTS["index.html"]))
    used = set(re.findall(r"""(?:getElementById|\bat)\(["']([\w-]+)["']\)""", TEXTS[name]))
    assert used <= ids, used - ids
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in TEXTS[name]


def test_ids_named_in_lists_are_there_too() -> None:
    ids = set(ELEMENT.findall(TEXTS["index.html"]))
    for name, pattern in (("main.js", r"= (\[[^]]+\])\.map\(at\)"), ("main.js", r"of (\[[^]]+\])\) at\("),
                          ("settings.js", r"FIELDS = (\[[^]]+\])")):
        listed = re.search(pattern, TEXTS[name])
        assert listed is not None
        assert set(re.findall(r'"([\w-]+)"', listed[1])) <= ids


def test_modules_import_what_there_is() -> None:
    for name in SCRIPTS:
        found = re.findall(r'import \{([^}]+)\} from "\./([\w.]+)"', TEXTS[name])
        assert len(found) == len(re.findall(r"^import\b", TEXTS[name], re.M)), "an import of another form"
        for imported, module in found:
            for word in imported.split(","):
                assert re.search(rf"export (?:async )?(?:class|function\*?|const) {word.strip()}\b", TEXTS[module])


def test_markup_has_no_script_or_style_of_its_own() -> None:
    page = TEXTS["index.html"]
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)
    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", page, re.S))
    assert len(ELEMENT.findall(page)) == len(set(ELEMENT.findall(page)))
    for label, wanted in re.findall(r'<label[^>]*\bfor="([\w-]+)"(.)', page):
        assert wanted and label in ELEMENT.findall(page)
