"""Runs that end before their group does, and how the group is picked up again."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import (
    Play,
    RunSample,
    edited_sample,
    environment,
    listed,
    pick_up_command,
    run_to_end,
)
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, json_response
from network_faults import stall
from starlette.types import ASGIApp, Receive, Scope, Send

on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals and shells")
with_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="no device that is always full"
)


def test_the_attempts_run_out(run_sample: RunSample) -> None:
    """All that did finish is summarised, every other request has a row, and the command follows."""
    with MockGroupApi([["Success"] * 3 + ["In Progress"] + ["Queued"] * 2]) as api:
        run = run_sample(api, NUM_REQUESTS=8, MAX_POLL_ATTEMPTS=3)

    assert re.findall(r"(?m)^  (req-\d+) +(.+?)  ", run.stdout) == [
        ("req-001", "✓ Success"),
        ("req-002", "✓ Success"),
        ("req-003", "✓ Success"),
        ("req-004", "In Progress"),
        ("req-005", "Queued"),
        ("req-006", "Queued"),
        ("req-007", "Not listed"),
        ("req-008", "Not listed"),
    ]
    assert "      Unfinished:     5\n" in run.stdout
    assert "omplete" not in run.stdout.rpartition("Correlation")[2]
    assert len(api.poll_paths) == 3
    assert pick_up_command(run.stderr) == ["uv", "run", run.args[1], GROUP_ID, "8"]
    assert run.returncode == 1


# The command that picks the group up


def test_the_command_picks_the_group_up(run_sample: RunSample) -> None:
    """What one run prints to stderr is what the next one is run with."""
    with MockGroupApi([["Success"], DONE]) as api:
        first = run_sample(api, NUM_REQUESTS=3, MAX_POLL_ATTEMPTS=1)
        command = pick_up_command(first.stderr)
        assert command
        second = run_sample(api, *command[3:])

    assert len(api.submissions) == 1
    assert "Generation complete!" in second.stdout
    assert (second.returncode, second.stderr) == (0, "")


def test_the_command_without_a_size(play: Play) -> None:
    """A run that was not told the size hands on the id alone."""
    first = play([], arguments=("group",), MAX_POLL_ATTEMPTS=1)
    assert first.command
    second = play(listed("Success"), arguments=tuple(first.command[3:]))

    assert first.command[3:] == ["group"]
    assert second.status == 0


def test_the_command_names_the_script_as_it_was_run(tmp_path: Path) -> None:
    """Its path is that of the first command, and quoted if need be."""
    (tmp_path / "my scripts").mkdir()
    edited_sample(tmp_path / "my scripts", MAX_POLL_ATTEMPTS=1)
    script = os.path.join("my scripts", "async_polling_example.py")
    with MockGroupApi([QUEUED]) as api:
        command = [sys.executable, script, GROUP_ID, "10"]
        run = run_to_end(command, environment(api.url), cwd=tmp_path)

    quoted = f'"{script}"' if os.name == "nt" else shlex.quote(script)
    assert f"\n  uv run {quoted} {GROUP_ID} 10\n" in run.stderr


@on_posix
@pytest.mark.parametrize(
    "group_id",
    ["-starts-with-a-dash", "--help", "a b", "it's; rm -rf ~ #", "$(reboot)", "ünïcödé", "*", "é~"],
)
def test_the_command_suits_odd_ids(play: Play, group_id: str) -> None:
    """Whatever the id is made of, the command hands on that id and nothing else."""
    created = httpx.Response(200, json={"groupId": group_id, "groupSize": 1})
    first = play([], submission=created, NUM_REQUESTS=1, MAX_POLL_ATTEMPTS=1)
    assert first.command
    second = play(listed("Success"), arguments=tuple(first.command[3:]))

    assert first.command[-2:] == [group_id, "1"]
    assert [call.url for call in second.calls] == [first.polls[0].url]


def test_the_command_is_on_one_line_however_long(play: Play) -> None:
    """It can be copied whole."""
    created = httpx.Response(200, json={"groupId": "long-" * 50, "groupSize": 1})
    run = play([], submission=created, NUM_REQUESTS=1, MAX_POLL_ATTEMPTS=1)

    assert run.command
    assert run.command[-2:] == ["long-" * 50, "1"]


# Picking up


def test_picks_a_group_up(play: Play) -> None:
    """It submits nothing; the questions come from the API's list, the size from the command."""
    answers = listed("Success"), listed("Success", "Success")
    run = play(*answers, arguments=("group", "2"), QUESTIONS=["Another?"])

    assert [str(call.url) for call in run.calls] == [
        "http://api.test/v1/async/group/group/generations"
    ] * 2
    assert "    • Group to pick up: group\n" in run.out
    assert "Submitting" not in run.out
    assert "  req-002    ✓ Success  What is 2 + 2?                 2 + 2 equals 4." in run.rows
    assert re.search(r"Total wall-clock time: +n/a\n", run.out)
    assert "Generation complete!" in run.out
    assert (run.status, run.err) == (0, "")


