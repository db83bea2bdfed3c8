"""The mock's own tests: what someone who tries a script on it can rely on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mock_group_api
import pytest
from conftest import CONSTANTS, Run, edited_sample, on_posix, run_to_end
from mock_group_api import API_KEY, FINISHED_GROUP_ID, GROUP_ID, MockGroupApi, requests_of

SUBMIT = "/v1/async/group/chat/completions"
POLL = "/v1/async/group/{}/generations"


def client_of(api: MockGroupApi) -> httpx.Client:
    return httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {API_KEY}"})


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Return a client of a mock that plays its story."""
    with MockGroupApi() as api, client_of(api) as client:
        yield client


def chat(content: Any = "Why?", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def submit(client: httpx.Client, *requests: Any) -> Any:
    """Return the id of a new group of these requests."""
    body = json.dumps({"requests": requests})  # httpx's own json= cannot send lone surrogates.
    return client.post(SUBMIT, content=body).raise_for_status().json()["groupId"]


def poll(client: httpx.Client, group_id: str) -> list[Any]:
    return list(client.get(POLL.format(group_id)).raise_for_status().json()["generations"])


def poll_states(client: httpx.Client, group_id: str) -> str:
    """Return the states that a poll lists, each by its first letter."""
    return "".join(each["state"][0] for each in poll(client, group_id))


def test_each_group_has_the_story(client: httpx.Client) -> None:
    """Half is listed and queued; then eight tenths are done; then all, for ever."""
    for size, story in ((10, ["QQQQQ", "IISSSSSSSS", "S" * 10, "S" * 10]), (1, [*"QISS"])):
        group_id = submit(client, *[chat()] * size)

        assert [poll_states(client, group_id) for _ in story] == story


def test_the_finished_group() -> None:
    """It is there from the start, done, the newest first; no submission takes its id."""
    with MockGroupApi() as api, client_of(api) as client:
        finished = poll(client, "Xq3vN8rTzK0LmWc5YbHd2")
        submitted = [submit(client, chat()) for _ in range(2)]

    custom_ids = [each["request"]["metadata"]["custom_id"] for each in finished]
    assert [each["state"] for each in finished] == ["Success"] * 10
    assert custom_ids == [f"req-{number:03}" for number in range(10, 0, -1)]
    assert submitted == [GROUP_ID, "mock-group-2"]


def test_each_state_has_its_words() -> None:
    """Not only a failure has a stateMessage."""
    with MockGroupApi([["In Progress", "Expired"]]) as api, client_of(api) as client:
        expired, running = poll(client, FINISHED_GROUP_ID)

    assert running["stateMessage"] == "The model is writing its answer."
    assert expired["stateMessage"] == "The group expired before this request ran."
    assert (running["response"], expired["finishedAt"]) == (None, None)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (chat([{"text": "What is "}, {"text": "2 + 2?"}]), "2 + 2 equals 4."),
        (chat("Ü?", response_format={"type": "json_schema"}), '{"answer": "You asked: Ü?"}'),
        (chat("\ud800", metadata={"custom_id": ["\udfff"]}), "You asked: \ud800"),
        (chat(messages=[None, {"content": [{"text": None}, 1]}]), "You asked: "),
    ],
)
def test_any_request_has_an_answer(client: httpx.Client, request_: Any, answer: str) -> None:
    """It may have parts, and JSON is what it is answered with if it asks for that."""
    group_id = submit(client, request_)

    *_, (generation,) = (poll(client, group_id) for _ in range(3))

    assert generation["request"] == request_
    assert generation["response"]["choices"][0]["message"]["content"] == answer


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff", "1 to 50"),
        (b"[" * 100_000, "nested too deeply"),
        ([], "1 to 50"),
        ([chat()] * 51, "1 to 50"),
        ([chat(), None], "requests[1] must be an object"),
        ([chat(model="")], "requests[0].model"),
        ([{"model": "m"}], "requests[0].messages"),
        ([chat(metadata="a")], "requests[0].metadata"),
        ([chat(response_format="json")], "requests[0].response_format"),
    ],
)
def test_a_submission_that_is_refused(client: httpx.Client, body: Any, words: str) -> None:
    """The message names the field."""
    content = body if isinstance(body, bytes) else json.dumps({"requests": body})

    response = client.post(SUBMIT, content=content)

    assert (response.status_code, words in response.json()["error"]["message"]) == (400, True)


