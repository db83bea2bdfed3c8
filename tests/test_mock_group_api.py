"""The mock's own tests: what someone who tries a script on it can rely on."""

import contextlib
import gc
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import mock_group_api
import pytest
from mock_group_api import API_KEY, DONE, GROUP_ID, QUEUED, MockGroupApi
from network_faults import end_early, leave, reset, stall
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

SUBMISSION_PATH = "/v1/async/group/chat/completions"
POLL_PATH = f"/v1/async/group/{GROUP_ID}/generations"


def client_of(api: MockGroupApi) -> httpx.Client:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    return httpx.Client(base_url=api.url, headers=headers, timeout=10, trust_env=False)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Return a client of a mock that plays its story."""
    with MockGroupApi() as api, client_of(api) as client:
        yield client


@pytest.fixture
def done_client() -> Iterator[httpx.Client]:
    """Return a client of a mock that has done everything by the first poll."""
    with MockGroupApi([DONE]) as api, client_of(api) as client:
        yield client


def chat(content: Any = "Why?", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def submit(client: httpx.Client, *requests: Any) -> str:
    """Return the id of a new group of these requests."""
    body = json.dumps({"requests": requests, "webhook_id": "w"})
    answer = client.post(SUBMISSION_PATH, content=body).json()
    assert answer["groupSize"] == len(requests)
    return str(answer["groupId"])


def poll(client: httpx.Client, group_id: str = GROUP_ID) -> list[Any]:
    """Return the generations listed, in the order in which they were sent."""
    answer = client.get(f"/v1/async/group/{group_id}/generations").json()
    return list(reversed(answer["generations"]))


def states(generations: list[Any]) -> list[str]:
    return [each["state"] for each in generations]


def answers(generations: list[Any]) -> list[str]:
    return [each["response"]["choices"][0]["message"]["content"] for each in generations]


@pytest.mark.parametrize(
    ("size", "listed", "running"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (10, 5, 2), (50, 25, 10)]
)
def test_story(client: httpx.Client, size: int, listed: int, running: int) -> None:
    """Half of a group is queued; then eight tenths are done and the rest runs; then all is done."""
    group_id = submit(client, *[chat()] * size)

    first, second, third, fourth = (states(poll(client, group_id)) for _ in range(4))

    assert first == ["Queued"] * listed
    assert second == ["Success"] * (size - running) + ["In Progress"] * running
    assert third == fourth == ["Success"] * size


def test_figures_of_ten_requests(done_client: httpx.Client) -> None:
    """They take the time and the tokens of the sample output, whatever they ask."""
    generations = poll(done_client, submit(done_client, *[chat()] * 10))

    seconds, tokens = [], Counter[str]()
    for each in generations:
        start, end = (
            datetime.fromisoformat(each[name].removesuffix("Z"))
            for name in ("dispatchedAt", "finishedAt")
        )
        seconds.append((end - start).total_seconds())
        tokens.update(each["response"]["usage"])
    figures = [statistics.mean(seconds), min(seconds), max(seconds)]
    assert figures == pytest.approx([2.8031, 0.955, 4.556])
    assert tokens == {"prompt_tokens": 186, "completion_tokens": 1000, "total_tokens": 1186}


def test_order(client: httpx.Client) -> None:
    """The newest is listed first, also while half is listed."""
    submit(client, *[chat(question) for question in "abcd"])

    first, second = (client.get(POLL_PATH).json()["generations"] for _ in range(2))

    assert [each["request"] for each in first] == [chat("b"), chat("a")]
    assert [each["request"] for each in second] == [chat("d"), chat("c"), chat("b"), chat("a")]


def test_the_group_from_the_start(client: httpx.Client) -> None:
    """It is that of the sample, and goes through the story."""
    first, second, third = (poll(client) for _ in range(3))

    assert [len(first), len(second), len(third)] == [5, 10, 10]
    assert third[9]["request"]["metadata"] == {"custom_id": "req-010"}
    assert answers(third)[:2] == ["The capital of France is Paris.", "2 + 2 equals 4."]


def test_several_groups(client: httpx.Client) -> None:
    """Each has its own id and progress; the first takes the id, and not the polls, of the start."""
    poll(client)
    first_id, second_id = submit(client, chat("1")), submit(client, chat("2"))

    first = [states(poll(client, first_id)) for _ in range(3)]
    second = [states(poll(client, second_id)) for _ in range(2)]

    assert (first_id, second_id) == (GROUP_ID, "mock-group-2")
    assert first == [["Queued"], ["In Progress"], ["Success"]]
    assert second == [["Queued"], ["In Progress"]]
    assert answers(poll(client, second_id)) == ["You asked: 2"]


def test_generation_ids(done_client: httpx.Client) -> None:
    """None is used twice."""
    ids = [each["id"] for each in poll(done_client)]
    for _ in range(3):
        ids += [each["id"] for each in poll(done_client, submit(done_client, *[chat()] * 50))]

    assert len(set(ids)) == len(ids) == 160


def test_played_polls() -> None:
    """Requests beyond the states are not listed, and a poll may be answered by something else."""
    busy = PlainTextResponse("busy", 503)
    with MockGroupApi([busy, ["Queued", "Paused"], QUEUED]) as api, client_of(api) as client:
        submit(client, chat(), chat(), chat())

        assert client.get(POLL_PATH).text == "busy"
        assert states(poll(client)) == ["Queued", "Paused"]
        assert states(poll(client)) == states(poll(client)) == ["Queued"] * 3
        api.polls = [DONE]
        assert states(poll(client)) == ["Success"] * 3
        api.polls = lambda size: [[f"{size} requests"]]
        assert states(poll(client)) == ["3 requests"]


def test_failures_and_given_answers() -> None:
    """A custom_id's reason fails its request, and its text is the answer."""
    requests = [chat(metadata={"custom_id": name}) for name in "abc"]
    mock = MockGroupApi(
        [QUEUED, DONE], failures={"a": "No."}, answers={"b": "Yes."}, requests=requests
    )
    with mock as api, client_of(api) as client:
        queued, done = poll(client), poll(client)

    assert states(queued) == ["Queued"] * 3
    assert states(done) == ["Failed", "Success", "Success"]
    assert [each["stateMessage"] for each in queued + done] == [None] * 3 + ["No.", None, None]
    assert done[0]["response"] is None
    assert answers(done[1:]) == ["Yes.", "You asked: Why?"]


