"""When polls are sent, when they end, and what is kept of what they told."""

from functools import partial
from typing import Any

import httpx
import pytest
from conftest import Play, json_response, listed, requests_of
from mock_group_api import generation


@pytest.fixture
def poll(play: Play) -> Play:
    """Return `play` for four polls at most, two seconds apart unless a test says otherwise."""
    return partial(play, MAX_POLL_ATTEMPTS=4, POLL_INTERVAL_SECONDS=2)


def counts(*lines: str) -> list[str]:
    """Return what stands behind the bars of poll lines."""
    return [line.rpartition("| ")[2] for line in lines]


# When


@pytest.mark.parametrize(
    ("interval", "poll_seconds", "starts"),
    [
        pytest.param(2, 0, [0, 2, 4, 6], id="polls that take no time"),
        pytest.param(2, 0.5, [0, 2, 4, 6], id="the time that a poll takes is not added"),
        pytest.param(2, 3, [0, 3, 6, 9], id="after a longer poll the next comes at once"),
        pytest.param(0.25, 0.1, [0, 0.25, 0.5, 0.75], id="an interval may be a fraction"),
    ],
)
def test_polls_start_an_interval_apart(
    play: Play, interval: float, poll_seconds: float, starts: list[float]
) -> None:
    """POLL_INTERVAL_SECONDS lie between the starts, and no pause follows the last attempt."""
    run = play(
        listed("Queued"),
        poll_seconds=poll_seconds,
        POLL_INTERVAL_SECONDS=interval,
        MAX_POLL_ATTEMPTS=4,
    )

    assert run.poll_starts == starts
    assert len(run.sleeps) == 3


def test_ends_when_the_group_does(poll: Play) -> None:
    """After the last result there is neither another poll nor a pause."""
    run = poll(listed("Success"), NUM_REQUESTS=1)

    assert (run.status, len(run.polls), run.sleeps) == (0, 1, [])


@pytest.mark.parametrize(
    ("retry_after", "start"),
    [
        pytest.param("7", 7, id="seconds"),
        pytest.param("60", 60, id="the most"),
        pytest.param("3600", 60, id="too many"),
        pytest.param("9" * 5000, 60, id="far too many"),
        pytest.param("1", 2, id="less than the interval"),
        pytest.param("-7", 2, id="negative"),
        pytest.param("soon", 2, id="no number"),
        pytest.param("", 2, id="empty"),
        pytest.param("nan", 2, id="not a number"),
        pytest.param("Wed, 21 Oct 2099 07:28:00 GMT", 2, id="a date"),
    ],
)
def test_retry_after(poll: Play, retry_after: str, start: float) -> None:
    """The API may ask for a longer pause, in seconds and up to a minute."""
    busy = httpx.Response(429, headers={"Retry-After": retry_after})
    run = poll(busy, listed("Success"), NUM_REQUESTS=1)

    assert run.poll_starts == [0, start]


@pytest.mark.parametrize("status", [408, 425, 500, 503])
def test_retry_after_whatever_the_status(poll: Play, status: int) -> None:
    """It counts from the answer that holds it, and for one pause only."""
    busy = httpx.Response(status, headers={"Retry-After": "7"})
    run = poll(busy, listed("Queued"), listed("Success"), NUM_REQUESTS=1, poll_seconds=1)

    assert run.poll_starts == [0, 8, 10]