def test_refused_calls(client: httpx.Client) -> None:
    """A call without the key, of an unknown group or of another path gets an error in JSON."""
    without_key = client.post(SUBMIT, headers={"Authorization": API_KEY})
    unknown = [client.get(path) for path in (POLL.format("unknown"), SUBMIT)]

    assert [each.status_code for each in (without_key, *unknown)] == [401, 404, 404]
    assert [list(each.json()) for each in (without_key, *unknown)] == [["error"]] * 3


def test_failures_are_of_one_group() -> None:
    """Requests of the group that is polled first fail, for their reason; a retry succeeds."""
    with MockGroupApi(failures={"req-002": "No."}) as api, client_of(api) as client:
        first, retry = (submit(client, *requests_of("a", "b")) for _ in range(2))
        states = [poll_states(client, each) for each in (first, first, first, retry, retry, retry)]
        reason = poll(client, first)[0]["stateMessage"]

    assert (states, reason) == (["Q", "IS", "FS", "Q", "IS", "SS"], "No.")


# As a program

FIRST_WORDS = "This is a stand-in for the API: nothing is charged."
LAST_WORDS = "The stand-in has stopped, and its groups are gone with it."
COMMAND = [sys.executable, mock_group_api.__file__]


@pytest.fixture(autouse=True)
def heed_ctrl_c(like_any_machine: None) -> None:
    """Let programs heed Ctrl-C, as in a terminal: where it is ignored, they ignore it too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_mock(folder: Path, script: str, *arguments: str) -> Run:
    """Run it in folder, with script as script.py there."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    return run_to_end([*COMMAND, *arguments], cwd=folder, start_new_session=True)


def test_a_script_and_its_arguments(tmp_path: Path) -> None:
    """All that follows it is its own, as are stdout and the exit status; no proxy is in its way."""
    script = "import os, sys; print(os.environ['NO_PROXY'], sys.argv[1:]); sys.exit(7)"

    run = run_mock(tmp_path, script, "script.py", "-x", "--fail", "--help")

    assert (run.status, run.out) == (7, "* ['-x', '--fail', '--help']\n")
    assert run.err.splitlines() == [FIRST_WORDS, LAST_WORDS]


def test_the_sample(tmp_path: Path) -> None:
    """It needs no settings, and requests fail if wanted: the mock says so if it has none such."""
    script = edited_sample(**{**CONSTANTS, "POLL_INTERVAL_SECONDS": 0.01, "MAX_POLL_ATTEMPTS": 9})
    fail = ["--fail", "req-002", "--fail", "req-099"]

    run = run_mock(tmp_path, script, *fail, "script.py", FINISHED_GROUP_ID, "10")

    assert [row[:24].split()[2] for row in run.rows] == ["Success", "Failed", *["Success"] * 8]
    assert "    req-002: The model did not answer in time." in run.lines
    unknown = "No request had the custom_id req-099: none failed."
    assert run.err.splitlines() == [FIRST_WORDS, unknown, LAST_WORDS]


STOPPED = """
import httpx, os, signal, sys, time
def told(*_):
    sys.exit(httpx.get(os.environ["INFERENCE_BASE_URL"]).status_code - 300)
signal.signal(signal.SIGINT, told)
signal.signal(signal.SIGTERM, told)
STOP
time.sleep(20)
"""


@on_posix
@pytest.mark.parametrize("stop", ["os.killpg(0, signal.SIGINT)", "os.kill(os.getppid(), 15)"])
def test_the_script_has_the_last_word(tmp_path: Path, stop: str) -> None:
    """Ctrl-C, which the terminal tells both, and SIGTERM leave the script time to make a call."""
    run = run_mock(tmp_path, STOPPED.replace("STOP", stop), "script.py")

    assert (run.status, run.err.splitlines()) == (101, [FIRST_WORDS, LAST_WORDS])


@on_posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve(stop: signal.Signals) -> None:
    """It prints what to paste, and serves until it is told to stop, be it twice."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, "--serve"], **pipes) as process:
        try:
            key, url = (str(process.stdout.readline()) for _ in range(2))  # type: ignore[union-attr]
            answered = httpx.get(url.removeprefix("export INFERENCE_BASE_URL=").rstrip())
            process.send_signal(stop)
            process.send_signal(stop)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert key == "export INFERENCE_API_KEY=mock-api-key\n"
    assert (answered.status_code, process.returncode, out) == (401, 0, "")
    assert err.splitlines() == [FIRST_WORDS, LAST_WORDS]


def test_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the text above the code, fits into 80 columns, and has the id of the finished group."""
    monkeypatch.setenv("COLUMNS", "80")

    run = run_mock(tmp_path, "", "--help")

    assert str(mock_group_api.__doc__).strip() in run.out
    assert FINISHED_GROUP_ID in run.out
    assert max(map(len, run.lines)) <= 80
