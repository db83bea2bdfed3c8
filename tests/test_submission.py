"""What is sent to submit a group, and over how many connections."""

import json
import time

import httpx
import pytest
from conftest import MainRunner, Runner, answering, client_of, set_console_width
from mock_group_api import API_KEY, QUEUED, MockGroupApi, Stage, generation

import async_polling_example as sample


@pytest.mark.parametrize("count", [1, 7, 50])
def test_sends_each_request_with_a_custom_id(run_sample: Runner, count: int) -> None:
    """The body is NUM_REQUESTS chat completion requests to MODEL_ID, and nothing else."""
    with MockGroupApi() as api:
        run = run_sample(api, NUM_REQUESTS=count, MODEL_ID='"acme/small-model"')

    expected = [
        {
            "model": "acme/small-model",
            "messages": [{"role": "user", "content": sample.QUESTIONS[number % 15]}],
            "metadata": {"custom_id": f"req-{number + 1:03}"},
        }
        for number in range(count)
    ]
    assert api.submissions == [{"requests": expected}]
    assert f"• Requests to submit: {count}\n    • Model: acme/small-model\n" in run.stdout
    assert run.stdout.count("✓ Success") == count
    assert run.returncode == 0


def test_asks_fifteen_questions_before_it_repeats_one() -> None:
    """The seed's five questions come first, in its order."""
    assert sample.QUESTIONS[:5] == [
        "What is the capital of France?",
        "What is 2 + 2?",
        "Name one planet in our solar system.",
        "What color is the sky on a clear day?",
        "How many legs does a spider have?",
    ]
    assert len(set(sample.QUESTIONS)) == len(sample.QUESTIONS) == 15


@pytest.mark.parametrize(
    ("count", "title", "more"),
    [
        pytest.param(1, "Submitting 1 Request", None, id="one"),
        pytest.param(5, "Submitting 5 Requests", None, id="as many as are shown"),
        pytest.param(7, "Submitting 7 Requests", "    ... and 2 more", id="two more"),
    ],
)
def test_shows_the_first_five_questions(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, count: int, title: str, more: str | None
) -> None:
    """The list of questions ends after five, and says how many more there are."""
    monkeypatch.setattr(sample, "NUM_REQUESTS", count)
    with MockGroupApi() as api:
        monkeypatch.setattr(sample, "BASE_URL", api.url)
        lines = run_main().out.splitlines()

    start = lines.index(f"  {title}")
    assert lines[start + 1] == "  " + "-" * (len(title) + 4)
    shown = lines[start + 3 : lines.index("", start + 3)]
    assert shown[:5] == [
        f"    req-{number:03}: {question}"
        for number, question in enumerate(sample.QUESTIONS[: min(count, 5)], start=1)
    ]
    assert shown[5:] == ([more] if more else [])