def test_records() -> None:
    """Submissions, polls, headers and connections are written down, whatever is answered."""
    with MockGroupApi(submission=PlainTextResponse("?")) as api, client_of(api) as client:
        answer = client.post(SUBMISSION_PATH, json={"requests": []})
        client.get("/v1/async/group/a%2Fb/generations", headers={"X-Test": "yes"})

    assert answer.text == "?"
    assert api.submissions == [{"requests": []}]
    assert api.poll_paths == ["/v1/async/group/a%2Fb/generations"]
    assert [each.get("x-test") for each in api.headers] == [None, "yes"]
    assert len(api.connections) == 1


TEXT = {"type": "text", "text": "Why"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (chat("What is 2 + 2?"), "2 + 2 equals 4."),
        (chat("Is it \ud800?"), "You asked: Is it \ud800?"),
        (chat([TEXT, IMAGE, {"type": "text", "text": "now?"}]), "You asked: Why now?"),
        (chat("Ü?", response_format={"type": "json_object"}), '{"answer": "You asked: Ü?"}'),
    ],
)
def test_answers(done_client: httpx.Client, request_: Any, answer: str) -> None:
    """Any question has an answer, also one in parts, and as JSON if that is asked for."""
    assert answers(poll(done_client, submit(done_client, request_))) == [answer]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "You asked: Why?"),
        ({"type": "integer"}, 1),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "object"}, {}),
        ({"type": ["integer", "null"]}, 1),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "string", "enum": ["good", "bad"]}, "good"),
        ({"properties": {"a": {"type": "array", "items": {"const": 0}}}}, {"a": [0]}),
        ({"type": {}, "properties": 5, "enum": []}, "You asked: Why?"),
    ],
)
def test_answer_by_schema(done_client: httpx.Client, schema: Any, value: Any) -> None:
    """The answer is JSON that satisfies the schema."""
    request = chat(response_format={"type": "json_schema", "json_schema": {"schema": schema}})

    (answer,) = answers(poll(done_client, submit(done_client, request)))

    assert json.loads(answer) == value