# Polls that learn nothing


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404), "not there yet: HTTP 404"),
        (httpx.Response(408), "HTTP 408 Request Timeout"),
        (httpx.Response(425), "HTTP 425 Too Early"),
        (httpx.Response(429), "HTTP 429 Too Many Requests"),
        (httpx.Response(502, html="<html>"), "HTTP 502 Bad Gateway"),
        (httpx.Response(520), "HTTP 520"),
        (httpx.ReadTimeout("no answer"), "timed out"),
        (httpx.ConnectTimeout("no answer"), "timed out"),
        (httpx.ConnectError("refused"), "connection failed"),
        (httpx.ReadError("reset"), "connection failed"),
        (httpx.RemoteProtocolError("no HTTP"), "connection failed"),
        (httpx.DecodingError("no gzip"), "not the expected JSON"),
        (httpx.Response(200, html="<html>"), "not the expected JSON"),
        (httpx.Response(200, text="[" * 100_000), "not the expected JSON"),
        (httpx.Response(200, content=b"\xff\xfe\x00"), "not the expected JSON"),
        (httpx.Response(204), "not the expected JSON"),
        (json_response(None), "not the expected JSON"),
        (json_response([1]), "not the expected JSON"),
        (json_response({"generations": None}), "not the expected JSON"),
        (json_response({"generations": {}}), "not the expected JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_goes_on_after_a_poll_that_learned_nothing(
    poll: Play, answer: httpx.Response | Exception, words: str
) -> None:
    """Its line says why and keeps the count of the poll before; the next comes at its time."""
    run = poll(listed("Success", "Queued"), answer, listed("Success", "Success"), NUM_REQUESTS=2)

    assert run.poll_lines == [
        f"  [  1] |{'█' * 15}{'░' * 15}| 1/2 (50%) (⏳ 0 running, 1 queued)",
        f"  [  2] |{'█' * 15}{'░' * 15}| 1/2 (50%) ({words})",
        f"  [  3] |{'█' * 30}| 2/2 (100%)",
    ]
    assert run.poll_starts == [0, 2, 4]
    assert (run.status, run.err) == (0, "")


def test_a_failed_poll_is_one_attempt(poll: Play) -> None:
    """Nothing but the loop tries again: four attempts are four calls and four lines."""
    run = poll(httpx.Response(503), NUM_REQUESTS=1)

    assert (len(run.polls), len(run.poll_lines), len(run.sleeps)) == (4, 4, 3)


# Polls that end the run


@pytest.mark.parametrize("status", [400, 401, 402, 403, 410, 422])
def test_a_poll_is_refused(poll: Play, status: int) -> None:
    """The run stops at once, with the API's words and the command that picks the group up."""
    refusal = json_response({"error": {"message": "No."}}, status)
    run = poll(listed("Queued"), refusal, NUM_REQUESTS=2)

    assert run.err.startswith(f"Error: HTTP {status} ")
    assert ": No.\n" in run.err
    assert run.command
    assert run.command[-2:] == ["group", "2"]
    assert "GROUP GENERATION SUMMARY" not in run.out
    assert (run.status, len(run.polls)) == (1, 2)


def test_a_poll_is_redirected(poll: Play) -> None:
    """The error says where it leads, and nothing is sent there."""
    run = poll(httpx.Response(302, headers={"Location": "https://elsewhere.example/"}))

    assert run.err.startswith("Error: HTTP 302 Found: https://elsewhere.example/")
    assert run.command
    assert (run.status, len(run.polls)) == (1, 1)


def test_a_submitted_group_may_take_a_moment_to_be_there(poll: Play) -> None:
    """A 404 does not end the run that submitted."""
    run = poll(httpx.Response(404), httpx.Response(404), listed("Success"), NUM_REQUESTS=1)

    assert (run.status, len(run.polls), run.err) == (0, 3, "")


def test_a_picked_up_group_that_is_not_there(poll: Play) -> None:
    """The run stops at once and asks for the id; there is nothing to pick up."""
    run = poll(httpx.Response(404), arguments=("group", "2"))

    assert run.err.startswith("Error: HTTP 404 Not Found")
    assert " id" in run.err
    assert run.command is None
    assert (run.status, len(run.polls)) == (1, 1)


# Lists that change


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        pytest.param(
            listed("Success", "Queued"), [], "1/2 (50%) (⏳ 0 running, 1 queued)", id="nothing"
        ),
        pytest.param(
            listed("Success", "Queued"),
            listed("Queued", "Queued"),
            "1/2 (50%) (⏳ 0 running, 1 queued)",
            id="fewer final results",
        ),
        pytest.param(
            listed("Success"),
            listed("Queued", "Queued"),
            "1/2 (50%)",
            id="fewer final results, though longer",
        ),
        pytest.param(
            listed("Queued", "Queued"),
            listed("In Progress"),
            "0/2 (0%) (⏳ 0 running, 2 queued)",
            id="as many final results, but shorter",
        ),
        pytest.param(
            listed("Queued", "Queued"),
            listed("In Progress", "Queued"),
            "0/2 (0%) (⏳ 1 running, 1 queued)",
            id="equal, so the later",
        ),
    ],
)
def test_keeps_the_list_that_tells_more(
    play: Play, earlier: list[Any], later: list[Any], kept: str
) -> None:
    """The one with more final results, of equals the longer, then the later."""
    run = play(earlier, later, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=2)

    assert counts(run.poll_lines[1]) == [kept]