def test_picks_a_group_up_without_its_size(play: Play) -> None:
    """The run ends when all that is listed is final, and says that it is no more than that."""
    run = play(listed("Queued", *["Success"] * 4), listed(*["Success"] * 5), arguments=("group",))

    assert "All 5 listed requests are complete." in run.out
    assert "Generation complete!" not in run.out
    assert (run.status, len(run.polls), run.command) == (0, 2, None)


def test_a_group_that_grows_while_it_is_polled(play: Play) -> None:
    """Without a size the number to wait for is that of the longest list so far."""
    lists = listed("Queued"), listed("Queued", *["Success"] * 3), listed(*["Success"] * 4)
    run = play(*lists, arguments=("group",), MAX_POLL_ATTEMPTS=3)

    assert re.findall(r"\d/\d \(\d+%\)", run.out) == ["0/1 (0%)", "3/4 (75%)", "4/4 (100%)"]
    assert run.status == 0


def test_an_empty_list_is_never_complete(play: Play) -> None:
    """A group of which nothing is ever listed ends with an error, and no empty report."""
    run = play([], arguments=("group",), MAX_POLL_ATTEMPTS=3)

    assert run.out.count("0/0 (0%)") == 3
    assert "GROUP GENERATION SUMMARY" not in run.out
    assert run.err.startswith("Error: ")
    assert run.command
    assert run.status == 1