@pytest.mark.parametrize(
    "request_",
    [
        chat(),
        chat(metadata={}),
        chat(metadata={"custom_id": ["a"]}),
        chat(messages=[{"role": "assistant", "content": None, "tool_calls": [{}]}]),
        chat(response_format={"type": "text"}, temperature=0, stop=None),
    ],
)
def test_taken(done_client: httpx.Client, request_: Any) -> None:
    """What the API takes is taken, custom_ids that are repeated, missing or no text included."""
    listed = poll(done_client, submit(done_client, request_, request_))

    assert [each["request"] for each in listed] == [request_, request_]


def group(request: Any) -> dict[str, Any]:
    return {"requests": [chat(), request]}


SIZE = "requests must be a list of 1 to 50 requests"
MODEL = "requests[1].model must be the name of a model"
MESSAGES = "requests[1].messages must be a list of messages, and not empty"
CONTENT = "requests[1].messages[0].content must be text or a list of parts"
PART = "requests[1].messages[0].content[1] must be an object with a type"
METADATA = "requests[1].metadata must be an object"
FORMAT = "requests[1].response_format.type must be text, json_object or json_schema"
SCHEMA = "requests[1].response_format.json_schema.schema must be an object"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body must be JSON"),
        (b'{"requests": "\xff"}', "the body must be JSON"),
        (b'{"requests": NaN}', "the body must be JSON"),
        pytest.param(b"[" * 100_000, "the body must be JSON", id="deep"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "the body has more than 100 levels"),
        ([], "the body must be an object"),
        ({}, SIZE),
        ({"requests": {}}, SIZE),
        ({"requests": []}, SIZE),
        ({"requests": [chat()] * 51}, SIZE),
        (group(None), "requests[1] must be an object"),
        (group({"messages": chat()["messages"]}), MODEL),
        (group(chat(model=" ")), MODEL),
        (group(chat(model=["m"])), MODEL),
        (group({"model": "m"}), MESSAGES),
        (group(chat(messages=[])), MESSAGES),
        (group(chat(messages="Why?")), MESSAGES),
        (group(chat(messages=["Why?"])), "requests[1].messages[0] must be an object"),
        (group(chat(messages=[{"content": "Why?"}])), "requests[1].messages[0].role must be text"),
        (group(chat(messages=[{"role": "user"}])), CONTENT),
        (group(chat(None)), CONTENT),
        (group(chat(messages=[{"role": "user", "content": 7, "tool_calls": [1]}])), CONTENT),
        (group(chat([])), CONTENT),
        (group(chat(TEXT)), CONTENT),
        (group(chat([TEXT, "Why?"])), PART),
        (group(chat([TEXT, {"text": "Why?"}])), PART),
        (group(chat(metadata=None)), METADATA),
        (group(chat(metadata="a")), METADATA),
        (group(chat(response_format="json")), FORMAT),
        (group(chat(response_format={"type": "json_schema", "schema": {}})), SCHEMA),
    ],
)
def test_refused_submissions(client: httpx.Client, body: Any, problem: str) -> None:
    """The message names the field that the API would not take, and no group is made."""
    content = body if isinstance(body, bytes) else json.dumps(body)

    response = client.post(SUBMISSION_PATH, content=content)

    assert (response.status_code, response.json()) == (400, {"error": {"message": problem}})
    assert submit(client, chat()) == GROUP_ID


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", SUBMISSION_PATH, "Bearer wrong", 401),
        ("POST", SUBMISSION_PATH, API_KEY, 401),
        ("GET", POLL_PATH, "", 401),
        ("GET", "/v1/async/group/unknown/generations", f"Bearer {API_KEY}", 404),
        ("POST", f"{SUBMISSION_PATH}/", f"Bearer {API_KEY}", 404),
        ("GET", SUBMISSION_PATH, f"Bearer {API_KEY}", 405),
        ("POST", POLL_PATH, f"Bearer {API_KEY}", 405),
    ],
)
def test_refused_calls(client: httpx.Client, method: str, path: str, key: str, status: int) -> None:
    """A call without the key, of an unknown group or of another path gets an error in JSON."""
    response = client.request(method, path, headers={"Authorization": key})

    assert response.status_code == status
    assert list(response.json()["error"]) == ["message"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (stall, httpx.ReadTimeout),
        (end_early, httpx.RemoteProtocolError),
        (reset, httpx.ReadError),
        (leave, httpx.RemoteProtocolError),
    ],
)
def test_network_faults(fault: ASGIApp, error: type[Exception]) -> None:
    """A client sees each fault as what it is, and after `leave` there is nobody."""
    with MockGroupApi([fault]) as api, client_of(api) as client:
        client.timeout = httpx.Timeout(0.2)

        with pytest.raises(error):
            client.get(POLL_PATH)
        with pytest.raises(httpx.ConnectError if fault is leave else error):
            client.get(POLL_PATH)