def test_an_empty_list_tells_less_than_any(play: Play) -> None:
    """Even if the one request that was listed has no result yet."""
    run = play(listed("Queued"), [], NUM_REQUESTS=1, MAX_POLL_ATTEMPTS=2)

    assert counts(*run.poll_lines) == ["0/1 (0%) (⏳ 0 running, 1 queued)"] * 2


def test_takes_lists_as_wholes(poll: Play) -> None:
    """What one list tells is not mixed with what another does."""
    run = poll(listed("Success", "Queued"), listed("Queued", "Success"), NUM_REQUESTS=2)

    assert counts(*run.poll_lines) == ["1/2 (50%) (⏳ 0 running, 1 queued)"] * 4
    assert [row.split()[:2] for row in run.rows] == [["req-001", "Queued"], ["req-002", "✓"]]


def test_a_failure_that_the_api_tries_again(poll: Play) -> None:
    """Failed, then Success: the later list counts."""
    run = poll(
        listed("Failed", "Queued"),
        listed("In Progress", "Success"),
        listed("Success", "Success"),
        NUM_REQUESTS=2,
    )

    assert [row.split()[:3] for row in run.rows] == [
        ["req-001", "✓", "Success"],
        ["req-002", "✓", "Success"],
    ]
    assert run.status == 0


def test_a_custom_id_that_appears_late(poll: Play) -> None:
    """A request that was listed without one has a single row in the end."""
    early = [listed("Queued")[0] | {"request": None}, *listed("Success", first=1)]
    run = poll(early, listed("Success", "Success"), NUM_REQUESTS=2)

    assert counts(*run.poll_lines) == ["1/2 (50%) (⏳ 0 running, 1 queued)", "2/2 (100%)"]
    assert [row.split()[0] for row in run.rows] == ["req-001", "req-002"]


def test_ids_that_change_between_polls(poll: Play) -> None:
    """A generation's own id tells nothing."""
    early = [each | {"id": f"old-{each['id']}"} for each in listed("Success", "Queued")]
    run = poll(early, listed("Success", "Success"), NUM_REQUESTS=2)

    assert counts(run.poll_lines[-1]) == ["2/2 (100%)"]
    assert len(run.rows) == 2


def test_waits_for_requests_that_are_not_listed_yet(poll: Play) -> None:
    """Two finished of two listed are not all, when three were submitted."""
    answers = listed("Success", "Failed"), listed("Success", "Failed", "Success")
    run = poll(*answers, NUM_REQUESTS=3)

    assert run.poll_lines == [
        f"  [  1] |{'█' * 20}{'░' * 10}| 2/3 (66%)",
        f"  [  2] |{'█' * 30}| 3/3 (100%)",
    ]


def test_waits_for_more_than_was_submitted(poll: Play) -> None:
    """A list that is longer than the group is believed."""
    answers = listed("Success", "Success", "Queued"), listed("Success", "Success", "Success")
    run = poll(*answers, NUM_REQUESTS=2)

    assert counts(*run.poll_lines) == ["2/3 (66%) (⏳ 0 running, 1 queued)", "3/3 (100%)"]
    assert len(run.rows) == 3
    assert run.status == 0


def test_a_state_that_is_not_documented_is_not_final(poll: Play) -> None:
    """It is waited for until the attempts run out."""
    run = poll(listed("Expired"), NUM_REQUESTS=1)

    assert counts(*run.poll_lines) == ["0/1 (0%)"] * 4
    assert run.status == 1


@pytest.mark.parametrize(("done", "filled"), [(0, 0), (1, 4), (3, 12), (6, 25), (7, 30)])
def test_fills_the_bar_by_whole_cells(play: Play, done: int, filled: int) -> None:
    """The bar has floor(30 * done / total) filled cells."""
    generations = listed(*["Success"] * done, *["Queued"] * (7 - done))
    run = play(generations, NUM_REQUESTS=7, MAX_POLL_ATTEMPTS=1)

    assert run.poll_lines[0].split("|")[1] == "█" * filled + "░" * (30 - filled)


# Which group