@pytest.mark.parametrize(
    ("states", "status", "complete"),
    [
        (["Success", "Success"], 0, True),
        (["Success", "Failed"], 1, True),
        (["Failed", "Failed"], 1, True),
        (["Success", "Queued"], 1, False),
        (["Success", "Expired"], 1, False),
        (["Success"], 1, False),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else "",
)
def test_exit_status(play: Play, states: list[str], status: int, complete: bool) -> None:
    """It is 0 only if every request succeeded; a group that is complete needs no command."""
    run = play(listed(*states), arguments=("group", "2"), MAX_POLL_ATTEMPTS=1)

    assert run.status == status
    assert ("Generation complete!" in run.out) == complete
    assert (run.command is None) == complete


# Signals

# Code that does something when words are about to be printed, before each of them is
ON_WORDS = """
import io, os, signal
class Watched(io.TextIOWrapper):
    def write(self, text):
        if WORDS in text:
            ACTION
        return super().write(text)
sys.stdout = Watched(sys.stdout.detach(), "utf-8", newline="\\n")
"""


def on_words(words: str, action: str) -> str:
    return ON_WORDS.replace("WORDS", ascii(words)).replace("ACTION", action)


def tell_to_stop(number: signal.Signals) -> Callable[[httpx.Request], list[Any]]:
    """Return an answer that never comes, because a signal does."""

    def answer(_: httpx.Request) -> list[Any]:
        signal.raise_signal(number)
        return []

    return answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_during_a_poll(play: Play, number: signal.Signals) -> None:
    """Ctrl-C, or being told to end, leaves the command and no traceback."""
    run = play(tell_to_stop(number), NUM_REQUESTS=2)

    assert "Traceback" not in run.err
    assert run.command
    assert run.command[-2:] == ["group", "2"]
    assert (run.status, len(run.polls)) == (130, 1)


def test_stopped_during_the_submission(play: Play) -> None:
    """There is no id to pick up yet, but there may be a group."""
    run = play(submission=tell_to_stop(signal.SIGINT))

    assert "may exist" in run.err
    assert "Traceback" not in run.err
    assert (run.status, run.command, len(run.calls)) == (130, None, 1)


@pytest.mark.parametrize(
    "words", ["Group created", "[  1]", "GROUP GENERATION SUMMARY", "Token Usage", "complete!"]
)
def test_stopped_while_something_is_printed(play: Play, words: str) -> None:
    """The group counts as seen only when its report is out."""
    code = on_words(words, "signal.raise_signal(signal.SIGINT)")
    run = play(listed("Success", "Success"), NUM_REQUESTS=2, code=code)

    assert "Traceback" not in run.err
    assert run.command
    assert run.command[-2:] == ["group", "2"]
    assert run.status == 130


@contextmanager
def started(script: Path, api: MockGroupApi, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """Start script like a terminal's job, which heeds Ctrl-C; kill it if it is left running."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored, it is inherited.
    try:
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env=environment(api.url, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


class Signaller:
    """An answer after whose start a process gets signals; unless another is given it never ends."""

    process: "subprocess.Popen[str]"

    def __init__(
        self,
        *numbers: signal.Signals,
        seconds_before: float = 0.05,  # Enough for the process to wait
        seconds_between: float = 0,
        answer: ASGIApp = stall,
    ) -> None:
        self.numbers = numbers
        self.seconds_before = seconds_before
        self.seconds_between = seconds_between
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop, seconds = asyncio.get_running_loop(), self.seconds_before
        for number in self.numbers:
            loop.call_later(seconds, self.process.send_signal, number)
            seconds += self.seconds_between
        await self.answer(scope, receive, send)


def rest_of(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return what it prints to its end on stdout and stderr."""
    try:
        return process.communicate(timeout=30)
    except subprocess.TimeoutExpired as expired:
        process.kill()
        stdout, stderr = process.communicate()
        pytest.fail(f"It did not end ({expired}). Output: {stdout}\nErrors: {stderr}")


@on_posix
@pytest.mark.parametrize(
    ("numbers", "seconds_between"),
    [
        ((signal.SIGINT, signal.SIGTERM), 0),
        ((signal.SIGINT, signal.SIGTERM), 0.001),
        ((signal.SIGTERM, signal.SIGINT), 0),
        ((signal.SIGTERM, signal.SIGINT), 0.003),
        ((signal.SIGINT, signal.SIGINT), 0),
        ((signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM), 0.002),
    ],
)
def test_signals_within_milliseconds(
    tmp_path: Path, numbers: tuple[signal.Signals, ...], seconds_between: float
) -> None:
    """`timeout 60 uv run ...` sends two, and Ctrl-C comes on top: the last words are whole."""
    signaller = Signaller(*numbers, seconds_between=seconds_between)
    script = edited_sample(tmp_path, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=9)
    with MockGroupApi([QUEUED, signaller]) as api, started(script, api) as process:
        signaller.process = process
        stdout, stderr = rest_of(process)

    assert "  [  1] " in stdout
    assert "Traceback" not in stderr
    assert pick_up_command(stderr) == ["uv", "run", str(script), GROUP_ID, "2"]
    assert process.returncode == 130


@on_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_during_a_pause(tmp_path: Path, number: signal.Signals) -> None:
    """Nobody waits for the next poll."""
    nothing_yet = json_response({"generations": []})
    signaller = Signaller(number, seconds_before=0.2, answer=nothing_yet)
    script = edited_sample(tmp_path, NUM_REQUESTS=2, POLL_INTERVAL_SECONDS=600)
    with MockGroupApi([signaller]) as api, started(script, api) as process:
        signaller.process = process
        stdout, stderr = rest_of(process)

    assert "  [  1] " in stdout
    assert pick_up_command(stderr)
    assert "Traceback" not in stderr
    assert process.returncode == 130


@on_posix
def test_stopped_while_the_api_takes_its_time_to_accept(tmp_path: Path) -> None:
    """No group is known, but there may be one."""
    signaller = Signaller(signal.SIGTERM, signal.SIGINT)
    script = edited_sample(tmp_path)
    with MockGroupApi(submission=signaller) as api, started(script, api) as process:
        signaller.process = process
        stderr = rest_of(process)[1]

    assert "may exist" in stderr
    assert "Traceback" not in stderr
    assert pick_up_command(stderr) is None
    assert process.returncode == 130


# A report that cannot be written, or is not reached


@on_posix
@pytest.mark.parametrize("lines", [3, 22, 40])
def test_a_reader_that_goes_away(tmp_path: Path, lines: int) -> None:
    """`... | head` ends quietly: no traceback, and no complaint of the interpreter's."""
    script = edited_sample(tmp_path, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=20)
    with MockGroupApi([QUEUED] * 9 + [DONE]) as api:
        shell_line = f'"$0" "$1" | head -n {lines}'
        command = ["/bin/sh", "-c", shell_line, sys.executable, str(script)]
        run = run_to_end(command, environment(api.url, PATH="/bin:/usr/bin"))

    assert run.stdout.count("\n") == lines
    for words in ("Traceback", "Error", "Exception"):
        assert words not in run.stderr


@with_full_disk
def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    """It is an error and no traceback, before anything is sent."""
    script = edited_sample(tmp_path)
    with MockGroupApi() as api, open("/dev/full", "w", encoding="utf-8") as full:
        run = run_to_end([sys.executable, str(script)], environment(api.url), stdout=full)

    assert run.stderr.startswith("Error: [Errno 28] ")
    assert run.stderr.count("\n") == 1
    assert run.returncode == 1
    assert api.headers == []


@with_full_disk
@pytest.mark.parametrize("words", ["[  1]", "Token Usage", "complete!"])
def test_a_disk_that_is_full_later(run_sample: RunSample, words: str) -> None:
    """The error is told, then the command: what was paid for is not seen yet."""
    code = on_words(words, 'os.dup2(os.open("/dev/full", os.O_WRONLY), 1)')
    with MockGroupApi([DONE]) as api:
        run = run_sample(api, NUM_REQUESTS=2, code=code)

    assert run.stderr.startswith("Error: [Errno 28] ")
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    command = pick_up_command(run.stderr)
    assert command
    assert command[-2:] == [GROUP_ID, "2"]
    assert run.returncode == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise LookupError('a mistake of mine')", "a mistake of mine"),
        ("open('/no/such/folder/answers.json', 'w')", "/no/such/folder/answers.json"),
    ],
    ids=["a mistake", "a file"],
)
def test_code_of_the_users_own_that_fails(run_sample: RunSample, code: str, words: str) -> None:
    """What goes wrong after the last poll is told, and the answers are not lost."""
    with MockGroupApi([DONE]) as api:
        run = run_sample(api, NUM_REQUESTS=2, code=f"def correlate(*_): {code}")

    assert words in run.stderr
    assert "another exception" not in run.stderr
    assert (pick_up_command(run.stderr) or [])[-2:] == [GROUP_ID, "2"]
    assert run.returncode == 1
