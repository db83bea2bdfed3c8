"""Faults of a real network: the sample as a subprocess, against sockets that misbehave."""

import re

import pytest
from conftest import Runner
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, end_early, leave, reset, stall
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

SHORT_TIMEOUT = "httpx.Timeout(0.5)"


@pytest.mark.parametrize("fault", [stall, reset, end_early])
def test_a_submission_that_breaks_off(run_sample: Runner, fault: ASGIApp) -> None:
    """It is sent once, and the error says that the group may exist."""
    with MockGroupApi(submission=fault) as api:
        run = run_sample(api, TIMEOUT=SHORT_TIMEOUT)

    error, advice = run.stderr.splitlines()
    assert error.startswith("Error: The submission broke off: ")
    assert "The group may exist all the same, and be charged" in advice
    assert run.returncode == 1
    assert len(api.submissions) == 1
    assert api.poll_paths == []


def test_ten_failures_in_a_row(run_sample: Runner) -> None:
    """Each poll fails in its own way and says so, and the eleventh brings all."""
    failures: list[ASGIApp] = [
        Response(status_code=404),
        Response(status_code=429, headers={"Retry-After": "0"}),
        HTMLResponse("<html>Welcome to our WiFi!</html>"),
        reset,
        end_early,
        stall,
        Response(status_code=500),
        Response(status_code=502),
        JSONResponse({"generations": None}),
        PlainTextResponse("[" * 100_000),
    ]
    with MockGroupApi([*failures, DONE]) as api:
        run = run_sample(api, TIMEOUT=SHORT_TIMEOUT)

    assert re.findall(r"0/10 \(0%\) \((.*)\)", run.stdout) == [
        "not there yet: HTTP 404",
        "HTTP 429 Too Many Requests",
        "not the expected JSON",
        "connection failed",
        "connection failed",
        "timed out",
        "HTTP 500 Internal Server Error",
        "HTTP 502 Bad Gateway",
        "not the expected JSON",
        "not the expected JSON",
    ]
    assert "10/10 (100%)" in run.stdout
    assert (run.returncode, run.stderr) == (0, "")


def test_a_server_that_goes_away(run_sample: Runner) -> None:
    """Polls that reach nobody count like others, and the group is not lost."""
    with MockGroupApi([QUEUED, leave]) as api:
        run = run_sample(api, MAX_POLL_ATTEMPTS=3)

    assert run.stdout.count("(connection failed)") == 2
    assert run.stderr.splitlines()[1].endswith(f" {GROUP_ID}")
    assert run.returncode == 1
