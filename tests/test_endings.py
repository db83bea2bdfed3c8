"""Runs that end before their group does, and how the group is picked up again."""

import signal
from typing import Any

import pytest
from conftest import SCRIPT, json_response, listed, on_posix, play, run_sample
from mock_group_api import DONE, FINISHED_GROUP_ID, GROUP_ID, QUEUED, SAMPLE, MockGroupApi
from starlette.types import Receive, Scope, Send

COMPLETE = "Generation complete!"
REPORT = "GROUP GENERATION SUMMARY"


def test_the_attempts_run_out() -> None:
    """All that did finish is summarised, and the next run is run with what the command tells."""
    with MockGroupApi([["Success", "In Progress"], DONE]) as api:
        first = run_sample(api, NUM_REQUESTS=3, MAX_POLL_ATTEMPTS=1)
        second = run_sample(api, *first.command[1:])

    assert COMPLETE not in first.out
    assert first.err.startswith("Error: The group is not complete yet.\n\nTo poll it again, ")
    assert (first.status, first.command) == (1, [SCRIPT, GROUP_ID, "3"])
    assert COMPLETE in second.out
    assert (second.status, second.err, len(api.submissions)) == (0, "", 1)


@on_posix
@pytest.mark.parametrize(
    ("group_id", "path"),
    [
        ("--help", "--help"),
        ("it's; rm -rf ~ #", "it%27s%3B%20rm%20-rf%20~%20%23"),
        ("../..?x=ü", "%2E%2E%2F%2E%2E%3Fx%3D%C3%BC"),
        ("long-" * 50, "long-" * 50),
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
def test_stopped_while_polling(number: int) -> None:
    """Ctrl-C, be it twice, or SIGTERM leaves the report of what has arrived, and the command."""

    def stop(_: object) -> Any:
        signal.raise_signal(number)

    again = ON_WORDS.format(words="Token Usage", action="signal.raise_signal(signal.SIGINT)")
    run = play(listed("SQ"), stop, code=again)
    nothing_yet = play(stop)

    assert run.out.endswith(f"{run.rows[-1]}\n")
    assert [row.split()[1] for row in run.rows] == ["✓", "Queued"]
    assert run.err.startswith("\nStopped.\n\nTo poll it again, run this ")
    assert (run.status, run.command, len(run.calls)) == (130, [SAMPLE.name, "group", "2"], 3)
    assert REPORT not in nothing_yet.out
    assert (nothing_yet.status, nothing_yet.err) == (130, run.err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_submitting(number: int) -> None:
    """Without an id there is no command, but there may be a group."""
    run = play(submission=lambda _: signal.raise_signal(number))

    assert run.err.startswith("\nStopped.\nThe group may exist all the same")
    assert (run.status, run.command, len(run.calls)) == (130, [], 1)


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
    assert "Traceback" not in run.err
    assert "Exception" not in run.err


def test_code_of_the_users_own_that_fails() -> None:
    """What nobody foresaw, after the last poll, is told, and the answers are not lost."""
    code = ON_WORDS.format(words="Token Usage", action="raise LookupError('a mistake of mine')")
    with MockGroupApi([DONE]) as api:
        run = run_sample(api, code=code)

    assert "LookupError: a mistake of mine" in run.err
    assert (run.status, run.command) == (1, [SCRIPT, GROUP_ID, "10"])


async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection in the middle of the body."""
    headers = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


def test_a_network_that_fails() -> None:
    """A poll fails in its own way and says so; a submission is sent once, and may have arrived."""
    with MockGroupApi([break_off, DONE]) as api:
        run = run_sample(api, FINISHED_GROUP_ID, "10")
    with MockGroupApi(submission=break_off) as api:
        lost = run_sample(api)

    assert run.counts == ["0/10 (0%) (connection failed)", "10/10 (100%)"]
    assert (run.status, run.err) == (0, "")
    assert "\n  The group may exist all the same" in lost.err
    assert (lost.status, lost.command, len(api.calls)) == (1, [], 1)
