"""When polls are sent and when they end, what is kept of them, and how a group is picked up."""

import re
import signal
import time
from typing import Any

import httpx
import pytest
from conftest import SCRIPT, json_response, listed, on_posix, play, run_sample
from mock_group_api import DONE, GROUP_ID, QUEUED, SAMPLE, MockGroupApi, requests_of

REPORT, COMPLETE = "GROUP GENERATION SUMMARY", "Generation complete!"


@pytest.mark.parametrize(
    ("interval", "poll_seconds", "starts", "slept"),
    [(2, 0.5, [0, 2, 4, 6], 4.5), (2, 3, [0, 3, 6, 9], 0), (0.25, 0.2, [0, 0.25, 0.5, 0.75], 0.15)],
)
def test_polls_start_an_interval_apart(
    interval: float, poll_seconds: float, starts: list[float], slept: float
) -> None:
    """The time that a poll takes is not added, and no pause follows the last."""
    constants: Any = {"POLL_INTERVAL_SECONDS": interval, "MAX_POLL_ATTEMPTS": 9 / 2}

    run = play(listed("Q"), poll_seconds=poll_seconds, **constants)

    assert (run.poll_starts, round(sum(run.sleeps), 6)) == (starts, slept)
    assert f"    • Poll interval: {interval}s\n" in run.out


@pytest.mark.parametrize(
    ("status", "retry_after", "start"),
    [
        *((429, "7", 8), (408, "60", 61), (425, "61", 61), (503, "9" * 5000, 61), (500, "0", 2)),
        *((429, each, 2) for each in ("-7", "nan", "", "Wed, 21 Oct 2099 07:28:00 GMT")),
    ],
)
def test_retry_after(status: int, retry_after: str, start: float) -> None:
    """The API may ask for one longer pause, in seconds and up to a minute, from its answer on."""
    busy = httpx.Response(status, headers={"Retry-After": retry_after})

    run = play(busy, listed("Q"), listed("SS"), poll_seconds=1)

    assert run.poll_starts == [0, start, start + 2]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        *((httpx.Response(status), f"HTTP {status}") for status in (408, 425, 429, 500, 599)),
        *((error("late"), "timed out") for error in (httpx.ReadTimeout, httpx.ConnectTimeout)),
        (httpx.ConnectError("refused"), "connection failed"),
        (httpx.RemoteProtocolError("no HTTP"), "connection failed"),
        (httpx.DecodingError("no gzip"), "not the expected JSON"),
        (httpx.Response(200, html="<html>"), "not the expected JSON"),
        (httpx.Response(200, content=b"\xff\xfe\x00"), "not the expected JSON"),
        (json_response([1]), "not the expected JSON"),
        (json_response({"generations": {}}), "not the expected JSON"),
    ],
)
def test_goes_on_after_a_poll_that_learned_nothing(answer: Any, words: str) -> None:
    """Its line says why and keeps the count of the poll before; the next comes at its time."""
    run = play(listed("SQ"), answer, listed("SS"))

    assert run.poll_lines[1] == f"  [  2] |{'█' * 15}{'░' * 15}| 1/2 (50%) ({words})"
    assert (run.poll_starts, sum(run.sleeps)) == ([0, 2, 4], 3)
    assert (run.status, run.err) == (0, "")


def test_a_new_group_may_not_be_there_yet() -> None:
    """Until the run's first list, though it be empty, a 404 is no error."""
    run = play(httpx.Response(404), httpx.Response(503), httpx.Response(404), listed("SS"))
    gone = play(httpx.Response(404), [], httpx.Response(404))

    words = [count.removeprefix("0/2 (0%) ") for count in run.counts]
    assert words == ["(not there yet)", "(HTTP 503)", "(not there yet)", "2/2 (100%)"]
    assert (gone.status, len(gone.poll_lines)) == (1, 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (json_response({"error": {"message": "No."}}, 400), "HTTP 400 Bad Request: No."),
        (json_response({"error": {"message": "No."}}, 401), "HTTP 401 Unauthorized: No."),
        (httpx.Response(404), "HTTP 404 Not Found"),
        (httpx.Response(302, headers={"Location": "https://a.b"}), "HTTP 302 Found: https://a.b"),
    ],
)
def test_a_poll_that_is_refused(answer: httpx.Response, error: str) -> None:
    """The run stops at once with the API's words, the report of what is known and the command."""
    run = play(listed("SQ"), answer)
    nothing = play(answer, arguments=("group", "2"))

    for each in (run, nothing):
        assert each.err.startswith(f"\nError: {error}\n")
        assert ("\n  Check the id of the group" in each.err) == ("401" not in error)
        assert each.command == ["async_polling_example.py", "group", "2"]
    assert [row.split()[1] for row in run.rows] == ["✓", "Queued"]
    assert (run.status, len(run.calls)) == (1, 3)
    assert (nothing.status, len(nothing.calls), nothing.out[-7:]) == (1, 1, "-----\n\n")


