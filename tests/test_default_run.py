"""The run that everybody sees first: as it comes, against the API that plays the seed's story."""

import re
from pathlib import Path

import mock_group_api
import pytest
from conftest import Clock, MainRunner, Runner, edited_sample
from mock_group_api import MockGroupApi

import async_polling_example as sample

# The sample output that the project reproduces, with all ten rows, from its figures: 5 of 10
# requests are listed and queued, then 8 are done and 2 running, then 10 are done.
SEED_OUTPUT = f"""\
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


def comparable(report: str) -> list[str]:
    """Return the lines of report without trailing blanks and without what the clock decides."""
    clock_figure = r"((?:wall-clock time|Throughput):) +\d+\.\d\d"
    return [re.sub(clock_figure, r"\1 #", line).rstrip() for line in report.splitlines()]


def test_prints_the_sample_output(run_sample: Runner) -> None:
    """Into a pipe, a run prints the sample output line for line, the wall-clock figures aside."""
    with MockGroupApi() as api:
        run = run_sample(api, POLL_INTERVAL_SECONDS=0.01)

    expected = SEED_OUTPUT.replace("Poll interval: 2s", "Poll interval: 0.01s")
    assert comparable(run.stdout) == comparable(expected)
    assert (run.returncode, run.stderr) == (0, "")


def test_prints_the_wall_clock_figures(
    run_main: MainRunner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two pauses of 2 s, 10 generations take 4 s: 2.50 a second."""
    with MockGroupApi() as api:
        monkeypatch.setattr(sample, "BASE_URL", api.url)
        run = run_main()

    expected = SEED_OUTPUT.replace("12.75s", " 4.00s").replace("0.78", "2.50")
    assert [line.rstrip() for line in run.out.splitlines()] == expected.splitlines()
    assert clock.sleeps == [2, 2]


def test_the_mock_is_a_program_that_runs_the_sample(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`uv run tests/mock_group_api.py` needs no key: it runs the sample and returns its status."""
    status = mock_group_api.main(edited_sample(tmp_path))

    expected = SEED_OUTPUT.replace("Poll interval: 2s", "Poll interval: 0.01s")
    assert comparable(capfd.readouterr().out) == comparable(expected)
    assert status == 0


def test_the_mock_returns_the_samples_exit_status(tmp_path: Path) -> None:
    """A sample that polls once sees an unfinished group, and says so."""
    assert mock_group_api.main(edited_sample(tmp_path, MAX_POLL_ATTEMPTS=1)) == 1


def test_a_console_without_the_characters(run_sample: Runner) -> None:
    """Where a check mark or a block cannot be written, another character stands for it."""
    with MockGroupApi() as api:
        run = run_sample(api, env={"PYTHONIOENCODING": "ascii"})

    expected = SEED_OUTPUT.replace("Poll interval: 2s", "Poll interval: 0.01s")
    in_ascii = expected.encode("ascii", "replace").decode()
    assert comparable(run.stdout) == comparable(in_ascii)
    assert (run.returncode, run.stderr) == (0, "")


def test_forced_colour_does_not_animate_a_pipe(run_sample: Runner) -> None:
    """FORCE_COLOR, as CI services set it, colours the lines of a log but moves no cursor in it."""
    with MockGroupApi() as api:
        run = run_sample(api, env={"FORCE_COLOR": "1"})

    plain_text = re.sub(r"\x1b\[[\d;]*m", "", run.stdout)
    expected = SEED_OUTPUT.replace("Poll interval: 2s", "Poll interval: 0.01s")
    assert plain_text != run.stdout
    assert comparable(plain_text) == comparable(expected)


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 80), ("0", 80), ("wide", 80)])
def test_columns_sets_the_width_of_a_pipe(run_sample: Runner, columns: str, width: int) -> None:
    """It may narrow the report, not widen it beyond 80."""
    with MockGroupApi() as api:
        run = run_sample(api, env={"COLUMNS": columns})

    assert run.returncode == 0
    if columns != "0":
        assert max(len(line.rstrip()) for line in run.stdout.splitlines()) == width
