"""When polls are sent, when they end, and what is kept of what they told."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from conftest import Clock, MainRunner, answering, client_of
from mock_group_api import generation

import async_polling_example as sample

REQUESTS = sample.build_requests()


def listed(*states: str, first: int = 0) -> list[dict[str, Any]]:
    """Return generations for the requests from that index on, in these states."""
    return [
        generation(REQUESTS[index], index, state) for index, state in enumerate(states, start=first)
    ]


def states_of(results: list[sample.Result]) -> dict[str | None, str | None]:
    return {result.custom_id: result.state for result in results}


def poll(client: httpx.Client, requests: list[Any]) -> list[sample.Result]:
    """Poll a group of these requests to its end, and match its results to them."""
    return sample.correlate(requests, sample.poll_group(client, "group", len(requests)))


def poll_lines(run_output: str) -> list[str]:
    return [line for line in run_output.splitlines() if line.startswith("  [")]


@pytest.mark.parametrize(
    ("interval", "poll_takes", "starts"),
    [
        pytest.param(2, 0, [0, 2, 4, 6], id="polls that take no time"),
        pytest.param(2, 0.5, [0, 2, 4, 6], id="the time that a poll takes is not added"),
        pytest.param(2, 3, [0, 3, 6, 9], id="after a longer poll the next comes at once"),
        pytest.param(0.25, 0.1, [0, 0.25, 0.5, 0.75], id="an interval may be a fraction"),
    ],
)
def test_polls_start_an_interval_apart(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    interval: float,
    poll_takes: float,
    starts: list[float],
) -> None:
    """POLL_INTERVAL_SECONDS lie between the starts of two polls."""
    began = clock.now
    seen: list[float] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(clock.now - began)
        clock.now += poll_takes
        state = "Success" if len(seen) == 4 else "Queued"
        return httpx.Response(200, json={"generations": listed(state)})

    monkeypatch.setattr(sample, "POLL_INTERVAL_SECONDS", interval)
    poll(client_of(handler), REQUESTS[:1])

    assert seen == pytest.approx(starts)


HTTP_DATE = format_datetime(
    datetime.fromtimestamp(1_000_000, timezone.utc) + timedelta(seconds=30), usegmt=True
)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@pytest.mark.parametrize(
    ("header", "pause"),
    [
        pytest.param("30", 30, id="seconds"),
        pytest.param(HTTP_DATE, 30, id="a date"),
        pytest.param("1", 2, id="less than the interval"),
        pytest.param("3600", 60, id="more than a minute"),
        pytest.param("9" * 400, 60, id="beyond any number"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 60, id="a far date"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 2, id="a date in the past"),
        pytest.param("-5", 2, id="negative"),
        pytest.param("nan", 2, id="not a number"),
        pytest.param("soon", 2, id="junk"),
        pytest.param("", 2, id="empty"),
        pytest.param("Wed, 99 Oct 99999999999 07:28:00 GMT", 2, id="an impossible date"),
    ],
)
def test_heeds_retry_after(clock: Clock, status: int, header: str, pause: float) -> None:
    """The next poll waits as long as Retry-After asks, up to 60 s, and no less than an interval."""
    refusal = httpx.Response(status, headers={"Retry-After": header})
    poll(answering(refusal, listed("Success")), REQUESTS[:1])

    assert clock.sleeps == pytest.approx([pause])


def test_does_not_pause_after_the_last_attempt(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts have two pauses between them."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 3)
    poll(answering(listed("Queued")), REQUESTS[:1])

    assert clock.sleeps == [2, 2]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        pytest.param(httpx.Response(404), "not there yet: HTTP 404", id="404"),
        pytest.param(httpx.Response(408), "HTTP 408 Request Timeout", id="408"),
        pytest.param(httpx.Response(425), "HTTP 425 Too Early", id="425"),
        pytest.param(httpx.Response(429), "HTTP 429 Too Many Requests", id="429"),
        pytest.param(
            httpx.Response(429, headers={"Retry-After": "7"}), "HTTP 429 retry after 7s", id="wait"
        ),
        pytest.param(httpx.Response(502), "HTTP 502 Bad Gateway", id="502"),
        pytest.param(httpx.Response(520), "HTTP 520", id="a status without a name"),
        pytest.param(httpx.Response(302), "HTTP 302 Found", id="redirect"),
        pytest.param(httpx.Response(200, text="<html>"), "not the expected JSON", id="html"),
        pytest.param(httpx.Response(200, text="[" * 100_000), "not the expected JSON", id="deep"),
        pytest.param(httpx.Response(200, json=[1]), "not the expected JSON", id="a list"),
        pytest.param(
            httpx.Response(200, json={"generations": {}}), "not the expected JSON", id="an object"
        ),
        pytest.param(httpx.Response(200, content=b"\xff\xfe\x00"), "not the expected JSON", id="0"),
        pytest.param(httpx.Response(204), "not the expected JSON", id="204"),
        pytest.param(httpx.ReadTimeout("timed out"), "timed out", id="read time-out"),
        pytest.param(httpx.ConnectTimeout("timed out"), "timed out", id="connect time-out"),
        pytest.param(httpx.ConnectError("refused"), "connection failed", id="no connection"),
        pytest.param(httpx.ReadError("reset"), "connection failed", id="reset"),
        pytest.param(httpx.RemoteProtocolError("junk"), "connection failed", id="no HTTP"),
        pytest.param(httpx.DecodingError("gzip"), "connection failed", id="not gzip"),
    ],
)
def test_goes_on_after_a_poll_that_learned_nothing(
    capsys: pytest.CaptureFixture[str], answer: httpx.Response | Exception, note: str
) -> None:
    """Its line says why, keeps the count of the polls before it, and the next poll comes."""
    client = answering(listed("Success", "Queued"), answer, listed("Success", "Success"))
    results = poll(client, REQUESTS[:2])

    assert poll_lines(capsys.readouterr().out) == [
        f"  [  1] |{'█' * 15}{'░' * 15}| 1/2 (50%) (⏳ 0 running, 1 queued)",
        f"  [  2] |{'█' * 15}{'░' * 15}| 1/2 (50%) ({note})",
        f"  [  3] |{'█' * 30}| 2/2 (100%)",
    ]
    assert states_of(results) == {"req-001": "Success", "req-002": "Success"}


def test_a_failed_poll_is_one_attempt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the loop tries again: four attempts are four calls and four lines."""
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(503)

    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 4)
    poll(client_of(handler), REQUESTS)

    assert calls == 4
    assert len(poll_lines(capsys.readouterr().out)) == 4


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([], id="an empty list"),
        pytest.param(listed("Queued", "Queued"), id="earlier states"),
        pytest.param([{"id": "gen-001"}], id="nothing but an id"),
        pytest.param(
            [generation(REQUESTS[0], 0, "Success") | {"response": None, "finishedAt": None}],
            id="no response any more",
        ),
        pytest.param(listed("In Progress", first=1), id="another request only"),
        pytest.param(httpx.Response(500), id="an error"),
    ],
)
def test_forgets_nothing_that_an_earlier_poll_told(
    monkeypatch: pytest.MonkeyPatch, later: Any
) -> None:
    """A result that was final once is final for good, answer and figures included."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 2)
    first = listed("Success", "In Progress")
    results = poll(answering(first, later), REQUESTS[:2])

    assert results[0] == sample.parse_generation(first[0])
    assert len(results) == 2


def test_takes_what_a_later_poll_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that was not there when the state was first final is taken when it comes."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 2)
    complete = listed("Success")[0]
    early = complete | {"response": None}
    client = answering([early, *listed("Queued", first=1)], [complete])
    results = poll(client, REQUESTS[:2])

    assert results[0].answer == "The capital of France is Paris."


def test_waits_for_requests_that_are_not_listed_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """Two finished of two listed are not all, when three were submitted."""
    client = answering(listed("Success", "Failed"), listed("Success", "Failed", "Success"))
    results = poll(client, REQUESTS[:3])

    assert poll_lines(capsys.readouterr().out) == [
        f"  [  1] |{'█' * 20}{'░' * 10}| 2/3 (66%)",
        f"  [  2] |{'█' * 30}| 3/3 (100%)",
    ]
    assert states_of(results) == {"req-001": "Success", "req-002": "Failed", "req-003": "Success"}


@pytest.mark.parametrize(
    ("done", "filled"), [(0, 0), (1, 4), (3, 12), (6, 25), (7, 30)], ids=lambda value: str(value)
)
def test_fills_the_bar_by_whole_cells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, done: int, filled: int
) -> None:
    """The bar has floor(30 * done / total) filled cells."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    states = ["Success"] * done + ["Queued"] * (7 - done)
    poll(answering(listed(*states)), REQUESTS[:7])

    bar = poll_lines(capsys.readouterr().out)[0].split("|")[1]
    assert bar == "█" * filled + "░" * (30 - filled)


