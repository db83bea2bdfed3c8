"""Text that others wrote stays text: nothing of it is interpreted, nothing reaches the terminal."""

import json
import re
import time
import unicodedata
from typing import Any

import httpx
import pytest
from conftest import Play, Run, json_response, listed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mock_group_api import API_KEY
from rich.cells import cell_len

once: dict[str, Any] = {"arguments": ("group",), "MAX_POLL_ATTEMPTS": 1}


def is_harmless(run: Run) -> bool:
    """Tell if a terminal finds nothing to obey in what a run printed, and nobody finds the key."""
    printed = run.out + run.err
    return API_KEY not in printed and not any(map(is_harmful, set(printed) - {"\n"}))


def is_harmful(character: str) -> bool:
    """Tell controls, lone surrogates, separators of lines, and what turns the direction of text."""
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in directions
    )


def result(state: str, text: str) -> dict[str, Any]:
    """Return a generation with text wherever others write it."""
    return {
        "state": state,
        "stateMessage": text if state == "Failed" else None,
        "request": {"messages": [{"content": text}], "metadata": {"custom_id": text}},
        "response": {"choices": [{"message": {"content": text}}]} if state == "Success" else None,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("[bold red]x[/]", "[bold red]x[/]", id="rich markup"),
        pytest.param("[/]", "[/]", id="broken markup"),
        pytest.param("[link=http://x]y", "[link=http://x]y", id="a link"),
        pytest.param(":smile: :x:", ":smile: :x:", id="emoji codes"),
        pytest.param("\x1b[2J\x1b[31mred", "[2J[31mred", id="escape sequences"),
        pytest.param("\x1b]0;title\x07x", "]0;titlex", id="a window title"),
        pytest.param("\x1b]8;;http://x\x1b\\y", "]8;;http://x\\y", id="a terminal's link"),
        pytest.param("\x9b31mx\x90y\x9c", "31mxy", id="C1"),
        pytest.param("a\x00b\x08c\x7f", "abc", id="controls"),
        pytest.param("a\r\nb\tc\x0bd\x85e", "a b c d e", id="white space"),
        pytest.param("a\u2028b\u2029c", "a b c", id="separators of lines and paragraphs"),
        pytest.param("a \x00 b", "a b", id="a control between blanks"),
        pytest.param("\u202dab\u202ec\u202a\u202bd\u202c", "abcd", id="bidi overrides"),
        pytest.param("\u2066ab\u2067c\u2068d\u2069", "abcd", id="bidi isolates"),
        pytest.param("a\ud800b\udfff", "ab", id="lone surrogates"),
        pytest.param("{0} %s {x!r} `ls`", "{0} %s {x!r} `ls`", id="formats"),
        pytest.param(f"a {API_KEY} b", "a ", id="the key"),
        pytest.param("a mock-\x00api\u2066-key b", "a ", id="the key in hiding"),
        pytest.param("x" * 15 + API_KEY, "x" * 15, id="the key, cut"),
    ],
)
def test_hostile_text_in_results(play: Play, text: str, shown: str) -> None:
    """As id, state, question, answer and reason it is plain text, on one line."""
    states = ["Success", "Failed", text]

    plain = play([result(state, "x") for state in states], **once)
    run = play([result(state, text) for state in states], **once)

    assert is_harmless(run)
    assert run.out.count("\n") == plain.out.count("\n")
    assert len(run.rows) == 3
    assert all(row.count(shown[:9]) >= 3 for row in run.rows)
    assert re.search(rf"(?m)^    {re.escape(shown)}.*: {re.escape(shown)}", run.out)


MIXED = (
    "a\x1b[31m\x00b\x9b\r\n\u2028c\u202e\u2067\ud800[red]:x:[/] "
    f"{API_KEY} {API_KEY[:5]}\x07{API_KEY[5:]}"
)
SHOWN = "a[31mb c[red]:x:[/] "
OWN = MIXED.replace("\0", "").replace("\ud800", "")  # What a shell and an editor can write
MIXED_BYTES = MIXED.encode("utf-8", "surrogatepass")
NO_SUCH_GROUP = json_response({"error": {"message": "there is no such group"}}, 404)
OWN_CUSTOM_IDS = f"""
def build_requests():
    return [
        {{
            "model": "m",
            "messages": [{{"role": "user", "content": "Why?"}}],
            "metadata": {{"custom_id": {OWN!a}}},
        }}
    ]
"""


