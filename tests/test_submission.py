"""What is sent to submit a group, and over how many connections."""

import json
import time

import pytest
from conftest import MainRunner, Runner, set_console_width
from mock_group_api import API_KEY, QUEUED, MockGroupApi, Stage

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