def test_cuts_a_long_question_to_one_line(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question of one's own may be longer than the terminal is wide."""
    set_console_width(monkeypatch, 60)
    monkeypatch.setattr(sample, "QUESTIONS", ["Why? " * 100])
    with MockGroupApi() as api:
        monkeypatch.setattr(sample, "BASE_URL", api.url)
        lines = run_main().out.splitlines()

    shown = next(line for line in lines if line.startswith("    req-001: "))
    assert shown.endswith("...")
    assert len(shown) <= 60


def test_sends_json_and_the_key(run_sample: Runner) -> None:
    """Each call carries the key as a bearer token, and the submission says that it is JSON."""
    with MockGroupApi() as api:
        run_sample(api)

    assert {headers["authorization"] for headers in api.headers} == {f"Bearer {API_KEY}"}
    assert api.headers[0]["content-type"] == "application/json"
    assert int(api.headers[0]["content-length"]) == len(
        json.dumps(api.submissions[0], ensure_ascii=False, separators=(",", ":")).encode()
    )


def test_drops_blanks_around_the_key(run_sample: Runner) -> None:
    """A key pasted with a blank before it and a newline after it works."""
    with MockGroupApi() as api:
        run = run_sample(api, env={"INFERENCE_API_KEY": f" {API_KEY}\n"})

    assert run.returncode == 0


def test_uses_one_connection_for_a_whole_run(run_sample: Runner) -> None:
    """Forty polls and the submission go over a single TCP connection."""
    with MockGroupApi([QUEUED] * 39 + [Stage(succeeded=10)]) as api:
        run = run_sample(api)

    assert run.returncode == 0
    assert len(api.poll_paths) == 40
    assert len(api.connections) == 1


def test_keeps_the_connection_however_far_apart_the_polls_are(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls half a minute apart share a connection, which httpx of itself drops after 5 s."""
    now = time.monotonic
    slept = 0.0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds

    monkeypatch.setattr(sample, "POLL_INTERVAL_SECONDS", 30)
    monkeypatch.setattr("async_polling_example.time.sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now() + slept)
    with MockGroupApi([QUEUED, Stage(succeeded=10)]) as api:
        monkeypatch.setattr(sample, "BASE_URL", api.url)
        run = run_main()

    assert run.status == 0
    assert slept == 30
    assert len(api.connections) == 1


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "ALL_PROXY"])
def test_goes_through_the_environments_proxy(run_sample: Runner, proxy: str) -> None:
    """A machine that reaches the world by a proxy needs no setting of the sample's own."""
    with MockGroupApi() as api:
        run = run_sample("http://group-api.invalid", env={proxy: api.url})

    # The mock is no proxy and says so, but nobody else could have answered for this host.
    assert "HTTP 404 Not Found" in run.stderr


# What may come back instead of a group id


def test_no_connection(run_sample: Runner) -> None:
    """The error names the address, and says that nothing was submitted."""
    run = run_sample("http://127.0.0.1:9")

    error, advice = run.stderr.splitlines()
    assert error.startswith("Error: No connection to http://127.0.0.1:9: ")
    assert advice.startswith("  Nothing was submitted. ")
    assert run.returncode == 1


@pytest.mark.parametrize("no_proxy", ["", "localhost"])
def test_tries_again_to_connect(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """A connection that was never made is tried three times in all, by the transport."""
    attempts: list[str] = []

    def refuse(address: object, *_: object, **__: object) -> None:
        attempts.append(f"connect to {address}")
        raise ConnectionRefusedError("refused")

    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: attempts.append(f"pause for {seconds} s"))
    monkeypatch.setattr(sample, "BASE_URL", "http://127.0.0.1:9")
    with sample.open_client() as client, pytest.raises(sample.RunError, match="No connection"):
        sample.submit_group(client, sample.build_requests())

    connect = "connect to ('127.0.0.1', 9)"
    assert attempts == [connect, "pause for 0 s", connect, "pause for 0.5 s", connect]


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
def test_a_connection_that_was_never_made(
    run_main: MainRunner, error: type[httpx.TransportError]
) -> None:
    """Whatever kept it from being made, nothing was submitted, and nobody needs to worry."""
    run = run_main(client=answering(error("refused")))

    assert run.err.splitlines()[0] == "Error: No connection to http://api.test: refused"
    assert run.err.splitlines()[1].startswith("  Nothing was submitted. ")


def test_timeouts() -> None:
    """10 s to connect, 30 s for all else."""
    with sample.open_client() as client:
        assert client.timeout == httpx.Timeout(connect=10, read=30, write=30, pool=30)


MAY_EXIST = "  The group may exist all the same, and be charged: check before you submit it again."
CHECK = "  Check MODEL_ID, and INFERENCE_BASE_URL if you set it."


@pytest.mark.parametrize(
    ("answer", "error", "advice"),
    [
        pytest.param(
            httpx.Response(401, json={"error": {"message": "Invalid API key."}}),
            "HTTP 401 Unauthorized: Invalid API key.",
            "  Check the key in INFERENCE_API_KEY.",
            id="401",
        ),
        pytest.param(
            httpx.Response(429, json={"message": "Slow down."}),
            "HTTP 429 Too Many Requests: Slow down.",
            "  Wait a minute, then try again.",
            id="429",
        ),
        pytest.param(
            httpx.Response(404, text='{"detail": ["No such model."]}'),
            'HTTP 404 Not Found: {"detail": ["No such model."]}',
            CHECK,
            id="JSON of another shape",
        ),
        pytest.param(
            httpx.Response(400, text="not this\n\tmodel"),
            "HTTP 400 Bad Request: not this model",
            CHECK,
            id="text",
        ),
        pytest.param(
            httpx.Response(413, text="word " * 1000),
            f"HTTP 413 Request Entity Too Large: {'word ' * 39}wo...",
            CHECK,
            id="long text, cut at 200",
        ),
        pytest.param(
            httpx.Response(307, headers={"Location": "http://127.0.0.1:9"}),
            "HTTP 307 Temporary Redirect",
            CHECK,
            id="a redirect, which would take the key along",
        ),
        pytest.param(
            httpx.Response(502, html="<html><h1>502 Bad\n Gateway</h1>"),
            "HTTP 502 Bad Gateway: 502 Bad Gateway",
            MAY_EXIST,
            id="a gateway's page",
        ),
        pytest.param(
            httpx.Response(503), "HTTP 503 Service Unavailable", MAY_EXIST, id="no words at all"
        ),
    ],
)
def test_a_refused_submission(
    run_main: MainRunner, answer: httpx.Response, error: str, advice: str
) -> None:
    """The error has the status and the API's own words, then what to do; it is sent once."""
    calls: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return answer

    run = run_main(client=client_of(handler))

    assert run.err.splitlines() == [f"Error: {error}", advice]
    assert run.status == 1
    assert len(calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(200, html="<html>Welcome!</html>"), id="html"),
        pytest.param(httpx.Response(200, text="[" * 100_000), id="deep"),
        pytest.param(httpx.Response(200, json={"groupSize": 10}), id="no group id"),
        pytest.param(httpx.Response(200, json={"groupId": 7}), id="a number for an id"),
        pytest.param(httpx.Response(200, json={"groupId": " \n"}), id="a blank id"),
        pytest.param(httpx.Response(200, json={"groupId": ".."}), id="an id for another path"),
        pytest.param(httpx.Response(200, json=["group"]), id="a list"),
        pytest.param(httpx.Response(202), id="nothing"),
        pytest.param(httpx.Response(504), id="a gateway's time-out"),
        pytest.param(httpx.ReadTimeout("timed out"), id="timed out"),
        pytest.param(httpx.WriteError("broken pipe"), id="broken off while writing"),
        pytest.param(httpx.ReadError("reset"), id="reset"),
        pytest.param(httpx.RemoteProtocolError("closed"), id="closed"),
        pytest.param(httpx.DecodingError("not gzip"), id="garbled"),
    ],
)
def test_a_submission_of_unknown_outcome(
    run_main: MainRunner, answer: httpx.Response | Exception
) -> None:
    """The error says that the group may exist and be charged, and it is not sent again."""
    again = pytest.fail.Exception("sent again")
    run = run_main(client=answering(answer, again))

    assert run.err.splitlines()[1:] == [MAY_EXIST]
    assert run.status == 1


@pytest.mark.parametrize(
    ("size", "shown"), [(10, "10"), (7, "7"), (None, "n/a"), ("ten", "n/a"), ([], "n/a")]
)
def test_shows_the_group_size_that_the_api_tells(
    run_main: MainRunner, size: object, shown: str
) -> None:
    """What is waited for is what was submitted, whatever size the API tells."""
    created = httpx.Response(200, json={"groupId": "group", "groupSize": size})
    done = [generation(each, i, "Success") for i, each in enumerate(sample.build_requests())]
    run = run_main(client=answering(created, done[:7], done))

    assert f"  ✓ Group size: {shown}\n" in run.out
    assert "7/10 (70%)" in run.out
    assert run.status == 0
