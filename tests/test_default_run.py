"""The run that everybody sees first: as shipped, against an API that plays the seed's story."""

import re
import subprocess
import sys
from pathlib import Path

import mock_group_api
import pytest
from conftest import Play, RunSample, edited_sample, environment, requests_of, run_to_end
from mock_group_api import ANSWERS, GROUP_ID, MockGroupApi, generation, story

# The sample output that the project reproduces, with all ten rows, from its figures: 5 of 10
# requests are listed and queued, then 8 are done and 2 running, then 10 are done.
START = f"""\
{"=" * 80}
 INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE
{"=" * 80}

  Configuration:
    • Requests to submit: 10
    • Model: inference-net/load-test
    • Poll interval: 2s

  Submitting 10 Requests
  --------------------------

    req-001: What is the capital of France?
    req-002: What is 2 + 2?
    req-003: Name one planet in our solar system.
    req-004: What color is the sky on a clear day?
    req-005: How many legs does a spider have?
    ... and 5 more

  Submitting to Group API...
  ✓ Group created: 6Z6oLaIo0PFleu2Wc1LIg
  ✓ Group size: 10
"""
POLLS_AND_SUMMARY = f"""\

  Polling for Results
  -----------------------

  [  1] |{"░" * 30}| 0/10 (0%) (⏳ 0 running, 5 queued)
  [  2] |{"█" * 24}{"░" * 6}| 8/10 (80%) (⏳ 2 running, 0 queued)
  [  3] |{"█" * 30}| 10/10 (100%)

{"=" * 80}
 GROUP GENERATION SUMMARY
{"=" * 80}

  Success Rate
  ----------------
  ✓ |{"█" * 40}| 100.0%

      Successful:    10
      Failed:         0
      Total:         10

  Performance Metrics
  -----------------------
      Total wall-clock time:      12.75s
      Avg generation time:       2803.1ms
      Min generation time:        955.0ms
      Max generation time:       4556.0ms
      Throughput:                  0.78 req/s

  Token Usage
  ---------------
      Prompt tokens:            186
      Completion tokens:      1,000
      Total tokens:           1,186
      Avg completion/req:     100.0

  Request-Response Correlation
  --------------------------------

  ID         Status     Question                       Response
  ---------- ---------- ------------------------------ -------------------------
  req-001    ✓ Success  What is the capital of Fr...   The capital of France...
  req-002    ✓ Success  What is 2 + 2?                 2 + 2 equals 4.
  req-003    ✓ Success  Name one planet in our so...   Mars is a planet in...
  req-004    ✓ Success  What color is the sky on...    On a clear day the sky...
  req-005    ✓ Success  How many legs does a spid...   A spider has eight legs.
  req-006    ✓ Success  What is the chemical symb...   H2O.
  req-007    ✓ Success  Who wrote Romeo and Juliet?    William Shakespeare...
  req-008    ✓ Success  How many days are there i...   Seven.
  req-009    ✓ Success  What is the largest ocean...   The Pacific Ocean is...
  req-010    ✓ Success  What is the opposite of hot?   Cold.

{"=" * 80}
 Generation complete!
{"=" * 80}
"""
# What a run prints that picks the seed's group up, with quick polls and its size.
PICKED_UP = f"""\
{"=" * 80}
 INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE
{"=" * 80}

  Configuration:
    • Group to pick up: 6Z6oLaIo0PFleu2Wc1LIg
    • Poll interval: 0.01s
{POLLS_AND_SUMMARY}"""


def comparable(report: str) -> list[str]:
    """Return the lines of report without trailing blanks and without what the clock decides."""
    clock_figure = r"((?:wall-clock time|Throughput):) +(\d+\.\d\d.*|n/a)"
    return [re.sub(clock_figure, r"\1 #", line).rstrip() for line in report.splitlines()]


def test_prints_the_sample_output_as_shipped(run_sample: RunSample) -> None:
    """Into a pipe, a run prints the sample output line for line, the wall-clock figures aside."""
    with MockGroupApi() as api:
        run = run_sample(api)

    expected = (START + POLLS_AND_SUMMARY).replace("Poll interval: 2s", "Poll interval: 0.01s")
    assert comparable(run.stdout) == comparable(expected)
    assert (run.returncode, run.stderr) == (0, "")


def test_prints_the_wall_clock_figures(play: Play) -> None:
    """A submission and three polls of 0.5 s, the polls 6 s apart: 10 in 13 s are 0.77 a second."""
    requests = requests_of(*ANSWERS)
    polls = [
        [generation(request, i, state) for i, (request, state) in enumerate(zip(requests, states))]
        for states in story(10)
    ]

    run = play(
        *polls,
        poll_seconds=0.5,
        NUM_REQUESTS=10,
        MODEL_ID="inference-net/load-test",
        POLL_INTERVAL_SECONDS=6,
        MAX_POLL_ATTEMPTS=3,
        QUESTIONS=list(ANSWERS),
    )

    expected = (START + POLLS_AND_SUMMARY).replace("Poll interval: 2s", "Poll interval: 6s")
    expected = expected.replace("6Z6oLaIo0PFleu2Wc1LIg", "group")
    expected = expected.replace("12.75s", "13.00s").replace("0.78", "0.77")
    assert [line.rstrip() for line in run.out.splitlines()] == expected.splitlines()


def test_submits_a_group_of_one(play: Play) -> None:
    """One request is a "Request", and there are not more."""
    answered = [generation(requests_of("Why?")[0], 0, "Success")]

    run = play(answered, NUM_REQUESTS=1, QUESTIONS=["Why?"])

    assert (
        "\n  Submitting 1 Request\n  ------------------------\n\n    req-001: Why?\n\n" in run.out
    )
    assert "... and" not in run.out