def test_matches_results_by_custom_id_alone() -> None:
    """The questions are those that were sent, whatever order and echo the API answers with."""
    shuffled = listed("Success", "Success", "Success")[::-1]
    for each in shuffled:
        each["request"] = {"metadata": each["request"]["metadata"]}
    results = poll(answering(shuffled), REQUESTS[:3])

    assert [(result.custom_id, result.question) for result in results] == [
        ("req-001", "What is the capital of France?"),
        ("req-002", "What is 2 + 2?"),
        ("req-003", "Name one planet in our solar system."),
    ]
    assert results[1].answer == "2 + 2 equals 4."


def test_keeps_apart_what_has_the_same_id_or_none() -> None:
    """Every generation has a result, though ids are doubled, unknown or missing."""
    generations = listed("Success", "Success", "Success", "Success", "Success")
    generations[1]["request"] = generations[0]["request"]
    generations[2]["request"] = {"metadata": {"custom_id": "of somebody else"}}
    for nameless in generations[3:]:
        nameless["request"] = nameless["id"] = None
    results = poll(answering(generations), REQUESTS[:5])

    assert [(result.custom_id, result.state) for result in results] == [
        ("of somebody else", "Success"),
        ("req-001", "Success"),
        ("req-001", "Success"),
        ("req-002", "Not listed"),
        ("req-003", "Not listed"),
        ("req-004", "Not listed"),
        ("req-005", "Not listed"),
        (None, "Success"),
        (None, "Success"),
    ]


