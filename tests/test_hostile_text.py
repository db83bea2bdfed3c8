"""Text that others wrote stays text: nothing of it is interpreted, nothing reaches the terminal."""

import re
import unicodedata
from typing import Any

import conftest
import httpx
import pytest
from conftest import Run, json_response, listed
from hypothesis import given, settings
from hypothesis import strategies as st
from mock_group_api import API_KEY
from rich.cells import cell_len

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def play(*answers: Any, **options: Any) -> Run:
    """Run the sample; check that a terminal finds nothing to obey, and nobody the key."""
    run = conftest.play(*answers, **{"MAX_POLL_ATTEMPTS": 1, **options})

    for character in set(run.out + run.err) - {"\n"}:
        assert unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(character) not in TURNS
    assert API_KEY not in run.out + run.err
    assert all(cell_len(line) <= 80 and line == line.rstrip() for line in run.lines)
    return run


def result(state: str, text: str) -> dict[str, Any]:
    """Return a generation with text wherever others write it; its custom_id is unique."""
    return {
        "state": state,
        "stateMessage": text,
        "request": {"messages": [{"content": text}], "metadata": {"custom_id": f"{text} {state}"}},
        "response": {"choices": [{"message": {"content": text}}]} if state == "Success" else None,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[bold red]x[/]", "[bold red]x[/]"),
        ("[/]", "[/]"),
        (":smile: :x:", ":smile: :x:"),
        ("\x1b[31mred\x1b]0;x\x07", "[31mred]0;x"),
        ("\x9b31mx\x90y\x9c", "31mxy"),
        ("a\x00b\x08c\x7f", "abc"),
        ("a\r\nb\tc\x0bd\x85e\u2028f", "a b c d e f"),
        ("\u202dab\u202ec\u202a\u202bd\u202c", "abcd"),
        ("\u2066a\u200eb\u2067\u200fc\u061c\u2068d\u2069", "abcd"),
        ("a\ud800b\udfff", "ab"),
        (f"a {API_KEY} b", "a [API key]"),
        ("a mock-\x00api\u2066-key b", "a [API key]"),
    ],
    ids=ascii,
)
def test_hostile_text_in_results(text: str, shown: str) -> None:
    """As id, state, question, answer and reason it is plain text, on one line."""
    run = play([result(state, text) for state in ("Success", "Failed", text)], arguments=("group",))

    assert [row.count(shown[:9]) >= 3 for row in run.rows] == [True] * 3
    assert f"\n    {shown}" in run.out.partition("  Failed Request Details\n")[2]


MIXED = f"a\x1b[31m\x00b\x9b\r\n\u2028c\u202e\u2067\ud800[red]:x:[/] {API_KEY}"
SHOWN = "a[31mb c[red]:x:[/] [API key]"
OWN = MIXED.replace("\0", "").replace("\ud800", "")  # What a shell and an editor can write
OWN_IDS = [{"messages": [{"content": "Why?"}], "metadata": {"custom_id": OWN}}]
BYTES = MIXED.encode("utf-8", "surrogatepass")
LOST = httpx.ConnectError(f"refused {MIXED}")
KEY_URL = {"INFERENCE_BASE_URL": f"http://api.test/{API_KEY}"}


@pytest.mark.parametrize(
    ("shown", "options"),
    [
        (f"400 Bad Request: {SHOWN}", {"submission": json_response({"message": MIXED}, 400)}),
        ("400 a[31m", {"submission": httpx.Response(400, extensions={"reason_phrase": BYTES})}),
        ("created: [red]:x:[/]\n", {"submission": json_response({"groupId": "[red]:x:[/]"})}),
        ("  uv run ", {"submission": json_response({"groupId": f"a-{API_KEY}"})}),
        (f"    • Group to pick up: {SHOWN}", {"arguments": (OWN,)}),
        (f"    • Model: {SHOWN}", {"MODEL_ID": OWN}),
        (f"    req-001: {SHOWN}", {"QUESTIONS": [OWN]}),
        (f"    {SHOWN}", {"code": f"def build_requests(): return {OWN_IDS!a}"}),
        ("api.test/[API key]: refused", {"env": KEY_URL, "submission": LOST}),
    ],
    ids=ascii,
)
def test_hostile_text_elsewhere(shown: str, options: dict[str, Any]) -> None:
    """In every other place it is harmless too."""
    poll = httpx.Response(500, extensions={"reason_phrase": BYTES})

    run = play(poll, **options)

    assert shown in run.out + run.err
    assert all(count.endswith(" (HTTP 500)") for count in run.counts)


any_text = st.text() | st.sampled_from(["\x1b[31m", "[red]", "[/]", "🎉" * 40, "\u202e", "x" * 300])
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(any_text, part, max_size=3),
    max_leaves=5,
)


def places_in(value: Any) -> list[tuple[Any, ...]]:
    """Return the path to every place in a JSON value, that of the value itself first."""
    items = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else items
    return [(), *((step, *path) for step, child in children for path in places_in(child))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return value with something new at the end of path."""
    if not path:
        return new
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


PLACES = places_in(listed("S")[0])
WRONG: list[Any] = [None, True, 7, -1.5, "text", "", "0001-01-01T00:00:00+23:59", [], {}]


@pytest.mark.parametrize("path", PLACES, ids=str)
@settings(deadline=None, max_examples=3)
@given(value=any_json)
def test_any_json_in_any_place(path: tuple[Any, ...], value: Any) -> None:
    """It crashes nothing: beside it, what is sound is shown and counted."""
    values = [*WRONG, value]
    sound = listed("S" * len(values), first=2)
    generations = [replaced(each, path, value) for each, value in zip(sound, values)]

    run = play(generations + listed("SF"), arguments=("group",))

    states = [each.get("state") if isinstance(each, dict) else None for each in generations]
    counts = states.count("Success") + 1, states.count("Failed") + 1, len(states) + 2
    shown = re.findall(r"(?m)^      (?:Successful|Failed|Total): +(\d+)$", run.out)
    assert (shown, len(run.rows)) == ([str(count) for count in counts], counts[2])
