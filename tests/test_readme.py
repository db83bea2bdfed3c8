"""The README: its commands and snippets are run, its figures and messages held to the script."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Runner, edited_sample
from mock_group_api import API_KEY, DONE, GROUP_ID, SAMPLE, MockGroupApi, generation
from test_default_run import comparable

import async_polling_example as sample

README = (SAMPLE.parent / "README.md").read_text(encoding="utf-8")
SCRIPT = SAMPLE.read_text(encoding="utf-8")
UV = os.environ.get("UV") or shutil.which("uv")


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of that language."""
    fenced = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", README)
    return [block for name, block in fenced if name == language]


def test_the_sample_output_is_what_a_run_prints(run_sample: Runner) -> None:
    """Every line is the script's own, the wall-clock figures aside."""
    (output,) = blocks("")
    with MockGroupApi() as api:
        run = run_sample(api)

    printed = run.stdout.replace("Poll interval: 0.01s", "Poll interval: 2s")
    assert comparable(output) == comparable(printed)


def test_the_constants_are_those_of_the_script() -> None:
    """The block has the script's four lines, as they stand there."""
    constants = next(block for block in blocks("python") if "MAX_POLL_ATTEMPTS" in block)

    assert constants in SCRIPT
    assert constants.count("\n") == 4


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project, for uv to run in, whose polls are quick."""
    for name in ("pyproject.toml", "README.md", "uv.lock"):
        if (SAMPLE.parent / name).exists():
            shutil.copy(SAMPLE.parent / name, tmp_path)
    shutil.copytree(SAMPLE.parent / "tests", tmp_path / "tests")
    edited_sample(tmp_path)
    return tmp_path


@pytest.mark.skipif(not UV, reason="uv is not installed")
@pytest.mark.parametrize(
    "command",
    sorted({line for block in blocks("bash") for line in block.splitlines()} - {"uv run pytest"}),
)
def test_each_command_works(project: Path, command: str) -> None:
    """It is run by a shell in the project's folder, against the mock."""
    (project / ".env").write_text(f"INFERENCE_API_KEY={API_KEY}\n", encoding="utf-8")
    requests = sample.build_requests()
    own = {"UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "INFERENCE_API_KEY"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    if "--env-file" not in command:
        env["INFERENCE_API_KEY"] = API_KEY
    with MockGroupApi([DONE], requests=requests) as api:
        run = subprocess.run(
            command,
            shell=True,
            cwd=project,
            env=env | {"INFERENCE_BASE_URL": api.url, "NO_PROXY": "*"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    assert run.returncode == 0, run.stderr
    assert ("Generation complete!" in run.stdout) == command.startswith("uv run")
    assert len(api.submissions) == (command.endswith(SAMPLE.name))


def test_the_test_command_is_that_of_ci() -> None:
    """CI runs the command that the README tells."""
    assert "uv run pytest\n" in blocks("bash")
    assert 'test_command="uv run pytest"' in (SAMPLE.parent / ".ci/run").read_text(encoding="utf-8")


def test_the_request_snippet_is_what_is_sent() -> None:
    """It has the fields of the requests that the script builds."""
    snippet = next(block for block in blocks("python") if '"your-model"' in block)
    request = eval(snippet.replace("[...]", "[]"))

    assert request.keys() == sample.build_requests()[0].keys()
    assert request["metadata"] == sample.build_requests()[0]["metadata"]


def test_the_correlation_snippet_finds_the_custom_id() -> None:
    """The expression gives what its comment says, for a generation as the API lists it."""
    snippet = next(block for block in blocks("python") if block.startswith("generation["))
    expression, _, comment = snippet.partition("  # ")
    listed = generation(sample.build_requests()[0], 0, "Success")

    assert eval(expression, {"generation": listed}) == json.loads(comment)


def with_snippets(script: str, *, questions: bool, messages: bool, answers: bool) -> str:
    """Return the script with the README's changes of "Make it your own" made as it says."""
    by_start = {block.split(" ", 1)[0] or "with": block for block in blocks("python")}
    if questions:
        own = next(block for block in blocks("python") if "QUESTIONS = [\n" in block)
        number, _, listed = own.partition("\n")
        script = re.sub(r"(?m)^NUM_REQUESTS = .*$", number, script)
        script = re.sub(r"(?ms)^QUESTIONS = \[.*?^\]\n", lambda _: listed, script)
    if messages:
        function = by_start["def"] + "\n\n"
        script = re.sub(r"(?ms)^def build_requests.*?(?=^def |^class )", lambda _: function, script)
    if answers:
        anchor = '        print_banner("GROUP GENERATION SUMMARY")\n'
        assert anchor in script
        script = script.replace(anchor, by_start["with"] + anchor)
        script = script.replace("\nimport os\n", "\nimport json\nimport os\n")
    return script


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"questions"}, id="questions"),
        pytest.param({"messages"}, id="messages"),
        pytest.param({"answers"}, id="answers"),
        pytest.param({"questions", "messages", "answers"}, id="all"),
    ],
)
def test_the_changes_to_make_it_your_own_work(
    run_sample: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: set[str]
) -> None:
    """Each alone and all together run as they are told."""
    names = ("questions", "messages", "answers")
    changed = with_snippets(SCRIPT, **{name: name in changes for name in names})
    (tmp_path / "changed").mkdir()
    copy = tmp_path / "changed" / SAMPLE.name
    copy.write_text(changed, encoding="utf-8")
    monkeypatch.setattr("conftest.SAMPLE", copy)
    monkeypatch.chdir(tmp_path)
    with MockGroupApi() as api:
        run = run_sample(api)

    assert (run.returncode, run.stderr) == (0, "")
    sent: list[Any] = api.submissions[0]["requests"]
    assert len(sent) == (2 if "questions" in changes else 10)
    if "messages" in changes:
        assert [message["role"] for message in sent[0]["messages"]] == ["system", "user"]
        assert sent[0]["max_tokens"] == 20
    if "questions" in changes:
        assert "battery" in sent[0]["messages"][-1]["content"]
    if "answers" in changes:
        answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
        assert len(answers) == len(sent)
        assert all(answer["state"] == "Success" for answer in answers)
        assert len(answers[0]["answer"]) > 25


def test_figures() -> None:
    """4 minutes, 30 requests a minute and every 3 seconds follow from each other and the script."""
    assert sample.MAX_POLL_ATTEMPTS * sample.POLL_INTERVAL_SECONDS == 4 * 60
    assert "A run polls for 4 minutes" in README
    assert 60 / sample.POLL_INTERVAL_SECONDS + 1 > 30 > 60 / 3 + 1
    assert "30 requests a minute" in README
    assert "POLL_INTERVAL_SECONDS = 3" in README


@pytest.mark.parametrize(
    "message",
    [
        "No usable key",
        "No connection to ",
        "The group may exist all the same",
        "not there yet: HTTP 404",
        "timed out",
        "connection failed",
        "This run ends before its group does",
        "/v1/async/group/chat/completions",
        "/generations",
        "INFERENCE_BASE_URL",
    ],
)
def test_messages_and_endpoints_are_the_scripts(message: str) -> None:
    """What the README tells to look for, the script says."""
    assert message in README
    assert message in SCRIPT


@pytest.mark.parametrize(
    "link", re.findall(r"\]\((?!https?://)([^)#]+)\)", README), ids=lambda link: str(link)
)
def test_relative_links_lead_somewhere(link: str) -> None:
    assert (SAMPLE.parent / link).exists()


def test_the_group_id_is_the_one_of_the_sample_output() -> None:
    assert f"uv run async_polling_example.py {GROUP_ID}" in README
