"""What is sent to submit a group, how it gets there, and what is said when it does not."""

import json
from typing import Any

import httpx
import pytest
from conftest import Play, RunSample, json_response, listed, requests_of
from mock_group_api import API_KEY, DONE, QUEUED, MockGroupApi


def test_sends_chat_completion_requests(play: Play) -> None:
    """One POST holds NUM_REQUESTS requests to MODEL_ID, and nothing else."""
    run = play(listed("Success"), NUM_REQUESTS=1, MODEL_ID="acme/small", QUESTIONS=["Why?"])

    (post,) = run.posts
    assert post.url == "http://api.test/v1/async/group/chat/completions"
    assert json.loads(post.content) == {
        "requests": [
            {
                "model": "acme/small",
                "messages": [{"role": "user", "content": "Why?"}],
                "metadata": {"custom_id": "req-001"},
            }
        ]
    }


def test_sends_json_and_the_key(play: Play) -> None:
    """Each call carries the key as a bearer token, and the submission says that it is JSON."""
    run = play(listed("Queued"), listed("Success"), NUM_REQUESTS=1)

    assert [call.headers["authorization"] for call in run.calls] == [f"Bearer {API_KEY}"] * 3
    assert run.calls[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", [1, 50])
def test_sends_as_many_requests_as_the_constant_says(run_sample: RunSample, count: int) -> None:
    """The smallest and the largest group that the API takes are submitted and answered."""
    with MockGroupApi([DONE]) as api:
        run = run_sample(api, NUM_REQUESTS=count)

    (submission,) = api.submissions
    assert len(submission["requests"]) == count
    assert run.stdout.count("✓ Success") == count
    assert run.returncode == 0


def test_repeats_the_questions_if_they_are_too_few(play: Play) -> None:
    """Each repetition has a custom_id of its own."""
    run = play(listed(*["Success"] * 5), NUM_REQUESTS=5, QUESTIONS=["One?", "Two?"])

    assert [each["messages"][0]["content"] for each in run.sent] == [
        *("One?", "Two?", "One?", "Two?", "One?")
    ]
    assert [each["metadata"]["custom_id"] for each in run.sent] == [
        *("req-001", "req-002", "req-003", "req-004", "req-005")
    ]


def test_the_questions_as_shipped(play: Play) -> None:
    """As shipped, ten requests ask ten questions, the seed's five first."""
    questions = [each["messages"][0]["content"] for each in play().sent]

    assert questions[:5] == [
        "What is the capital of France?",
        "What is 2 + 2?",
        "Name one planet in our solar system.",
        "What color is the sky on a clear day?",
        "How many legs does a spider have?",
    ]
    assert len(set(questions)) == 10


# How it gets there


def test_uses_one_connection_for_a_whole_run(run_sample: RunSample) -> None:
    """Forty polls and the submission go over a single TCP connection."""
    with MockGroupApi([QUEUED] * 39 + [DONE]) as api:
        run = run_sample(api, MAX_POLL_ATTEMPTS=40)

    assert run.returncode == 0
    assert len(api.poll_paths) == 40
    assert len(api.connections) == 1


def test_timeouts(play: Play) -> None:
    """Each call has 10 s to connect and 30 s to read."""
    run = play(listed("Success"), NUM_REQUESTS=1)

    timeouts = [call.extensions["timeout"] for call in run.calls]
    assert [(each["connect"], each["read"]) for each in timeouts] == [(10, 30), (10, 30)]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_goes_through_a_proxy(run_sample: RunSample, variable: str) -> None:
    """A machine that reaches the world by a proxy needs no setting of the sample's own."""
    with MockGroupApi() as api:
        run = run_sample("http://group-api.invalid", env={variable: api.url})

    # The mock is no proxy and says so, but nobody else could have heard of this host.
    assert [each["host"] for each in api.headers] == ["group-api.invalid"]
    assert run.returncode == 1


def test_goes_past_a_proxy(run_sample: RunSample) -> None:
    """NO_PROXY names hosts that are reached directly."""
    with MockGroupApi([DONE]) as api:
        env = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "example.org,127.0.0.1"}
        run = run_sample(api, env=env)

    assert run.returncode == 0


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "httpx[socks]"),
        ("HTTPS_PROXY", "socks5h://127.0.0.1:1", "httpx[socks]"),
        ("HTTPS_PROXY", "gopher://127.0.0.1:1", "gopher"),
        ("NO_PROXY", "localhost:none", "port"),
        ("SSL_CERT_FILE", "/no/such/file", "No such file"),
    ],
)
def test_a_network_that_httpx_cannot_use(play: Play, variable: str, value: str, words: str) -> None:
    """One error names the variable, and for socks what to add to the script's dependencies."""
    run = play(env={variable: value})

    assert run.err.startswith("Error: ")
    assert variable in run.err
    assert words in run.err
    assert (run.status, run.calls, run.command) == (1, [], None)


