"""Runs that end before their group does, and how the group is picked up again."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import MainRunner, Runner, answering, client_of, edited_sample, settings
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, Stage, generation, stall

import async_polling_example as sample

PICK_UP = "This run ends before its group does. To pick the group up again:\n  uv run "


def command_in(stderr: str) -> list[str]:
    """Return the words of the command to pick the group up again, as a shell reads them."""
    return shlex.split(stderr[stderr.index(PICK_UP) :].splitlines()[1])


def test_the_attempts_run_out(run_sample: Runner) -> None:
    """All that did finish is summarised, every other request has a row, and the command follows."""
    with MockGroupApi([Stage(listed=6, succeeded=3, running=1)]) as api:
        run = run_sample(api, MAX_POLL_ATTEMPTS=3)

    assert re.findall(r"^  (req-\d+) +(.+?)  ", run.stdout, re.MULTILINE) == [
        ("req-001", "✓ Success"),
        ("req-002", "✓ Success"),
        ("req-003", "✓ Success"),
        ("req-004", "In Progress"),
        ("req-005", "Queued"),
        ("req-006", "Queued"),
        ("req-007", "Not listed"),
        ("req-008", "Not listed"),
        ("req-009", "Not listed"),
        ("req-010", "Not listed"),
    ]
    assert "      Unfinished:     7\n" in run.stdout
    assert "Generation complete!" not in run.stdout
    assert len(api.poll_paths) == 3
    assert command_in(run.stderr) == ["uv", "run", run.args[1], GROUP_ID]
    assert run.returncode == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 410, 422])
def test_a_poll_is_refused(run_main: MainRunner, status: int) -> None:
    """The run stops at once: the error, then the command."""
    created = httpx.Response(200, json={"groupId": GROUP_ID})
    refusal = httpx.Response(status, json={"error": {"message": "No."}})
    again = pytest.fail.Exception("polled again")
    run = run_main(client=answering(created, [], refusal, again))

    lines = run.err.splitlines()
    assert re.fullmatch(rf"Error: HTTP {status} .*: No\.", lines[0])
    assert command_in(run.err)[-1] == GROUP_ID
    assert len(lines) == 4
    assert "GROUP GENERATION SUMMARY" not in run.out
    assert run.status == 1


@pytest.mark.parametrize("sent_signal", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_polling(tmp_path: Path, sent_signal: int) -> None:
    """Ctrl-C, or being told to end, leaves the command and no traceback, and status 130."""
    with (
        MockGroupApi([QUEUED]) as api,
        start(tmp_path, api, POLL_INTERVAL_SECONDS=600) as run,
    ):
        read_until(run, "  [  1]")
        run.send_signal(sent_signal)
        stderr = rest_of(run)

    assert stderr.startswith(f"Stopped.\n{PICK_UP}")
    assert command_in(stderr)[-1] == GROUP_ID
    assert stderr.count("\n") == 3
    assert run.returncode == 130


def test_interrupted_while_submitting(tmp_path: Path) -> None:
    """There is no id to pick up yet, but there may be a group."""
    with MockGroupApi(submission=stall) as api, start(tmp_path, api) as run:
        read_until(run, "Submitting to Group API...")
        while not api.submissions:
            pass
        run.send_signal(signal.SIGINT)
        stderr = rest_of(run)

    assert stderr.startswith("Stopped.")
    assert "The group may exist all the same, and be charged" in stderr
    assert "Traceback" not in stderr
    assert run.returncode == 130


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """`... | head` ends without a traceback, and with the command: the group is paid for."""
    with (
        MockGroupApi([QUEUED]) as api,
        start(tmp_path, api, POLL_INTERVAL_SECONDS=0.1) as run,
    ):
        read_until(run, "  [  1]")
        assert run.stdout
        run.stdout.close()
        stderr = rest_of(run)

    assert stderr.startswith(PICK_UP)
    assert command_in(stderr)[-1] == GROUP_ID
    assert stderr.count("\n") == 2
    assert run.returncode == 1


def test_a_reader_that_goes_away_from_the_summary(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the group is complete, nothing is left to say."""

    def print_to_nobody(_: object) -> None:
        raise SystemExit(1)  # As rich's console does on a broken pipe

    monkeypatch.setattr(sample, "print_answers", print_to_nobody)
    done = [generation(each, i, "Success") for i, each in enumerate(sample.build_requests())]
    run = run_main("group", client=answering(done))

    assert (run.status, run.err) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk(tmp_path: Path) -> None:
    """A report that cannot be written is an error and no traceback, before anything is sent."""
    with MockGroupApi() as api, open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run(
            [sys.executable, str(edited_sample(tmp_path))],
            env=settings(api.url),
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )

    assert run.stderr.startswith("Error: [Errno 28] ")
    assert "Traceback" not in run.stderr
    assert api.headers == []


# Picking up