def test_a_group_of_which_nothing_is_listed() -> None:
    """It is never complete: after the last attempt come an error and the command, no report."""
    run = play(httpx.Response(503), [], arguments=("group",))

    assert run.err.startswith("\nError: The group is not complete yet.\n")
    assert (run.status, len(run.calls), run.command[1:]) == (1, 4, ["group"])
    assert "GROUP GENERATION SUMMARY" not in run.out


@pytest.mark.parametrize(
    ("lists", "last"),
    [
        (["SQ", ""], "1/2 (50%) (⏳ 0 running, 1 queued)"),
        (["QQ", "S", "I"], "0/2 (0%) (⏳ 0 running, 2 queued)"),
        (["SQ", "IS"], "1/2 (50%) (⏳ 1 running, 0 queued)"),
        (["FQ", "IQ"], "0/2 (0%) (⏳ 1 running, 1 queued)"),
        (["SSQ", "SSS"], "3/3 (100%)"),
        (["EQ", "EE"], "0/2 (0%)"),
    ],
)
def test_keeps_the_newest_list(lists: list[str], last: str) -> None:
    """But one that is shorter than an earlier one is out of date."""
    run = play(*map(listed, lists), MAX_POLL_ATTEMPTS=len(lists))

    assert run.counts[-1] == last


def test_picks_a_group_up() -> None:
    """It submits nothing; the questions come from the API's list, the rows stand by id."""
    run = play(listed("S"), listed("SS")[::-1], arguments=("..", "2"), QUESTIONS=["Another?"])

    # The dots are quoted, or this would be another path of the API.
    calls = [(call.method, call.url.raw_path) for call in run.calls]
    assert calls == [("GET", b"/v1/async/group/%2E%2E/generations")] * 2
    assert "Configuration:\n    • Group to pick up: ..\n    • Poll interval: 2s\n\n" in run.out
    assert [row.split()[0] for row in run.rows] == ["req-001", "req-002"]
    assert run.rows[1].endswith("What is 2 + 2?                 2 + 2 equals 4.")
    assert "      Total wall-clock time:        n/a\n" in run.out
    assert (run.status, run.err) == (0, "")


def test_picks_a_group_up_without_its_size() -> None:
    """The run ends when all that was ever listed is final."""
    run = play(listed("Q"), listed("QSSS"), listed("SSSS"), arguments=("group",))

    assert [count[:9].strip() for count in run.counts] == ["0/1 (0%)", "3/4 (75%)", "4/4 (100%"]
    assert (run.status, run.command) == (0, [])


def test_the_question_is_the_one_that_is_answered() -> None:
    """It is what the API lists with the answer or, if it lists none, one's own."""
    generations = listed("SS")
    generations[0]["request"] = requests_of("What is 3 + 3?")[0]
    del generations[1]["request"]["messages"]

    run = play(generations)

    assert [row[24:38] for row in run.rows] == ["What is 3 + 3?", "What is 2 + 2?"]


@pytest.mark.parametrize(
    ("custom_ids", "rows"),
    [
        (["b", "c"], ["c ✓", "a Not", "b ✓"]),
        (["b", None, "c"], ["c ✓", "a Not", "b ✓", "n/a ✓"]),
        (["y", "b", "x", "a"], ["c Not", "a ✓", "b ✓", "x ✓", "y ✓"]),
        ([None, None, None], ["c Not", "a Not", "b Not", "n/a ✓", "n/a ✓", "n/a ✓"]),
    ],
)
def test_rows_of_what_does_not_match(custom_ids: list[Any], rows: list[str]) -> None:
    """What was sent, as c, a and b, keeps its row in that order; what was not comes last."""
    sent, got = ([{"metadata": {"custom_id": i}} for i in ids] for ids in ("cab", custom_ids))
    generations = [{"state": "Success", "request": request} for request in got]

    run = play(generations, code=f"def build_requests(): return {sent}")

    assert [" ".join(row.split()[:2]) for row in run.rows] == rows
    assert (run.status, run.command[1:]) == (1, ["group", "3"])