def test_asks_for_the_group_by_a_quoted_id() -> None:
    """An id of odd characters can reach no other path."""
    paths: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(200, json={"generations": []})

    for group_id in ["../..?x=1#y", "a/b", "ü %2F", "..a", "\ud800"]:
        sample.fetch_results(client_of(handler), group_id)

    assert paths == [
        b"/v1/async/group/..%2F..%3Fx%3D1%23y/generations",
        b"/v1/async/group/a%2Fb/generations",
        b"/v1/async/group/%C3%BC%20%252F/generations",
        b"/v1/async/group/..a/generations",
        b"/v1/async/group/%3F/generations",
    ]


def test_run_ends_when_the_group_does(run_main: MainRunner, clock: Clock) -> None:
    """Nothing is polled after the last result."""
    created = httpx.Response(200, json={"groupId": "group", "groupSize": 10})
    run = run_main(client=answering(created, listed(*["Success"] * 10), httpx.Response(500)))

    assert run.status == 0
    assert clock.sleeps == []


def test_repeated_custom_ids_do_not_mix_answers() -> None:
    """If all have the same one, and the list another order each time, pairs stay pairs."""
    generations = listed("Success", "Success", "Success")
    for each in generations:
        each["request"] = {**each["request"], "metadata": {"custom_id": "same"}}
    early = [each | {"state": "Queued", "response": None} for each in generations]
    first = [early[2], generations[0], early[1]]
    results = sample.poll_group(answering(first, generations[::-1]), "group", 3)

    assert {(result.question, result.answer) for result in results} == {
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is 2 + 2?", "2 + 2 equals 4."),
        ("Name one planet in our solar system.", "Mars is a planet in our solar system."),
    }
