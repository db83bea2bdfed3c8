"""The project: what the script declares, how large it is, and what lies at the top level."""

import ast
import fnmatch
import os
import re
import subprocess

import pytest
from mock_group_api import SAMPLE

ROOT = SAMPLE.parent
SCRIPT = SAMPLE.read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
FUNCTIONS = {
    node.name: (node.lineno, node.end_lineno or 0)
    for node in ast.walk(ast.parse(SCRIPT))
    if isinstance(node, ast.FunctionDef)
}


def declared(text: str, name: str) -> str:
    """Return the value of the first setting of that name in TOML, as it is written."""
    match = re.search(rf"(?m)^(?:# )?{name} = (.*)$", text)
    assert match
    return match[1]


@pytest.mark.parametrize("name", ["requires-python", "dependencies"])
def test_header_and_pyproject_agree(name: str) -> None:
    """The script's header and pyproject.toml name the same Python and the same packages."""
    assert declared(SCRIPT, name) == declared(PYPROJECT, name)


def test_needs_httpx_and_rich_alone() -> None:
    """Each with a lower bound, and an upper one at a major version."""
    packages = re.findall(r'"(\w+)>=[\d.]+,<\d+"', declared(SCRIPT, "dependencies"))

    assert packages == ["httpx", "rich"]


def test_starts_by_its_own_name() -> None:
    """The shebang has uv run the script with the packages that its header names."""
    assert SCRIPT.startswith("#!/usr/bin/env -S uv run --script\n# /// script\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission")
def test_can_be_executed() -> None:
    """The file may be executed."""
    assert SAMPLE.stat().st_mode & 0o111


def test_is_short() -> None:
    """Fewer than 500 lines, and no function past 40."""
    too_long = [name for name, (first, last) in FUNCTIONS.items() if last - first + 1 > 40]

    assert SCRIPT.count("\n") < 500
    assert too_long == []


def test_the_api_comes_first() -> None:
    """The submission is sent before line 130, and the poll loop is over by line 200."""
    before_post = SCRIPT.partition("client.post(")[0]

    assert before_post.count("\n") + 1 < 130
    assert FUNCTIONS["poll_group"][1] <= 200


def test_supports_the_same_pythons_everywhere() -> None:
    """The gate, the workflow, pyproject.toml and README.md name the same versions of Python."""
    gate = (ROOT / ".ci/run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"set -- (3\..*)", gate)
    [matrix] = re.findall(r"python: \[(.*)\]", workflow)
    versions = listed.split()
    first, last = (int(version[2:]) for version in (versions[0], versions[-1]))

    assert versions == [f"3.{minor}" for minor in range(first, last + 1)]
    assert re.findall(r'"([^"]*)"', matrix) == versions
    assert declared(PYPROJECT, "requires-python") == f'">=3.{first}"'
    for text in (gate, readme):
        assert set(re.findall(r"3\.\d+ to 3\.\d+", text)) == {f"3.{first} to 3.{last}"}


def names_at_the_top() -> set[str]:
    """Return what is committed there or, without git, what is there and not ignored."""
    if (ROOT / ".git").exists():
        git = ["git", "ls-files"]
        files = subprocess.run(git, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30)
        return {path.split("/")[0] for path in files.stdout.splitlines()}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    return {
        name
        for name in os.listdir(ROOT)
        if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
    }


def test_top_level() -> None:
    """It holds five names, and dot files."""
    assert {name for name in names_at_the_top() if not name.startswith(".")} == {
        "async_polling_example.py",
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "tests",
    }
