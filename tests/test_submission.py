"""What is sent to submit a group, what keeps it from being sent, and what is said when it fails."""

import json
import shlex
from typing import Any

import httpx
import pytest
from conftest import json_response, listed, play, run_sample
from mock_group_api import API_KEY


def test_one_post_holds_all_requests() -> None:
    """NUM_REQUESTS requests to MODEL_ID ask the questions in turn, each with its custom_id."""
    run = play(NUM_REQUESTS=3, MODEL_ID="acme/small", QUESTIONS=["Why?", "Who?"])

    assert "  Submitting 3 Requests\n" in run.out
    assert json.loads(run.calls[0].content) == {
        "requests": [
            {
                "model": "acme/small",
                "messages": [{"role": "user", "content": question}],
                "metadata": {"custom_id": f"req-00{number}"},
            }
            for number, question in enumerate(["Why?", "Who?", "Why?"], start=1)
        ]
    }


def test_headers_and_timeouts() -> None:
    """Each call carries the key and has 10 s to connect; for the id it waits longest."""
    run = play(listed("S"), env={"INFERENCE_API_KEY": f" {API_KEY}\r\n"}, NUM_REQUESTS=1)

    assert run.calls[0].headers["content-type"] == "application/json"
    assert [call.headers["authorization"] for call in run.calls] == [f"Bearer {API_KEY}"] * 2
    timeouts = [call.extensions["timeout"] for call in run.calls]
    assert [(each["connect"], each["read"]) for each in timeouts] == [(10, 120), (10, 30)]


@pytest.mark.parametrize(
    ("base_url", "start"),
    [
        ("https://gateway.example/a/b-1/v1/", "https://gateway.example/a/b-1"),
        (" http://127.0.0.1:8000/\n", "http://127.0.0.1:8000"),
        *((none, "https://api.inference.net") for none in (" ", None)),
    ],
)
def test_base_url(base_url: str | None, start: str) -> None:
    """It may have a path, as gateways do, and may end in /v1, as OpenAI's clients have it."""
    run = play(env={"INFERENCE_BASE_URL": base_url})

    assert str(run.calls[0].url) == f"{start}/v1/async/group/chat/completions"


def own(*custom_ids: Any) -> dict[str, Any]:
    """Return options by which build_requests is replaced, as the README tells to."""
    metadata = [{"custom_id": each} for each in custom_ids]
    return {"code": f"def build_requests(): return [{{'metadata': each}} for each in {metadata!a}]"}


def key(value: str | None) -> dict[str, Any]:
    return {"env": {"INFERENCE_API_KEY": value}}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        *(("No API key. Set it with: export INF", key(each)) for each in (None, "", " \n\t")),
        *(("but cannot be a key", key(each)) for each in ("'a'", '"a"', "a b", "ü", "a\x07")),
        *(("NUM_REQUESTS", {"NUM_REQUESTS": number}) for number in (-1, 0, 51)),
        *(("MODEL_ID", {"MODEL_ID": model}) for model in ("", " ")),
        *(("POLL_INTERVAL_SECONDS", {"POLL_INTERVAL_SECONDS": s}) for s in (-0.5, 0)),
        *(("MAX_POLL_ATTEMPTS", {"MAX_POLL_ATTEMPTS": number}) for number in (-1, 0)),
        *(("QUESTIONS", {"QUESTIONS": each}) for each in (list[str](), "Why?")),
        *(("metadata.custom_id: a string", own("a", each)) for each in (None, 7, ["b"], "")),
        ("one is repeated", own("b", "a", "b")),
        *(("1 to 50", own(*custom_ids)) for custom_ids in ((), map(str, range(51)))),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(words: str, options: dict[str, Any]) -> None:
    """One error names the setting, or the rule that the user's own requests break."""
    run = play(**options)

    assert run.err.startswith("\nError: ")
    assert words in run.err
    assert (run.status, run.out, run.calls, run.command) == (1, "", [], [])


@pytest.mark.parametrize(
    ("words", "base_url", "env"),
    [
        ("api.test: Request URL is missing", "api.test", {}),
        ("ftp://api.test: Request URL has an unsupported", "ftp://api.test", {}),
        ("Invalid port", "http://api.test:port", {}),
        ("http://127.0.0.1:9: [Errno ", "http://127.0.0.1:9", {}),
        ("socksio", "http://api.test", {"ALL_PROXY": "socks5://127.0.0.1:1"}),
        ("Unknown scheme for proxy", "http://api.test", {"HTTPS_PROXY": "socks://127.0.0.1:1"}),
        ("No such file", "http://api.test", {"SSL_CERT_FILE": "/no/such/file"}),
    ],
)
def test_a_network_that_cannot_be_used(words: str, base_url: str, env: dict[str, Any]) -> None:
    """The error says what is wrong, that nothing was sent, and all that there is to check."""
    run = run_sample(base_url, env=env)

    for each in ("Error: ", words, "Nothing was submitted.", "BASE_URL", "_PROXY", "SSL_CERT_FILE"):
        assert each in run.err
    assert (run.status, run.command) == (1, [])


