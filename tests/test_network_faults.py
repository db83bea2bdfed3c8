"""Faults of a real network: the sample as a process, against sockets that misbehave."""

import re

import pytest
from conftest import RunSample, pick_up_command
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, json_response
from network_faults import end_early, leave, reset, stall
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp

# Nobody waits 30 s for an answer that never comes.
IMPATIENT = """
open_patient_client = open_client
def open_client():
    client = open_patient_client()
    client.timeout = 0.3
    return client
"""


@pytest.mark.parametrize("fault", [stall, reset, end_early])
def test_a_submission_that_breaks_off(run_sample: RunSample, fault: ASGIApp) -> None:
    """It is sent once, and the error says that the group may exist."""
    with MockGroupApi(submission=fault) as api:
        run = run_sample(api, code=IMPATIENT)

    assert run.stderr.startswith("Error: ")
    assert "may exist" in run.stderr
    assert run.returncode == 1
    assert len(api.submissions) == 1
    assert api.poll_paths == []


def test_ten_failures_in_a_row(run_sample: RunSample) -> None:
    """Each poll fails in its own way and says so, and the eleventh brings all."""
    failures: list[ASGIApp] = [
        Response(status_code=404),
        Response(status_code=429, headers={"Retry-After": "0"}),
        HTMLResponse("<html>Welcome to our WiFi!</html>"),
        reset,
        end_early,
        stall,
        Response(status_code=502),
        Response(status_code=503),
        json_response({"generations": None}),
        PlainTextResponse("[" * 100_000),
    ]
    with MockGroupApi([*failures, DONE]) as api:
        run = run_sample(api, code=IMPATIENT, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=11)

    assert re.findall(r"0/2 \(0%\) \((.*)\)", run.stdout) == [
        "not there yet: HTTP 404",
        "HTTP 429 Too Many Requests",
        "not the expected JSON",
        "connection failed",
        "connection failed",
        "timed out",
        "HTTP 502 Bad Gateway",
        "HTTP 503 Service Unavailable",
        "not the expected JSON",
        "not the expected JSON",
    ]
    assert "2/2 (100%)" in run.stdout
    assert (run.returncode, run.stderr) == (0, "")


def test_a_server_that_goes_away(run_sample: RunSample) -> None:
    """Polls that reach nobody count like others, and the group is not lost."""
    with MockGroupApi([QUEUED, leave]) as api:
        run = run_sample(api, NUM_REQUESTS=2, MAX_POLL_ATTEMPTS=3)

    assert run.stdout.count("(connection failed)") == 2
    assert (pick_up_command(run.stderr) or [])[-2:] == [GROUP_ID, "2"]
    assert run.returncode == 1


def test_a_redirect_to_another_server(run_sample: RunSample) -> None:
    """Nothing is sent there, and so neither is the key."""
    with MockGroupApi() as elsewhere:
        location = {"Location": f"{elsewhere.url}/v1/async/group/chat/completions"}
        with MockGroupApi(submission=Response(status_code=307, headers=location)) as api:
            run = run_sample(api)

    assert location["Location"] in run.stderr
    assert elsewhere.headers == []
    assert run.returncode == 1