@pytest.mark.parametrize(
    ("group_id", "path"),
    [
        ("../..?x=1#y", b"..%2F..%3Fx%3D1%23y"),
        ("a/b", b"a%2Fb"),
        ("ü %2F", b"%C3%BC%20%252F"),
        ("..a", b"..a"),
    ],
)
def test_quotes_the_id_in_the_path(poll: Play, group_id: str, path: bytes) -> None:
    """An id of odd characters can reach no other path."""
    run = poll(listed("Success"), arguments=(group_id,))

    assert [call.url.raw_path for call in run.calls] == [
        b"/v1/async/group/" + path + b"/generations"
    ]


# Which answer belongs to which request


def test_matches_by_custom_id_alone(poll: Play) -> None:
    """The questions are those that were sent, whatever order and echo the API answers with."""
    shuffled = listed("Success", "Success", "Success")[::-1]
    for each in shuffled:
        each["request"] = {"metadata": each["request"]["metadata"]}
    run = poll(shuffled, NUM_REQUESTS=3, QUESTIONS=["France?", "2 + 2?", "A planet?"])

    assert [row.split() for row in run.rows] == [
        *(["req-001", "✓", "Success", "France?", "The", "capital", "of", "France..."],),
        *(["req-002", "✓", "Success", "2", "+", "2?", "2", "+", "2", "equals", "4."],),
        *(["req-003", "✓", "Success", "A", "planet?", "Mars", "is", "a", "planet", "in..."],),
    ]


def own_requests(*custom_ids: str) -> tuple[str, list[Any]]:
    """Return code that replaces build_requests by one with these ids, and the requests."""
    requests = requests_of(*(f"{custom_id}?" for custom_id in custom_ids))
    for request, custom_id in zip(requests, custom_ids):
        request["metadata"]["custom_id"] = custom_id
    return f"def build_requests(): return {requests!a}", requests


@pytest.mark.parametrize(
    "custom_ids", [("row-1", "row-2", "row-10"), ("zeta", "alpha", "Mu")], ids=["numbers", "CSV"]
)
def test_rows_stand_in_the_order_sent(poll: Play, custom_ids: tuple[str, ...]) -> None:
    """Neither the API's order nor the alphabet counts."""
    code, requests = own_requests(*custom_ids)
    generations = [generation(each, i, "Success") for i, each in enumerate(requests)]
    run = poll(generations[::-1], code=code)

    assert [row.split()[0] for row in run.rows] == list(custom_ids)
    assert [row.split()[3] for row in run.rows] == [f"{each}?" for each in custom_ids]


def test_rows_of_what_was_not_sent_come_last(poll: Play) -> None:
    """Every generation has a row, though its id is doubled, unknown or missing."""
    generations = listed(*["Success"] * 5)[::-1]
    generations[0]["request"] = None
    generations[1]["request"] = {"metadata": {"custom_id": "another"}}
    generations[2]["request"] = {"metadata": {"custom_id": "req-002"}}
    run = poll(generations, NUM_REQUESTS=2)

    ids = [row.split()[0] for row in run.rows]
    assert ids[:3] == ["req-001", "req-002", "req-002"]
    assert sorted(ids[3:]) == ["another", "n/a"]


def test_rows_of_a_picked_up_group_stand_by_id(poll: Play) -> None:
    """The API's order tells nothing."""
    run = poll(listed("Success", "Success", "Success")[::-1], arguments=("group",))

    assert [row.split()[0] for row in run.rows] == ["req-001", "req-002", "req-003"]


@pytest.mark.parametrize(
    ("generations", "missing"),
    [
        pytest.param(listed("Success"), ["req-002", "req-003"], id="two are missing"),
        pytest.param(listed("Success", first=2), ["req-001", "req-002"], id="the first two"),
        pytest.param([{"state": "Success"}, *listed("Success")], ["req-002"], id="one has no id"),
        pytest.param([{"state": "Success"}] * 3, [], id="none has an id"),
        pytest.param(listed("Success") * 4, [], id="all have the same id"),
    ],
)
def test_rows_of_what_is_not_listed(poll: Play, generations: list[Any], missing: list[str]) -> None:
    """There are only as many as the list is short of the group."""
    run = poll(generations, NUM_REQUESTS=3)

    assert [row.split()[0] for row in run.rows if "Not listed" in row] == missing
    assert len(run.rows) == max(3, len(generations))
