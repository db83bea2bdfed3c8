"""The README's moving picture: of today's output, small, and with nothing in it but that."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
DEMO = (ROOT / ".assets/demo.svg").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def sample_output() -> list[str]:
    """Return the lines of the README's sample output, the wall-clock figures aside."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"(?ms)^```\n(=====.*?)^```$", readme)
    assert block
    lines = [" ".join(line.split()) for line in block[1].splitlines()]
    return [line for line in lines if line and "wall-clock" not in line and "req/s" not in line]


def test_shows_the_sample_output() -> None:
    """Every line of the README's sample output is the text of a row."""
    groups = ElementTree.fromstring(DEMO).iter(f"{SVG}g")
    rows = ["".join(g.itertext()) for g in groups if g.find(f"{SVG}text") is not None]

    assert [line for line in sample_output() if line not in "\n".join(rows)] == []


def test_is_small() -> None:
    """It is loaded with the README, so it has less than 100 KB."""
    assert len(DEMO.encode()) < 100_000


def test_is_still_where_motion_is_not_wanted() -> None:
    """Whoever has asked for less motion sees the last screen."""
    assert re.search(r"@media \(prefers-reduced-motion: reduce\) \{[^@]*animation: none", DEMO)


@pytest.mark.parametrize(
    "leak", ["mock-api-key", r"(?<![\w<])/\w", r"\w:\\", "//", "@import", "@font-face", "<script"]
)
def test_holds_nothing_else(leak: str) -> None:
    """There is no key, no path of a machine, no link to another host and no script in it."""
    assert not re.search(leak, DEMO.replace('xmlns="http://www.w3.org/2000/svg"', ""))
