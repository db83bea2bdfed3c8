"""The project: what the script declares, how large it is, and what lies at the top level."""

import ast
import re
import subprocess

import pytest
from mock_group_api import SAMPLE

ROOT = SAMPLE.parent
SCRIPT = SAMPLE.read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


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
    """Each with a lower bound, and an upper one below the next major version."""
    assert re.findall(r'"(\w+)>=[\d.]+,<\d+"', declared(SCRIPT, "dependencies")) == [
        "httpx",
        "rich",
    ]


def test_can_be_executed() -> None:
    """The shebang has uv run the script, and the file may be executed."""
    assert SCRIPT.startswith("#!/usr/bin/env -S uv run --script\n# /// script\n")
    assert SAMPLE.stat().st_mode & 0o111


def test_is_short() -> None:
    """Fewer than 500 lines, and no function past 40."""
    functions = [each for each in ast.walk(ast.parse(SCRIPT)) if isinstance(each, ast.FunctionDef)]

    assert SCRIPT.count("\n") < 500
    assert max((each.end_lineno or 0) - each.lineno + 1 for each in functions) <= 40


def test_top_level() -> None:
    """It holds five names, and dot files."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    names = {path.split("/")[0] for path in listed.stdout.splitlines()}

    assert {name for name in names if not name.startswith(".")} == {
        "async_polling_example.py",
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "tests",
    }