def test_of_what_is_listed_twice_the_last_counts() -> None:
    """Five answers that are listed twice are five of ten."""
    run = play(listed("QQQQQ") + listed("SSSSS"), NUM_REQUESTS=10)

    assert run.counts == ["5/10 (50%)"] * 4
    assert (run.status, run.command[1:]) == (1, ["group", "10"])


def test_long_answers_take_no_time() -> None:
    """Fifty of 64 KiB are polled and summarised in half a second of the processor."""
    generations = listed("S" * 50)
    for each in generations:
        each["response"]["choices"][0]["message"]["content"] = "法法法法法 " * 2**12
    start = time.process_time()

    run = play(generations, arguments=("group", "50"))

    assert (run.status, len(run.rows)) == (0, 50)
    assert time.process_time() - start < 0.5


def test_the_attempts_run_out() -> None:
    """All that did finish is summarised, and the next run is run with what the command tells."""
    with MockGroupApi([["Success", "In Progress"], DONE]) as api:
        first = run_sample(api, NUM_REQUESTS=3, MAX_POLL_ATTEMPTS=1)
        second = run_sample(api, *first.command[1:])

    assert COMPLETE not in first.out
    assert first.err.startswith("\nError: The group is not complete yet.\n\nTo poll it again, ")
    assert (first.status, first.command) == (1, [SCRIPT, GROUP_ID, "3"])
    assert (second.status, second.err, len(api.submissions)) == (0, "", 1)


@on_posix
@pytest.mark.parametrize(
    ("group_id", "path"),
    [
        ("-dash", "-dash"),
        ("it's; rm -rf ~ #", "it%27s%3B%20rm%20-rf%20~%20%23"),
        ("../..?x=ü", "%2E%2E%2F%2E%2E%3Fx%3D%C3%BC"),
    ],
)
def test_odd_ids(group_id: str, path: str) -> None:
    """Whatever an id is made of, it reaches no other path, and the command hands it on whole."""
    first = play([], submission=json_response({"groupId": group_id}), NUM_REQUESTS=1)
    second = play(listed("S"), arguments=tuple(first.command[1:]))

    assert (first.command[-2:], second.status) == ([group_id, "1"], 0)
    paths = {call.url.raw_path.decode() for call in [first.calls[1], *second.calls]}
    assert paths == {f"/v1/async/group/{path}/generations"}


# Code that does something when words are about to be printed
ON_WORDS = """
import io
class Watched(io.TextIOWrapper):
    def write(self, text):
        if {words!r} in text:
            {action}
        return super().write(text)
sys.stdout = Watched(sys.stdout.detach(), "utf-8", newline="\\n")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(number: int) -> None:
    """Ctrl-C, be it twice, or SIGTERM leaves a report and the command; before, there is no id."""

    def stop(_: object) -> Any:
        signal.raise_signal(number)

    again = ON_WORDS.format(words="Token Usage", action="signal.raise_signal(signal.SIGINT)")
    run = play(listed("SQ"), stop, code=again)
    nothing_yet, no_id = play(stop), play(submission=stop)

    assert run.out.endswith(f"{run.rows[-1]}\n")
    assert [row.split()[1] for row in run.rows] == ["✓", "Queued"]
    assert run.err.startswith("\nStopped.\n\nTo poll it again, run this ")
    assert (run.status, run.command, len(run.calls)) == (130, [SAMPLE.name, "group", "2"], 3)
    assert REPORT not in nothing_yet.out
    assert (nothing_yet.status, nothing_yet.err) == (130, run.err)
    assert no_id.err.startswith("\nStopped.\nThe group may exist all the same")
    assert (no_id.status, no_id.command, len(no_id.calls)) == (130, [], 1)


@pytest.mark.parametrize("words", ["Group created", "[  1]", REPORT, "Token Usage", COMPLETE])
def test_stopped_while_something_is_printed(words: str) -> None:
    """The command is told until the report of the group is out."""
    code = ON_WORDS.format(words=words, action="signal.raise_signal(signal.SIGINT)")

    run = play(listed("SS"), code=code)

    assert (run.status, run.command) == (130, [SAMPLE.name, "group", "2"])


@on_posix
def test_a_reader_that_goes_away() -> None:
    """`... | head` ends quietly: no traceback, and no complaint of the interpreter's."""
    with MockGroupApi([QUEUED] * 9 + [DONE]) as api:
        run = run_sample(api, env={"PATH": "/bin:/usr/bin"}, shell='"$@" | head -n 22')

    assert run.out.count("\n") == 22
    assert not re.search("Traceback|Exception", run.err)
