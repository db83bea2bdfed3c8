"""Text that others wrote stays text: nothing of it is interpreted, nothing reaches the terminal."""

import json
import re
import time
import unicodedata
from contextlib import suppress
from typing import Any

import httpx
import pytest
from conftest import MainRunner, answering, client_of, listing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mock_group_api import API_KEY, generation
from rich.cells import cell_len

import async_polling_example as sample

HOSTILE = [
    pytest.param("[bold red]x[/]", "[bold red]x[/]", id="rich markup"),
    pytest.param("[/]", "[/]", id="broken markup"),
    pytest.param("[link=http://x]y", "[link=http://x]y", id="a link"),
    pytest.param(":smile: :x:", ":smile: :x:", id="emoji codes"),
    pytest.param("\x1b[2J\x1b[31mred", "[2J[31mred", id="escape sequences"),
    pytest.param("\x1b]0;title\x07x", "]0;titlex", id="a window title"),
    pytest.param("\x9b31mx\x85y", "31mx y", id="C1"),
    pytest.param("a\x00b\x08c\x7f", "abc", id="controls"),
    pytest.param("a\r\nb\tc\x0bd\u2028e", "a b c d e", id="white space"),
    pytest.param("a \x00 b", "a b", id="a control between blanks"),
    pytest.param("\u202eabc\u2066d\u200f", "abcd", id="bidi"),
    pytest.param("a\ud800b\udfff", "ab", id="lone surrogates"),
    pytest.param("a\u200bb\u200dc\ufeffd", "abcd", id="no width"),
    pytest.param("{0} %s {x!r} $HOME `ls`", "{0} %s {x!r} $HOME `ls`", id="formats"),
    pytest.param(f"key {API_KEY}.", "key [API key].", id="the key"),
    pytest.param("mock-\x00api-key", "[API key]", id="the key, in hiding"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_in_a_result(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    """In each place of a row and in the details of a failure it is plain text, on one line."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    asked = {"messages": [{"content": text}], "metadata": {"custom_id": text}}
    said = {"choices": [{"message": {"content": text}}]}
    generations = [
        {"id": "1", "state": "Success", "request": asked, "response": said},
        {"id": "2", "state": "Failed", "request": asked, "stateMessage": text},
        {"id": "3", "state": text, "request": asked},
    ]
    run = run_main("group", client=answering(generations))

    rows = [line for line in run.out.splitlines() if line.startswith(f"  {shown[:15]}")]
    assert len(rows) == 3
    for row in rows[:2]:
        assert row.count(shown[:15]) >= 3
    assert f"    {shown}: {shown}" in run.out
    assert is_harmless(run.out)


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_in_an_error_body(run_main: MainRunner, text: str, shown: str) -> None:
    """The API's own words are cleaned like everything else."""
    body = json.dumps({"error": {"message": text}}).encode()
    refusal = httpx.Response(400, content=body)
    run = run_main(client=answering(refusal))

    assert run.err.splitlines()[0] == f"Error: HTTP 400 Bad Request: {shown}"


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_for_a_group_id(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    """The id is shown cleaned; that it is quoted for the shell is tested elsewhere."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    created = httpx.Response(200, content=json.dumps({"groupId": text}).encode())
    run = run_main(client=answering(created, []))

    assert f"  ✓ Group created: {shown}\n" in run.out
    assert is_harmless(run.out + run.err)
    assert API_KEY not in run.out + run.err


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_is_in_no_error(run_main: MainRunner, status: int) -> None:
    """An API that repeats the key does not get it printed, at the submission or at a poll."""
    echo = httpx.Response(status, json={"error": {"message": f"Bad key {API_KEY}!"}})
    created = httpx.Response(200, json={"groupId": "group"})
    at_submission = run_main(client=answering(echo))
    at_poll = run_main(client=answering(created, echo, httpx.Response(400)))

    assert API_KEY not in at_submission.out + at_submission.err + at_poll.out + at_poll.err


def test_a_key_like_a_word_is_left_alone(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A placeholder such as "test" may be a part of the model's name."""
    monkeypatch.setattr(sample, "API_KEY", "test")
    run = run_main(client=client_of(lambda request: httpx.Response(500)))

    assert "    • Model: inference-net/load-test\n" in run.out


@pytest.mark.parametrize(
    "words", ["法国的首都是巴黎", "عاصمة فرنسا هي باريس", "किसने लिखा", "🎉 🫠 👩", "naïve café"]
)
def test_words_of_all_languages_are_kept(words: str) -> None:
    """Whatever is no control is shown, on a Python that does not know the character yet too."""
    assert sample.sanitize(words) == words


# Any JSON, any text

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)
states = st.sampled_from(["Queued", "In Progress", "Success", "Failed"])
hostile_text = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["\x1b[31m", "[red]", "漢字かな" * 9, "🎉" * 40, "a\u0301" * 60, "\u202e", "x" * 300]
)


def mutated(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly valid values, with any JSON in the place of some."""
    return st.one_of(valid, valid, json_values)


timestamps = st.from_regex(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,9})?(Z|[+-]\d\d:\d\d)?\Z")
generations = st.fixed_dictionaries(
    {},
    optional={
        "id": mutated(st.sampled_from(["1", "2", "3"])),
        "state": mutated(states | hostile_text),
        "stateMessage": mutated(hostile_text),
        "dispatchedAt": mutated(timestamps),
        "finishedAt": mutated(timestamps),
        "request": mutated(
            st.fixed_dictionaries(
                {},
                optional={
                    "messages": mutated(
                        st.lists(mutated(st.fixed_dictionaries({"content": mutated(hostile_text)})))
                    ),
                    "metadata": mutated(
                        st.fixed_dictionaries(
                            {"custom_id": mutated(st.sampled_from(["req-001", "x"]) | hostile_text)}
                        )
                    ),
                },
            )
        ),
        "response": mutated(
            st.fixed_dictionaries(
                {
                    "choices": mutated(
                        st.lists(
                            mutated(
                                st.fixed_dictionaries(
                                    {
                                        "message": mutated(
                                            st.fixed_dictionaries(
                                                {"content": mutated(hostile_text)}
                                            )
                                        )
                                    }
                                )
                            )
                        )
                    ),
                    "usage": mutated(
                        st.dictionaries(
                            st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]),
                            mutated(st.integers()),
                        )
                    ),
                }
            )
        ),
    },
)


def is_harmless(text: str) -> bool:
    """Tell if text has nothing in it that a terminal would obey, and line ends only at the end."""
    return all(
        character == "\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        for character in text
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lists=st.lists(mutated(st.lists(mutated(generations), max_size=5)), min_size=1, max_size=3))
def test_any_json_is_read_and_rendered(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, lists: list[Any]
) -> None:
    """Nothing is raised, no line is too wide, and each generation of a poll has its row."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", len(lists))
    monkeypatch.setattr(sample, "NUM_REQUESTS", 3)
    created = httpx.Response(200, json={"groupId": "group"})
    answers = [listing(generations) for generations in lists]
    run = run_main(client=answering(created, *answers))

    assert is_harmless(run.out + run.err)
    assert all(cell_len(line) <= 80 for line in run.out.splitlines())
    rows = run.out.partition("Response\n")[2].partition("\n\n")[0].splitlines()[1:]
    most = max(
        sum(isinstance(each, dict) for each in generations) if isinstance(generations, list) else 0
        for generations in lists
    )
    assert len(rows) >= max(most, 3)
    total = int(re.search(r"Total: +(\d+)", run.out)[1])  # type: ignore[index]
    assert total == len(rows)


@settings(deadline=None)
@given(body=json_values | st.binary(max_size=200), status=st.integers(200, 599))
def test_any_answer_to_a_submission(body: Any, status: int) -> None:
    """It is a group id or an error."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = answering(httpx.Response(status, content=content))
    with suppress(sample.RunError):
        group_id, size = sample.submit_group(client, [])
        assert group_id.strip()
        assert size is None or type(size) is int


@given(text=st.text(st.characters()))
def test_any_text_is_plain(text: str) -> None:
    """It is one line without controls, and cleaning it again changes nothing."""
    cleaned = sample.sanitize(text)

    assert is_harmless(cleaned)
    assert "\n" not in cleaned
    assert cleaned == cleaned.strip()
    assert sample.sanitize(cleaned) == cleaned


@given(
    text=st.text(st.characters()).map(sample.sanitize),
    width=st.integers(4, 60),
    at_word=st.booleans(),
)
def test_any_text_is_cut_to_its_width(text: str, width: int, at_word: bool) -> None:
    """What fits is left alone; what does not is a beginning of it, with dots, and fits."""
    shown = sample.truncate(text, width, at_word)

    assert cell_len(shown) <= width
    if cell_len(text) <= width:
        assert shown == text
    else:
        assert shown.endswith("...")
        assert text.startswith(shown[:-3])


@given(header=st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_any_retry_after_is_a_wait(header: str) -> None:
    """Whatever the header says, it is 0 to 60 seconds."""
    response = httpx.Response(503, headers={"Retry-After": header})

    assert 0 <= sample.retry_after_seconds(response) <= 60


@given(text=st.text() | timestamps)
def test_any_text_may_stand_for_a_timestamp(text: str) -> None:
    """It is a number or it is not; nothing is raised."""
    assert isinstance(sample.parse_timestamp(text), float)


def test_fifty_answers_of_64_kib_are_quick(run_main: MainRunner) -> None:
    """They are read and summarised in under half a second of processor time."""
    requests = [
        {"metadata": {"custom_id": f"req-{i:03}"}, "messages": [{"content": "Why?"}]}
        for i in range(50)
    ]
    body = [
        generation(each | {"model": "m"}, i, "Success")
        | {"response": {"choices": [{"message": {"content": "été " * 13_000}}]}}
        for i, each in enumerate(requests)
    ]
    client = answering(body)
    start = time.process_time()
    run = run_main("group", client=client)

    assert time.process_time() - start < 0.5
    assert run.status == 0