@pytest.mark.parametrize(
    "arguments", ["''", "group 0", "group 51", "group ten", "group 2 x", "--new"]
)
def test_wrong_usage(arguments: str) -> None:
    """It ends with status 2 and a word on the usage, and above all does not submit a group."""
    run = play(arguments=tuple(shlex.split(arguments)))

    assert run.err.startswith("usage: ")
    assert (run.status, run.out, run.calls) == (2, "", [])


def test_help() -> None:
    """It names both ways to run the script and both variables, needs no key, and fits."""
    run = play(arguments=("--help",), env={"INFERENCE_API_KEY": None})
    wide = play(arguments=("--help",), env={"INFERENCE_API_KEY": None, "COLUMNS": "200"})

    assert "\nEnvironment: INFERENCE_API_KEY (required), INFERENCE_BASE_URL (optional)\n" in run.out
    assert run.out.split() == wide.out.split()  # No word is broken.
    assert max(map(len, run.lines)) <= 80
    assert (run.status, run.err) == (0, "")


HTML = "\n<h1>Oh no!</h1>"
UNKNOWN, NOT_SENT = "The group may exist all the same", "Nothing was submitted."
MOVED = httpx.Response(307, html=HTML, headers={"Location": "https://x.example"})
NAMELESS = httpx.Response(420, extensions={"reason_phrase": b""})


def says(message: object, status: int) -> httpx.Response:
    return json_response({"error": {"message": message}}, status)


@pytest.mark.parametrize(
    ("answer", "error", "advice"),
    [
        (says("Who?", 401), "HTTP 401 Unauthorized: Who?", "the key in INFERENCE_API_KEY"),
        (says("Pay.", 402), "HTTP 402 Payment Required: Pay.", "credit"),
        (says("No.", 403), "HTTP 403 Forbidden: No.", "key's project"),
        (httpx.Response(404), "HTTP 404 Not Found", "MODEL_ID and INFERENCE_BASE_URL"),
        (says("No.", 413), "HTTP 413 Request Entity Too Large: No.", "fewer"),
        (says("No.", 429), "HTTP 429 Too Many Requests: No.", "a minute"),
        (json_response({"message": "No."}, 400), "HTTP 400 Bad Request: No.", "MODEL_ID"),
        (json_response(["No."], 400), 'HTTP 400 Bad Request: ["No."]', "MODEL_ID"),
        (httpx.Response(400, text="no\tsuch\nid"), "HTTP 400 Bad Request: no such id", "MODEL_ID"),
        (says("x" * 999, 400), "xxx...", "MODEL_ID"),
        (NAMELESS, "HTTP 420", "MODEL_ID"),
        (MOVED, "HTTP 307 Temporary Redirect: https://x.example", "INFERENCE_BASE_URL"),
        (httpx.Response(408), "HTTP 408 Request Timeout", UNKNOWN),
        (httpx.Response(500, text="Oops."), "HTTP 500 Internal Server Error: Oops.", UNKNOWN),
        (httpx.Response(502, html=HTML), "HTTP 502 Bad Gateway", UNKNOWN),
        (httpx.ReadTimeout("no answer"), "The submission failed: no answer", UNKNOWN),
        (httpx.ReadError(""), "The submission failed: ReadError", UNKNOWN),
        (json_response({"groupId": "", "id": "lost"}), '{"groupId": "", "id": "lost"}', UNKNOWN),
        (json_response({"groupId": 7}), 'HTTP 200 without a groupId: {"groupId": 7}', UNKNOWN),
        (httpx.Response(202, html="<b>lost"), "HTTP 202 without a groupId: <b>lost", UNKNOWN),
        (httpx.ConnectError("refused"), "No connection to http://api.test: refused", NOT_SENT),
        (httpx.ConnectTimeout("late"), "No connection to http://api.test: late", NOT_SENT),
        (httpx.ProxyError("closed"), "No connection to http://api.test: closed", NOT_SENT),
    ],
)
def test_a_submission_that_fails(answer: Any, error: str, advice: str) -> None:
    """The error has the API's own words on one line, then what to do; it is sent once."""
    run = play(submission=answer, env={"COLUMNS": "40"})

    _, first, second, *_ = run.err.splitlines()
    assert first.startswith("Error: ")
    assert first.endswith(error)
    assert advice in second
    assert (UNKNOWN in second) == (advice == UNKNOWN)
    assert (NOT_SENT in second) == (advice == NOT_SENT)
    assert (run.status, len(run.calls), run.command) == (1, 1, [])