def test_picks_a_group_up(run_sample: Runner) -> None:
    """It submits nothing; the questions and the number to wait for come from the API's list."""
    requests = sample.build_requests()[:3]
    with MockGroupApi([Stage(), Stage(succeeded=4, running=6), DONE], requests=requests) as api:
        run = run_sample(api, GROUP_ID, NUM_REQUESTS=50, MODEL_ID='"of another run"')

    assert api.submissions == []
    assert api.poll_paths == [f"/v1/async/group/{GROUP_ID}/generations"] * 3
    assert run.stdout.splitlines()[4:12] == [
        "  Configuration:",
        f"    • Group to pick up: {GROUP_ID}",
        "    • Poll interval: 0.01s",
        "",
        "  Polling for Results",
        "  -----------------------",
        "",
        f"  [  1] |{'░' * 30}| 0/3 (0%) (⏳ 0 running, 3 queued)",
    ]
    assert "  [  2] |██████████░░░░░░░░░░░░░░░░░░░░| 1/3 (33%) (⏳ 2 running" in run.stdout
    assert "  req-003    ✓ Success  Name one planet in our so...   Mars is" in run.stdout
    assert "Total wall-clock time:        n/a" in run.stdout
    assert "Generation complete!" in run.stdout
    assert (run.returncode, run.stderr) == (0, "")


def test_the_command_picks_the_group_up(run_sample: Runner) -> None:
    """What one run prints to stderr is what the next one is run with."""
    with MockGroupApi([Stage(succeeded=3), DONE]) as api:
        first = run_sample(api, MAX_POLL_ATTEMPTS=1)
        arguments = command_in(first.stderr)[3:]
        second = run_sample(api, *arguments)

    assert len(api.submissions) == 1
    assert second.returncode == 0


@pytest.mark.parametrize(
    "group_id",
    ["-starts-with-a-dash", "a b", "it's; rm -rf ~ #", "$(reboot)", "ünïcödé", "*"],
)
def test_the_command_suits_odd_ids(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, group_id: str
) -> None:
    """Whatever the id is made of, the command hands on that id and nothing else."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json={"groupId": group_id, "generations": []})

    first = run_main(client=client_of(handler))
    run_main(*command_in(first.err)[3:], client=client_of(handler))

    assert paths[1:] == [f"/v1/async/group/{group_id}/generations"] * 2


@pytest.mark.parametrize("group_id", ["\x1b[2Jab", "a\nb\x7f", "\u202egpj", "tab\there"])
def test_the_command_holds_no_control_characters(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, group_id: str
) -> None:
    """They stand there as escapes, which bash turns back into what they are."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    created = httpx.Response(200, json={"groupId": group_id})
    run = run_main(client=answering(created, []))

    assert all(line.isprintable() for line in (run.out + run.err).splitlines())
    command = run.err.splitlines()[-1]
    echoed = subprocess.run(
        ["bash", "-c", f"printf %s {command.split()[-1]}"], capture_output=True, check=True
    )
    assert echoed.stdout.decode() == group_id


def test_an_empty_list_is_never_complete(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of which nothing is ever listed ends with an error that asks for the id."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 3)
    run = run_main("group", client=answering([]))

    assert run.out.count("0/0 (0%)") == 3
    assert run.err.startswith("Error: The API has listed nothing in this group.\n")
    assert command_in(run.err)[-1] == "group"
    assert run.status == 1


def test_a_group_that_grows_while_it_is_polled(run_main: MainRunner) -> None:
    """The number to wait for is that of the longest list so far."""
    requests = sample.build_requests()
    done = [generation(each, i, "Success") for i, each in enumerate(requests)]
    running = generation(requests[0], 0, "In Progress")
    run = run_main("group", client=answering([running], [running, *done[1:4]], done[:4]))

    assert re.findall(r"\d/\d \(\d+%\)", run.out) == ["0/1 (0%)", "3/4 (75%)", "4/4 (100%)"]
    assert run.status == 0


@pytest.mark.parametrize(
    ("states", "status"),
    [
        pytest.param(["Success", "Success"], 0, id="all succeeded"),
        pytest.param(["Success", "Failed"], 1, id="one failed"),
        pytest.param(["Success", "Queued"], 1, id="one is not finished"),
        pytest.param(["Success", "Expired"], 1, id="one is in a state of its own"),
    ],
)
def test_exit_status(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, states: list[str], status: int
) -> None:
    """It is 0 only if every request succeeded."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    requests: list[Any] = sample.build_requests()
    listed = [generation(requests[i], i, state) for i, state in enumerate(states)]
    run = run_main("group", client=answering(listed))

    assert run.status == status


def test_polls_the_group_that_it_was_given() -> None:
    """The id goes into the path of the poll as it is."""
    paths: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json={"generations": []})

    sample.fetch_results(client_of(handler), GROUP_ID)

    assert paths == [f"/v1/async/group/{GROUP_ID}/generations"]


def start(folder: Path, api: MockGroupApi, **constants: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(edited_sample(folder, **constants))],
        env=settings(api.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def read_until(run: "subprocess.Popen[str]", words: str) -> None:
    """Read lines of the run's stdout up to the one that has words in it."""
    assert run.stdout
    assert any(words in line for line in iter(run.stdout.readline, "")), f"{words!r} did not come"


def rest_of(run: "subprocess.Popen[str]") -> str:
    assert run.stderr
    stderr = run.stderr.read()
    run.wait(timeout=30)
    return stderr