def test_closing() -> None:
    """A mock that is closed listens no more, and has closed its connections."""
    api = MockGroupApi()
    with client_of(api) as client:
        with api:
            poll(client)

        with pytest.raises(httpx.ConnectError):
            poll(client)


def test_closing_on_clients_that_have_just_connected() -> None:
    """Theirs are closed, too: none waits, and no socket is left to the garbage collector."""
    for _ in range(100):
        with MockGroupApi() as api:
            address = api.socket.getsockname()
            clients = [socket.create_connection(address) for _ in range(3)]
        for client in clients:
            with client, contextlib.suppress(ConnectionResetError):
                client.settimeout(10)
                assert client.recv(1) == b""
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_does_not_start() -> None:
    """It raises, and does not hang."""
    api = MockGroupApi()
    api.socket.close()

    with pytest.raises(RuntimeError, match="did not start"), api:
        pass


FIRST_WORDS = "This is a stand-in for the API: nothing is charged."
LAST_WORDS = "The stand-in has stopped, and its groups are gone with it."
PLAIN_SCRIPT = "import sys; print(sys.argv); print('words', file=sys.stderr); sys.exit(7)"
POLLING_SCRIPT = """
import httpx, os
url, key = os.environ["INFERENCE_BASE_URL"], os.environ["INFERENCE_API_KEY"]
headers = {"Authorization": f"Bearer {key}"}
with httpx.Client(base_url=url, headers=headers, verify=False) as client:
    for _ in range(3):
        response = client.get("/v1/async/group/6Z6oLaIo0PFleu2Wc1LIg/generations")
print(os.environ["NO_PROXY"], os.environ["no_proxy"])
for generation in response.json()["generations"]:
    print(generation["state"], generation["stateMessage"])
"""
# It calls the API once more when it is told to stop; the time-out is for when it never is.
STOPPED_SCRIPT = """
import httpx, os, signal, sys, time
told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: told.append(1))
deadline = time.monotonic() + 20
while not told and time.monotonic() < deadline:
    STOP
    time.sleep(0.1)
status = httpx.get(os.environ["INFERENCE_BASE_URL"], verify=False).status_code
print("told" if told else "not told", status)
sys.exit(130)
"""
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def run_mock(folder: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it in folder, with script as script.py there, like a terminal's job that heeds Ctrl-C."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored, it is inherited.
    try:
        return subprocess.run(
            [sys.executable, mock_group_api.__file__, *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_script_and_its_arguments(tmp_path: Path) -> None:
    """All that follows the script is its own, as are stdout and the exit status."""
    script = str(tmp_path / "script.py")

    run = run_mock(tmp_path, PLAIN_SCRIPT, "--fail", "a", script, "-x", "--fail", "--", "--help")

    assert run.stdout == "['script.py', '-x', '--fail', '--', '--help']\n"
    assert run.stderr.splitlines() == [FIRST_WORDS, "words", LAST_WORDS]
    assert run.returncode == 7


def test_the_sample_is_the_default(tmp_path: Path) -> None:
    """Without a script it runs the sample in the folder above its own."""
    (tmp_path / "tests").mkdir()
    mock = shutil.copy(mock_group_api.__file__, tmp_path / "tests")
    (tmp_path / "async_polling_example.py").write_text(PLAIN_SCRIPT, encoding="utf-8")

    run = subprocess.run([sys.executable, mock], capture_output=True, cwd=tmp_path, timeout=30)

    assert run.stdout.split() == [b"['async_polling_example.py']"]
    assert run.returncode == 7


def test_failures_on_the_command_line(tmp_path: Path) -> None:
    """Each --fail names a request that fails, with a reason."""
    run = run_mock(tmp_path, POLLING_SCRIPT, "--fail", "req-010", "--fail", "req-009", "script.py")

    failed = "Failed The model did not answer in time."
    assert run.stdout.splitlines()[1:] == [failed] * 2 + ["Success None"] * 8


@pytest.mark.parametrize("case", [str.upper, str.lower])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://127.0.0.1:1"])
def test_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Any, proxy: str) -> None:
    """Those of the machine do not come between script and mock."""
    for name in ("all_proxy", "http_proxy"):
        monkeypatch.setenv(case(name), proxy)
    monkeypatch.setenv(case("no_proxy"), "example.org")

    run = run_mock(tmp_path, POLLING_SCRIPT, "script.py")

    assert run.stdout.splitlines() == ["* *"] + ["Success None"] * 10


@on_posix
@pytest.mark.parametrize(
    "stop", ["os.killpg(0, signal.SIGINT)", "os.kill(os.getppid(), signal.SIGTERM)"]
)
def test_last_words(tmp_path: Path, stop: str) -> None:
    """Ctrl-C, which the terminal tells both, and SIGTERM leave the script time to end by itself."""
    run = run_mock(tmp_path, STOPPED_SCRIPT.replace("STOP", stop), "script.py")

    assert run.stdout == "told 401\n"
    assert run.stderr.splitlines() == [FIRST_WORDS, LAST_WORDS]
    assert run.returncode == 130


@on_posix
def test_a_killed_script(tmp_path: Path) -> None:
    """The exit status is what a shell would tell: 128 and the number of the signal."""
    run = run_mock(tmp_path, "import os; os.kill(os.getpid(), 9)", "script.py")

    assert run.returncode == 137


def test_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the text above the code, and fits into 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    run = run_mock(tmp_path, PLAIN_SCRIPT, "--help")

    assert str(mock_group_api.__doc__).strip() in run.stdout
    assert "--fail CUSTOM_ID  let the request of that custom_id fail" in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("missing.py", "there is no script missing.py"),
        (".", "there is no script ."),
        ("--fail", "argument --fail: expected one argument"),
    ],
)
def test_wrong_usage(tmp_path: Path, argument: str, problem: str) -> None:
    """The last line says what is wrong, and nothing is run."""
    run = run_mock(tmp_path, PLAIN_SCRIPT, argument)

    assert run.stderr.splitlines()[-1] == f"mock_group_api.py: error: {problem}"
    assert (run.returncode, run.stdout) == (2, "")
