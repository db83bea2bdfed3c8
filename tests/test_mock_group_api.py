"""The mock's own tests: what someone who tries a script on it can rely on."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mock_group_api
import pytest
from conftest import on_posix, run_to_end
from mock_group_api import API_KEY, GROUP_ID, MockGroupApi, requests_of

SUBMIT = "/v1/async/group/chat/completions"
POLL = "/v1/async/group/{}/generations"
FIRST_WORDS = "This is a stand-in for the API: nothing is charged."
LAST_WORDS = "The stand-in has stopped, and its groups are gone with it."
COMMAND = [sys.executable, mock_group_api.__file__]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Return a client of a mock that plays its story, in which req-002 fails."""
    client = httpx.Client(headers={"Authorization": f"Bearer {API_KEY}"})
    with MockGroupApi(failures={"req-002": "No."}) as api, client:
        client.base_url = api.url
        yield client


def poll(client: httpx.Client, group_id: str) -> Any:
    return client.get(POLL.format(group_id)).json()["generations"]


def test_each_group_has_the_story(client: httpx.Client) -> None:
    """The newest comes first. In the first group that is polled requests fail; a retry succeeds."""
    for questions in ("ab", "abcdefghij"):
        client.post(SUBMIT, json={"requests": requests_of(*questions)})

    lists = [poll(client, group_id) for group_id in (GROUP_ID, "mock-group-2") for _ in range(4)]

    states = ["".join(each["state"][0] for each in generations) for generations in lists]
    assert states == ["Q", "IS", "FS", "FS", "QQQQQ", "IISSSSSSSS", "S" * 10, "S" * 10]
    words = [generations[0]["stateMessage"] for generations in lists[:3]]
    assert words == ["Waiting for a free worker.", "The model is writing its answer.", "No."]


def test_parts_and_json(client: httpx.Client) -> None:
    """A question may have parts, and JSON is what it is answered with if it asks for that."""
    (request,) = requests_of([{"text": "What is "}, {"text": "2 + 2?"}])
    request["response_format"] = {"type": "json_schema"}
    client.post(SUBMIT, json={"requests": [request]})

    *_, (generation,) = (poll(client, GROUP_ID) for _ in range(3))

    assert generation["request"] == request
    (choice,) = generation["response"]["choices"]
    assert choice["message"]["content"] == '{"answer": "2 + 2 equals 4."}'


def test_what_is_refused(client: httpx.Client) -> None:
    """A call without the key or of an unknown group, and a body, by the name of the field."""
    good = requests_of("?")[0]
    mistakes: dict[str, Any] = {
        "1 to 50": [],
        "of 1 to 50": requests_of(*"?" * 51),
        "requests[0] ": [7],
        "requests[0].model": [{}],
        "requests[1].messages": [good, {"model": "m"}],
        "requests[0].metadata": [good | {"metadata": "a"}],
    }

    calls = [client.post(SUBMIT, headers={"Authorization": ""}), client.get(POLL.format("unknown"))]
    refused = {words: client.post(SUBMIT, json={"requests": mistakes[words]}) for words in mistakes}

    assert [each.status_code for each in calls] == [401, 404]
    assert client.post(SUBMIT, content="{").status_code == 400
    for words, response in refused.items():
        assert (response.status_code, words in response.json()["error"]["message"]) == (400, True)


SCRIPT = """
import httpx, os, signal, sys, time
def told(*_):
    headers = {"Authorization": "Bearer " + os.environ["INFERENCE_API_KEY"]}
    path = "/v1/async/group/Xq3vN8rTzK0LmWc5YbHd2/generations"
    finished = httpx.get(os.environ["INFERENCE_BASE_URL"] + path, headers=headers)
    print(os.environ["NO_PROXY"], sys.argv[1:], finished.text.count("did not answer in time"))
    sys.exit(7)
for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, told)
STOP
time.sleep(20)
"""


@on_posix
@pytest.mark.parametrize("stop", ["os.killpg(0, signal.SIGINT)", "os.kill(os.getppid(), 15)"])
def test_a_script(tmp_path: Path, stop: str) -> None:
    """It has all that follows it, a finished group, and the last word however it is stopped."""
    (tmp_path / "script.py").write_text(SCRIPT.replace("STOP", stop), encoding="utf-8")
    fail = ["--fail", "req-002", "--fail", "req-099"]
    command = [*COMMAND, *fail, "script.py", "-x", "--fail", "--help"]

    run = run_to_end(command, cwd=tmp_path, start_new_session=True)

    unknown = "No request had the custom_id req-099: none failed."
    assert (run.status, run.out) == (7, "* ['-x', '--fail', '--help'] 1\n")
    assert run.err.splitlines() == [FIRST_WORDS, unknown, LAST_WORDS]


@on_posix
def test_serve() -> None:
    """It prints what to paste, and serves until it is told to stop, be it twice."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, "--serve"], **pipes) as process:
        try:
            key, url = (process.stdout.readline() for _ in range(2))  # type: ignore[union-attr]
            answered = httpx.get(url.removeprefix("export INFERENCE_BASE_URL=").rstrip())
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert key == "export INFERENCE_API_KEY=mock-api-key\n"
    assert (answered.status_code, process.returncode, out) == (401, 0, "")
    assert err.splitlines() == [FIRST_WORDS, LAST_WORDS]