@pytest.mark.parametrize(("size", "more"), [(5, None), (6, 1), (50, 45)])
def test_shows_the_first_five_questions(play: Play, size: int, more: int | None) -> None:
    """Of the others it says how many there are."""
    run = play([], NUM_REQUESTS=size, MAX_POLL_ATTEMPTS=1, QUESTIONS=["Why?"])

    start = run.out.partition("  Submitting to Group API...")[0]
    assert re.findall(r"(?m)^    (req-\d+): Why\?$", start) == [f"req-00{i}" for i in range(1, 6)]
    assert re.findall(r"(?m)^    \.\.\. and (\d+) more$", start) == ([str(more)] if more else [])


@pytest.mark.parametrize("columns", [200, 80, 60])
def test_cuts_a_long_question_at_the_right_margin(play: Play, columns: int) -> None:
    """It fills its line to the last column, which is the 80th at most."""
    env = {"COLUMNS": str(columns)}
    run = play([], NUM_REQUESTS=1, MAX_POLL_ATTEMPTS=1, QUESTIONS=["x" * 200], env=env)

    (line,) = re.findall(r"(?m)^    req-001: x+\.\.\.$", run.out)
    assert len(line) == min(columns, 80)


def test_repeats_the_questions_for_more_requests(play: Play) -> None:
    """With fewer questions than requests they are asked in turn."""
    run = play([], NUM_REQUESTS=3, MAX_POLL_ATTEMPTS=1, QUESTIONS=["Why?", "Who?"])

    assert [each["messages"][-1]["content"] for each in run.sent] == ["Why?", "Who?", "Why?"]
    assert [each["metadata"]["custom_id"] for each in run.sent] == ["req-001", "req-002", "req-003"]


def test_the_mock_as_a_program_runs_the_sample(tmp_path: Path) -> None:
    """`uv run tests/mock_group_api.py` runs a script and returns its status, without a key."""
    script = edited_sample(tmp_path, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=3)

    run = run_mock(str(script))

    assert " Generation complete!\n" in run.stdout
    assert "This is a stand-in for the API: nothing is charged.\n" in run.stderr
    assert run.returncode == 0


def test_the_mock_as_a_program_picks_the_seeds_group_up(tmp_path: Path) -> None:
    """What follows the script is handed on to it."""
    script = edited_sample(tmp_path, MAX_POLL_ATTEMPTS=3)

    run = run_mock(str(script), GROUP_ID, "10")

    assert comparable(run.stdout) == comparable(PICKED_UP)
    assert run.returncode == 0


def test_the_mock_as_a_program_returns_the_samples_exit_status(tmp_path: Path) -> None:
    """A sample that polls once sees an unfinished group, and ends with 1."""
    run = run_mock(str(edited_sample(tmp_path, MAX_POLL_ATTEMPTS=1)))

    assert "Generation complete!" not in run.stdout
    assert run.returncode == 1


def run_mock(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, mock_group_api.__file__, *arguments]
    return run_to_end(command, environment("", INFERENCE_API_KEY=None))


def test_a_console_without_the_characters(run_sample: RunSample) -> None:
    """Where a check mark or a block cannot be written, another character stands for it."""
    with MockGroupApi() as api:
        run = run_sample(
            api, GROUP_ID, "10", env={"PYTHONIOENCODING": "ascii"}, MAX_POLL_ATTEMPTS=3
        )

    assert comparable(run.stdout) == comparable(PICKED_UP.encode("ascii", "replace").decode())
    assert (run.returncode, run.stderr) == (0, "")


def test_an_error_on_a_console_without_the_characters(run_sample: RunSample) -> None:
    """An error in words that cannot be written there is an error and no traceback."""
    with MockGroupApi(submission=mock_group_api.error(400, "Ungültig: ✗")) as api:
        run = run_sample(api, env={"PYTHONIOENCODING": "ascii"})

    assert run.stderr.startswith("Error: HTTP 400 Bad Request: Ung")
    assert "Traceback" not in run.stderr
    assert run.returncode == 1


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_forced_colour_does_not_animate_a_pipe(run_sample: RunSample, name: str) -> None:
    """What CI services set may colour the lines of a log, but moves no cursor in it."""
    with MockGroupApi() as api:
        run = run_sample(api, GROUP_ID, "10", env={name: "1"}, MAX_POLL_ATTEMPTS=3)

    plain_text = re.sub(r"\x1b\[[\d;]*m", "", run.stdout)
    assert comparable(plain_text) == comparable(PICKED_UP)
    assert "\x1b[32m" in run.stdout


@pytest.mark.parametrize("value", ["0", "-5", "", "wide", "80", "200"])
def test_columns_that_are_no_width_are_as_none(run_sample: RunSample, value: str) -> None:
    """The whole report comes, 80 columns wide, whatever COLUMNS says that is no narrower width."""
    with MockGroupApi() as api:
        run = run_sample(api, GROUP_ID, "10", env={"COLUMNS": value}, MAX_POLL_ATTEMPTS=3)

    assert comparable(run.stdout) == comparable(PICKED_UP)
    assert (run.returncode, run.stderr) == (0, "")


def test_columns_narrow_a_pipe(run_sample: RunSample) -> None:
    """At 60 columns bars and table are narrower, and every line is there."""
    with MockGroupApi() as api:
        run = run_sample(api, GROUP_ID, "10", env={"COLUMNS": "60"}, MAX_POLL_ATTEMPTS=3)

    lines = comparable(run.stdout)
    assert max(map(len, lines)) == 60
    assert [line[:7] for line in lines] == [line[:7] for line in comparable(PICKED_UP)]
