"""The half of the sample that talks to the API, cut off as the sample says, without rich."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import edited_sample, environment, requests_of, run_to_end
from mock_group_api import DONE, MockGroupApi, generation, story

PROGRAM = """
import sys
sys.modules["rich"] = None  # As if it were not installed
import json
from api_half import build_requests, correlate, open_client, poll_group, submit_group

requests = build_requests()
with open_client() as client:
    group_id, size = submit_group(client, requests)
    polls = list(poll_group(client, group_id, len(requests)))
results, problem = polls[-1]
rows = [result._asdict() for result in correlate(requests, results)]
print(json.dumps({"id": group_id, "size": size, "polls": len(polls), "rows": rows}))
"""


@pytest.fixture
def api_half(tmp_path: Path) -> Path:
    """Return the folder of api_half.py: the sample down to its comment, less what imports rich."""
    script = edited_sample(
        tmp_path,
        NUM_REQUESTS=4,
        MODEL_ID="inference-net/load-test",
        MAX_POLL_ATTEMPTS=9,
        QUESTIONS=["Who?", "Me?"],
    )
    half, cut, _ = script.read_text(encoding="utf-8").partition("\n# Terminal output")
    assert cut
    half = re.sub(r"(?m)^(from|import) rich.*\n", "", half)
    (tmp_path / "api_half.py").write_text(half, encoding="utf-8")
    return tmp_path


def run(program: str, folder: Path, api: MockGroupApi) -> "subprocess.CompletedProcess[str]":
    (folder / "program.py").write_text(program, encoding="utf-8")
    return run_to_end([sys.executable, "program.py"], environment(api.url), cwd=folder)


def run_program(folder: Path, api: MockGroupApi) -> Any:
    """Return what the program printed, which is all that was printed."""
    ended = run(PROGRAM, folder, api)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_submits_polls_and_correlates(api_half: Path) -> None:
    """A program of one's own gets each answer beside its request."""
    with MockGroupApi(story) as api:
        told = run_program(api_half, api)

    assert (told["size"], told["polls"]) == (4, 3)
    assert [(row["custom_id"], row["state"], row["answer"]) for row in told["rows"]] == [
        ("req-001", "Success", "You asked: Who?"),
        ("req-002", "Success", "You asked: Me?"),
        ("req-003", "Success", "You asked: Who?"),
        ("req-004", "Success", "You asked: Me?"),
    ]


def test_keeps_what_the_api_listed(api_half: Path) -> None:
    """Each result has the API's own object, so nothing that it tells is lost."""
    with MockGroupApi([DONE]) as api:
        told = run_program(api_half, api)

    assert [row["generation"] for row in told["rows"]] == [
        generation(request, index, "Success", group_number=1)
        for index, request in enumerate(requests_of("Who?", "Me?", "Who?", "Me?"))
    ]


def test_a_failure_is_no_answer(api_half: Path) -> None:
    """The reason of a failure has a field of its own."""
    with MockGroupApi([DONE], failures={"req-002": "Too long."}) as api:
        told = run_program(api_half, api)

    answered, failed = told["rows"][:2]
    assert failed["answer"] is None
    assert "Too long." in failed.values()
    assert "Too long." not in answered.values()


MISTAKEN_PROGRAM = """
from api_half import build_requests, open_client, submit_group

requests = build_requests()
requests[1]["metadata"]["custom_id"] = requests[0]["metadata"]["custom_id"]
with open_client() as client:
    submit_group(client, requests)
"""


def test_requests_that_break_a_rule_are_not_sent(api_half: Path) -> None:
    """Whoever forgets to check them is told by a ValueError, and pays nothing."""
    with MockGroupApi() as api:
        ended = run(MISTAKEN_PROGRAM, api_half, api)

    assert ended.stderr.splitlines()[-1].startswith("ValueError: Each request needs a ")
    assert ended.returncode == 1
    assert api.headers == []


def test_knows_nothing_of_the_terminal(api_half: Path) -> None:
    """It neither prints nor names what does."""
    half = (api_half / "api_half.py").read_text(encoding="utf-8").partition('"""\n\n')[2]

    assert "def poll_group" in half
    for words in ("rich", "print(", "console", "sys.std"):
        assert words not in half