@pytest.mark.parametrize(
    ("shown", "options"),
    [
        pytest.param(
            SHOWN,
            {"submission": json_response({"error": {"message": MIXED}}, 400)},
            id="an error's message",
        ),
        pytest.param(
            SHOWN,
            {"submission": json_response({"message": MIXED}, 400)},
            id="a message without error",
        ),
        pytest.param(
            SHOWN[:5],
            {"submission": httpx.Response(500, content=MIXED_BYTES)},
            id="an error that is text",
        ),
        pytest.param(
            SHOWN,
            {"submission": httpx.Response(400, extensions={"reason_phrase": MIXED_BYTES})},
            id="a reason phrase",
        ),
        pytest.param(
            "",
            {"submission": httpx.Response(302, headers=[(b"location", MIXED_BYTES)])},
            id="where a redirect leads",
        ),
        pytest.param(
            f"http://x/?{SHOWN[1:5]}",
            {"submission": httpx.Response(302, headers=[(b"location", b"http://x/?[31m\x9b")])},
            id="a redirect to somewhere",
        ),
        pytest.param(SHOWN, {"submission": httpx.ConnectError(MIXED)}, id="a failed connection"),
        pytest.param(SHOWN, {"submission": httpx.ReadError(MIXED)}, id="a lost connection"),
        pytest.param(
            "groupId",
            {"submission": json_response({"groupId": "", "x": MIXED})},
            id="an answer without an id",
        ),
        pytest.param(
            "  ✓ Group created: [red]:x:[/]\n",
            {"submission": json_response({"groupId": "[red]:x:[/]"})},
            id="the group's id",
        ),
        pytest.param(
            f"    • Group to pick up: {SHOWN}",
            {"arguments": (OWN,)},
            id="GROUP_ID",
        ),
        pytest.param(SHOWN, {"MODEL_ID": OWN}, id="MODEL_ID"),
        pytest.param(f"    req-001: {SHOWN}", {"QUESTIONS": [OWN]}, id="QUESTIONS"),
        pytest.param(f"    {SHOWN}", {"code": OWN_CUSTOM_IDS}, id="custom_ids of one's own"),
        pytest.param(
            "http://api.test/",
            {
                "env": {"INFERENCE_BASE_URL": f"http://api.test/{API_KEY}"},
                "submission": httpx.ConnectError("refused"),
            },
            id="the base URL",
        ),
        pytest.param(
            "INFERENCE_BASE_URL",
            {"env": {"INFERENCE_BASE_URL": f"http://\x1b[31m\u202e{API_KEY}/"}},
            id="a base URL that is none",
        ),
        pytest.param(
            "INFERENCE_API_KEY",
            {"env": {"INFERENCE_API_KEY": "\x1b[31m\u202emock-\rapi-key"}},
            id="a key that is none",
        ),
    ],
)
def test_hostile_text_elsewhere(play: Play, shown: str, options: dict[str, Any]) -> None:
    """In every other place it is harmless too."""
    run = play(NO_SUCH_GROUP, **{"MAX_POLL_ATTEMPTS": 1, **options})

    assert shown in run.out + run.err
    assert is_harmless(run)
    assert all(cell_len(line) <= 80 for line in run.out.splitlines())
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    ("poll", "note"),
    [
        (
            httpx.Response(500, extensions={"reason_phrase": MIXED_BYTES}),
            "HTTP 500 a[31mb c[red]:x",
        ),
        (httpx.Response(503, content=MIXED_BYTES), "HTTP 503 Service Unavailable"),
        (httpx.ReadError(MIXED), "connection failed"),
    ],
)
def test_hostile_text_on_a_poll_line(play: Play, poll: Any, note: str) -> None:
    """What is wrong with a poll keeps to its line."""
    run = play(poll, **once)

    (shown,) = run.notes
    assert shown.startswith(note)
    assert is_harmless(run)


def test_hostile_text_that_ends_the_polls(play: Play) -> None:
    """The words of a poll's refusal are cleaned, and cut."""
    refusal = json_response({"error": {"message": MIXED + "x" * 10_000}}, 401)

    run = play(refusal, NUM_REQUESTS=1)

    assert run.err.startswith(f"Error: HTTP 401 Unauthorized: {SHOWN}")
    assert is_harmless(run)
    assert len(run.err) < 1000


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"submission": json_response({"groupId": f"a-{API_KEY}"})}, id="the API's"),
        pytest.param({"arguments": (API_KEY,)}, id="mistaken for the id"),
    ],
)
def test_the_key_for_a_group_id(play: Play, options: dict[str, Any]) -> None:
    """It is in no output even then, the command to pick the group up included."""
    run = play([], **{"MAX_POLL_ATTEMPTS": 1, **options})

    assert is_harmless(run)


@pytest.mark.parametrize("key", ["test", "a"])
def test_a_key_like_a_word_is_left_alone(play: Play, key: str) -> None:
    """A placeholder such as "test" may be a part of the model's name."""
    run = play([], env={"INFERENCE_API_KEY": key}, MODEL_ID="a/load-test", MAX_POLL_ATTEMPTS=1)

    assert "    • Model: a/load-test\n" in run.out


# Any JSON, any text

any_text = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["\x1b[31m", "[red]", "[/]", "漢字かな" * 9, "🎉" * 40, "a\u0301" * 60, "\u202e", "x" * 300]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(any_text, children, max_size=3)
    ),
    max_leaves=5,
)
states = st.sampled_from(["Success", "Success", "Success", "Failed", "In Progress", "Queued"])