def test_no_connection(run_sample: RunSample) -> None:
    """The error names the address, and says that nothing was submitted."""
    run = run_sample("http://127.0.0.1:9")

    assert run.stderr.startswith("Error: No connection to http://127.0.0.1:9: [")
    assert "Nothing was submitted." in run.stderr
    assert run.returncode == 1


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
def test_a_connection_that_was_never_made(play: Play, error: type[httpx.TransportError]) -> None:
    """Whatever kept it from being made, nothing was submitted, and it is not tried again."""
    run = play(submission=error("refused"))

    assert "refused" in run.err
    assert "Nothing was submitted." in run.err
    assert "may exist" not in run.err
    assert (run.status, len(run.calls), run.command) == (1, 1, None)


# Refused


@pytest.mark.parametrize(
    ("answer", "error", "advice"),
    [
        (json_response({"error": {"message": "Who?"}}, 401), "401 Unauthorized: Who?", "API_KEY"),
        (json_response({"message": "Pay."}, 402), "402 Payment Required: Pay.", "credit"),
        (json_response({"message": "No."}, 403), "403 Forbidden: No.", "key"),
        (json_response(["No."], 413), '413 Request Entity Too Large: ["No."]', "fewer"),
        (json_response({"error": "No."}, 429), "429 Too Many Requests: ", "a minute"),
        (json_response({"message": ["x", "y"]}, 400), '400 Bad Request: {"message": ["x"', "MODEL"),
        (httpx.Response(400, text="no\tsuch\nmodel"), "400 Bad Request: no such model", "MODEL_ID"),
        (httpx.Response(404), "404 Not Found", "INFERENCE_BASE_URL"),
    ],
    ids=lambda value: value.status_code if isinstance(value, httpx.Response) else "",
)
def test_a_refused_submission(play: Play, answer: httpx.Response, error: str, advice: str) -> None:
    """The error has the status and the API's own words, then what to do; it is sent once."""
    run = play(submission=answer)

    first, second = run.err.splitlines()
    assert first.startswith(f"Error: HTTP {error}")
    assert advice in second
    assert "may exist" not in run.err
    assert (run.status, len(run.calls), run.command) == (1, 1, None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(408), "HTTP 408 Request Timeout"),
        (httpx.Response(500, text="Oops."), "HTTP 500 Internal Server Error: Oops."),
        (httpx.Response(502, html="<h1>Bad\n gate</h1>"), "HTTP 502 Bad Gateway: Bad gate\n"),
        (httpx.Response(504), "HTTP 504 Gateway Timeout"),
        (httpx.ReadTimeout("no answer came"), "no answer came"),
        (httpx.WriteError("broken pipe"), "broken pipe"),
        (httpx.ReadError("reset"), "reset"),
        (httpx.RemoteProtocolError("closed"), "closed"),
        (httpx.DecodingError("not gzip"), "not gzip"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_a_submission_of_unknown_outcome(
    play: Play, answer: httpx.Response | Exception, words: str
) -> None:
    """The error says that the group may exist and be charged, and it is not sent again."""
    run = play(submission=answer)

    assert words in run.err
    assert "may exist" in run.err
    assert (run.status, len(run.calls), run.command) == (1, 1, None)


@pytest.mark.parametrize(
    "answer",
    [
        json_response({"id": "lost-group", "groupSize": 10}),
        json_response({"groupId": 7, "is": "lost-group"}),
        json_response({"groupId": " ", "is": "lost-group"}),
        json_response({"groupId": "..", "is": "lost-group"}),
        json_response({"groupId": "lost-group\x07"}),
        json_response(["lost-group"]),
        httpx.Response(202, text="lost-group"),
        httpx.Response(200, html="<html>\n<b>lost-group</b>"),
        httpx.Response(200, text="lost-group" + "[" * 100_000),
    ],
    ids=lambda answer: answer.text[:20],
)
def test_an_answer_without_a_usable_group_id(play: Play, answer: httpx.Response) -> None:
    """What was answered is shown on one line, for the id may be in it."""
    run = play(submission=answer)

    error, advice = run.err.splitlines()
    assert "lost-group" in error
    assert error.isprintable()
    assert len(error) < 300
    assert "may exist" in advice
    assert (run.status, len(run.calls), run.command) == (1, 1, None)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect(play: Play, status: int) -> None:
    """The error says where it leads; nothing is sent there, least of all the key."""
    answer = httpx.Response(status, headers={"Location": "https://elsewhere.example/group"})
    run = play(submission=answer)

    assert run.err.startswith(f"Error: HTTP {status} ")
    assert "https://elsewhere.example/group" in run.err
    assert [call.url.host for call in run.calls] == ["api.test"]


def test_a_status_without_a_name(play: Play) -> None:
    """An empty reason phrase leaves no gap."""
    run = play(submission=httpx.Response(420, text="Slow.", extensions={"reason_phrase": b""}))

    assert run.err.startswith("Error: HTTP 420: Slow.\n")


def test_the_words_of_others_are_cleaned_and_cut(play: Play) -> None:
    """They stay on one line of bearable length, and no control character is left in them."""
    words = "\x1b[2J\u202e[red]No.\r\n[/red]\x9b" + "word " * 1000
    run = play(submission=json_response({"error": {"message": words}}, 400))

    error = run.err.splitlines()[0]
    assert error.startswith("Error: HTTP 400 Bad Request: [2J[red]No. [/red]word word ")
    assert error.endswith("...")
    assert error.isprintable()
    assert len(error) < 300


# Requests of the user's own making


def own_requests(*custom_ids: Any) -> str:
    """Return code that replaces build_requests, as README.md tells to, by one with these ids."""
    requests = requests_of(*["Why?"] * len(custom_ids))
    for request, custom_id in zip(requests, custom_ids):
        request["metadata"] = {"custom_id": custom_id}
    return f"def build_requests(): return {requests!a}"


def test_own_requests(play: Play) -> None:
    """They are sent as they are, whatever else is in them."""
    request = requests_of([{"type": "text", "text": "Why?"}])[0] | {"temperature": 0, "x": None}
    run = play(listed("Success"), code=f"def build_requests(): return [{request!a}]")

    assert run.sent == [request]
    assert "  ✓ Group size: 1\n" in run.out
    assert run.status == 0


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        (own_requests(), "1 to 50"),
        (own_requests(*(f"row-{number}" for number in range(51))), "1 to 50"),
        (own_requests("a", None), "custom_id"),
        (own_requests("a", 7), "custom_id"),
        (own_requests("a", ["b"]), "custom_id"),
        (own_requests("a", ""), "custom_id"),
        (own_requests("a", "b", "a"), "custom_id"),
        ("def build_requests(): return [{'messages': []}]", "custom_id"),
        ("def build_requests(): return [{'metadata': None}]", "custom_id"),
    ],
    ids=["none", "51", "null", "number", "list", "empty", "repeated", "no metadata", "null data"],
)
def test_own_requests_that_break_a_rule(play: Play, code: str, rule: str) -> None:
    """One line says which rule is broken, and nothing is sent."""
    run = play(code=code)

    assert run.err.startswith("Error: ")
    assert run.err.count("\n") == 1
    assert rule in run.err
    assert (run.status, run.calls) == (1, [])