def places_in(value: Any) -> list[tuple[Any, ...]]:
    """Return the path to every place in a JSON value, that of the value itself first."""
    match value:
        case dict():
            children = list(value.items())
        case list():
            children = list(enumerate(value))
        case _:
            children = []
    return [(), *((step, *path) for step, child in children for path in places_in(child))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return value with something new at the end of path, as far as path leads."""
    match value, path:
        case _, ():
            return new
        case dict(), (step, *rest):
            return {**value, step: replaced(value.get(step), tuple(rest), new)}
        case list(), (int(step), *rest) if step < len(value):
            changed = replaced(value[step], tuple(rest), new)
            return [*value[:step], changed, *value[step + 1 :]]
    return value


PLACES = places_in(listed("Success")[0])


@st.composite
def generations(draw: st.DrawFn) -> Any:
    """Return a generation as the API lists it, but for a few places in which there is anything."""
    (generation,) = listed(draw(states), first=draw(st.integers(0, 3)))
    for path in draw(st.lists(st.sampled_from(PLACES), max_size=3)):
        generation = replaced(generation, path, draw(any_json))
    return generation


def check_summary(run: Run, generations: list[Any]) -> None:
    """Check that a run has read what these generations tell, and has shown all of them."""
    states = [each.get("state") for each in generations if isinstance(each, dict)]

    assert "Traceback" not in run.err
    assert is_harmless(run)
    assert all(cell_len(line) <= 80 for line in run.out.splitlines())
    if states:
        assert len(run.rows) == len(states)
        assert re.search(rf"(?m)^      Successful: +{states.count('Success')}$", run.out)
        assert re.search(rf"(?m)^      Failed: +{states.count('Failed')}$", run.out)
        assert re.search(rf"(?m)^      Total: +{len(states)}$", run.out)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120
)
@given(generations=st.lists(generations(), min_size=1, max_size=4))
def test_any_json_in_any_place(play: Play, generations: list[Any]) -> None:
    """Nothing crashes, no line is too wide, each object has its row, what is sound is counted."""
    run = play(generations, **once)

    check_summary(run, generations)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(body=any_json | st.binary(max_size=100), status=st.integers(200, 599))
def test_any_answer_to_a_submission(play: Play, body: Any, status: int) -> None:
    """It is a group's id or an error, and harmless in either case."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    run = play([], submission=httpx.Response(status, content=content), MAX_POLL_ATTEMPTS=1)

    assert run.status == 1
    assert run.err.startswith("Error: ")
    assert "Traceback" not in run.err
    assert is_harmless(run)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)) or "all of it")
def test_wrong_values_in_each_place(play: Play, path: tuple[Any, ...]) -> None:
    """Beside generations with values of a wrong type, sound ones are counted."""
    wrong_values = [None, True, 7, -1.5, "text", [], {}, [None], {"a": 1}]
    spoilt = [replaced(listed("Success")[0], path, value) for value in wrong_values]
    generations = [*spoilt, *listed("Success", "Failed", first=1)]

    run = play(generations, **once)

    check_summary(run, generations)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("dispatchedAt",), "0001-01-01T00:00:00+23:59", id="the first day"),
        pytest.param(("finishedAt",), "9999-12-31T23:59:59-23:59", id="the last day"),
        pytest.param(("finishedAt",), "2025-01-15T12:00:00." + "1" * 5000 + "Z", id="a long time"),
        pytest.param(("response", "usage", "completion_tokens"), 10**30, id="many tokens"),
        pytest.param(("response", "usage", "completion_tokens"), 10**400, id="more than a float"),
        pytest.param(("response", "usage", "prompt_tokens"), -(10**30), id="less than no tokens"),
        pytest.param(("response", "usage", "total_tokens"), 1e308, id="tokens in parts"),
        pytest.param(("request", "metadata", "custom_id"), "", id="an empty id"),
        pytest.param(("request", "messages"), [[], "x"], id="messages that are none"),
        pytest.param(("state",), "success", id="another spelling"),
    ],
)
def test_odd_values(play: Play, path: tuple[Any, ...], value: object) -> None:
    """Values of the right type that make no sense do no harm either."""
    odd = replaced(listed("Success")[0], path, value)
    generations = [odd, *listed("Success", "Failed", first=1)]

    run = play(generations, **once)

    check_summary(run, generations)


def test_fifty_answers_of_64_kib_are_quick(play: Play) -> None:
    """They are read and summarised in under half a second of processor time."""
    generations = listed(*["Success"] * 50)
    for each in generations:
        each["response"]["choices"][0]["message"]["content"] = "été " * 11_000
    answer = json_response({"generations": generations})
    play(listed("Success"), **once)  # Imports

    seconds = []
    for _ in range(3):
        start = time.process_time()
        run = play(answer, arguments=("group", "50"))
        seconds.append(time.process_time() - start)

    assert min(seconds) < 0.5
    assert len(run.rows) == 50
    assert run.status == 0