# What is shown of it


@pytest.mark.parametrize(
    ("size", "shown"), [(2, "2"), (7, "7"), (None, "n/a"), ("two", "n/a"), ([], "n/a")]
)
def test_shows_the_group_size_that_the_api_tells(play: Play, size: object, shown: str) -> None:
    """What is waited for is what was submitted, whatever size the API tells."""
    created = json_response({"groupId": "group", "groupSize": size})
    answers = listed("Success"), listed("Success", "Success")
    run = play(*answers, submission=created, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=2)

    assert f"  ✓ Group size: {shown}\n" in run.out
    assert "1/2 (50%)" in run.out
    assert run.status == 0


@pytest.mark.parametrize("status", [200, 401, 500])
def test_an_error_does_not_show_the_key(play: Play, status: int) -> None:
    """Neither at the submission nor at a poll, though the API's own words have it."""
    answer = json_response({"error": {"message": f"{API_KEY} is wrong"}}, status)

    for run in (play(submission=answer), play(answer, MAX_POLL_ATTEMPTS=1)):
        assert API_KEY not in run.out + run.err
        assert run.status == 1


def test_a_report_does_not_show_the_key(play: Play) -> None:
    """Not even if it is in the questions, in the answers and in the reasons of failures."""
    generations = listed("Success", "Failed")
    generations[0]["response"]["choices"][0]["message"]["content"] = f"{API_KEY} it is."
    generations[1]["stateMessage"] = f"{API_KEY} it is not."
    questions = [f"{API_KEY}?", f"Is it {API_KEY}?"]
    run = play(generations, NUM_REQUESTS=2, QUESTIONS=questions, MODEL_ID=API_KEY)

    assert "it is not." in run.out
    assert API_KEY not in run.out + run.err


def test_a_key_given_as_a_group_id_is_not_shown(play: Play) -> None:
    """It is taken for an id that the API does not know."""
    run = play(httpx.Response(404), arguments=(API_KEY,))

    assert "HTTP 404" in run.err
    assert API_KEY not in run.out + run.err
