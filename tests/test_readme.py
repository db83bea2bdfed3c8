"""The README: its commands and recipes are run as they stand, its figures held to the script."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunSample, edited_sample, environment, run_to_end
from mock_group_api import API_KEY, DONE, GROUP_ID, REQUESTS, SAMPLE, MockGroupApi, generation

ROOT = SAMPLE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = SAMPLE.read_text(encoding="utf-8")
UV = os.environ.get("UV") or shutil.which("uv")


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of that language."""
    fenced = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", README)
    return [block for name, block in fenced if name == language]


def block(language: str, words: str) -> str:
    """Return the one block of that language that has words in it."""
    (found,) = [each for each in blocks(language) if words in each]
    return found


def without_the_clock(report: str) -> list[str]:
    """Return the lines of a report without trailing blanks, and without what the clock decides."""
    clock = r"((?:wall-clock time|Throughput):) +\d+\.\d\d"
    return [re.sub(clock, r"\1 #", line).rstrip() for line in report.strip("\n").splitlines()]


def test_sample_output_and_constants_as_shipped(run_sample: RunSample) -> None:
    """They are the script's own, and 120 polls every 2 seconds are the 4 minutes of the text."""
    constants = block("python", "MAX_POLL_ATTEMPTS")
    with MockGroupApi() as api:
        run = run_sample(api)

    printed = run.stdout.replace("Poll interval: 0.01s", "Poll interval: 2s")
    assert without_the_clock(block("", "=====")) == without_the_clock(printed)
    assert constants in SCRIPT
    assert re.findall(r"= (\d+) ", constants) == ["10", "2", "120"]
    assert "A run polls for 4 minutes" in README


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the project, for uv to run in, whose polls are quick."""
    for name in ("pyproject.toml", "README.md", "uv.lock"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    edited_sample(tmp_path)
    (tmp_path / ".env").write_text(f"INFERENCE_API_KEY={API_KEY}\n", encoding="utf-8")
    return tmp_path


COMMANDS = sorted({line for each in blocks("bash") for line in each.splitlines()})


@pytest.mark.skipif(not UV, reason="uv is not installed")
@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("command", [each for each in COMMANDS if each != "uv run pytest"])
def test_each_command_works(project: Path, command: str) -> None:
    """It is run by a shell in the project's folder, against the mock."""
    own = ("UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in own}
    key = {} if "--env-file" in command else {"INFERENCE_API_KEY": API_KEY}
    with MockGroupApi([DONE]) as api:
        run = subprocess.run(
            command,
            shell=True,
            cwd=project,
            # Of this Python uv has the packages already; of another it may not.
            env={
                **env,
                **key,
                "INFERENCE_BASE_URL": api.url,
                "UV_OFFLINE": "1",
                "UV_PYTHON": sys.executable,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=50,
            check=False,
        )

    if re.search("network (was|connectivity is) disabled", run.stderr, re.IGNORECASE):
        pytest.skip("uv has not fetched the packages yet")
    assert run.returncode == 0, run.stderr
    assert ("Generation complete!" in run.stdout) == command.startswith("uv run")
    assert len(api.submissions) == command.endswith(SAMPLE.name)


def test_the_test_command_is_that_of_ci() -> None:
    """CI runs the command that the README tells."""
    assert "uv run pytest\n" in blocks("bash")
    assert 'test_command="uv run pytest"' in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_submission_is_what_is_sent() -> None:
    """The JSON is the first of the requests that the mock, like the script, has."""
    assert json.loads(block("json", '"requests"')) == {"requests": REQUESTS[:1]}


def test_the_generation_is_what_is_listed() -> None:
    """What the JSON shows is in what the mock lists, value by value."""
    (shown,) = json.loads(block("json", '"generations"'))["generations"]
    listed = generation(REQUESTS[0], 0, "Success")

    choice = listed["response"]["choices"][0]["message"]["content"]
    assert shown.pop("response") == {
        "choices": [{"message": {"content": choice}}],
        "usage": listed["response"]["usage"],
    }
    assert shown == {name: listed[name] for name in shown}


def test_the_snippets_of_correlation() -> None:
    """The expression finds, in a generation, the id that the request has."""
    request = eval(block("python", '"your-model"').replace("[...]", "[]"))
    expression, _, comment = block("python", '"]["metadata"]').partition("  # ")

    found = eval(expression, {"generation": {"request": request}})
    assert found == json.loads(comment) == "req-001"


# Make it your own


def edited(folder: Path, *recipes: str, imports: str = "") -> Path:
    """Return a copy of the sample with recipes of the README in the places that it names."""
    text = edited_sample(folder).read_text(encoding="utf-8")
    for recipe in recipes:
        literal = recipe.replace("\\", r"\\")
        if recipe.startswith("QUESTIONS"):
            text = re.sub(r"(?ms)^QUESTIONS = \[.*?^\]\n", literal, text)
        elif recipe.startswith("def build_requests"):
            pattern = r"(?ms)^def build_requests.*?(?=^def |^class )"
            text = re.sub(pattern, f"{literal}\n\n", text)
        elif recipe.startswith("def "):
            text = text.replace("def main(", f"{recipe}\n\ndef main(")
        else:
            (above,) = re.findall(r"(?m)^        complete = ", text)
            text = text.replace(above, recipe + above)
    text = text.replace("\nimport os\n", f"\n{imports}import os\n", 1)
    script = folder / "edited.py"
    script.write_text(text, encoding="utf-8")
    return script


def run(script: Path, api: MockGroupApi) -> "subprocess.CompletedProcess[str]":
    return run_to_end([sys.executable, script.name], environment(api.url), cwd=script.parent)


def test_your_questions(tmp_path: Path) -> None:
    """Two questions are two requests."""
    with MockGroupApi() as api:
        ended = run(edited(tmp_path, block("python", "QUESTIONS = [")), api)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(api.submissions[0]["requests"]) == 2
    assert "battery" in api.submissions[0]["requests"][0]["messages"][0]["content"]


def test_a_csv_in_and_out(tmp_path: Path) -> None:
    """Twelve rows come out in the order in which they went in, each with its whole answer."""
    reviews = [f"Review {number} of a kettle that boils the water" for number in range(1, 13)]
    (tmp_path / "reviews.csv").write_text("review\n" + "\n".join(reviews), encoding="utf-8")
    recipes = [block("python", "csv.DictReader"), block("python", "csv.writer")]
    with MockGroupApi() as api:
        ended = run(edited(tmp_path, *recipes, imports="import csv\n"), api)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "answers.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "custom_id,state,question,answer,failure_reason",
        *(f"row-{i:03},Success,{text},You asked: {text}," for i, text in enumerate(reviews, 1)),
    ]
    assert [each["max_tokens"] for each in api.submissions[0]["requests"]] == [20] * 12


@pytest.mark.skipif(sys.platform == "win32", reason="the command is quoted for another shell")
def test_answers_that_cannot_be_written(tmp_path: Path) -> None:
    """The command to pick the group up is printed all the same."""
    (tmp_path / "answers.csv").mkdir()
    with MockGroupApi([DONE]) as api:
        recipe = block("python", "csv.writer")
        ended = run(edited(tmp_path, recipe, imports="import csv\n"), api)

    assert ended.stderr.startswith("Error: [Errno 21] Is a directory: 'answers.csv'")
    assert ended.stderr.splitlines()[-1].startswith(f"  uv run edited.py {GROUP_ID}")
    assert ended.returncode == 1


def test_json_answers(tmp_path: Path) -> None:
    """An answer that is no JSON counts as failed, with its text as the reason."""
    asked = '            "response_format": {"type": "json_object"},\n'
    build = re.search(r"(?ms)^def build_requests.*?(?=^def )", SCRIPT)
    assert build
    with_format = build[0].replace('            "metadata"', asked + '            "metadata"')
    recipes = [
        with_format,
        block("python", "def check_json"),
        block("python", "check_json(result)"),
    ]
    with MockGroupApi([DONE], answers={"req-001": "Paris, of course."}) as api:
        ended = run(edited(tmp_path, *recipes, imports="import json\n"), api)

    assert "    req-001: Not JSON: Paris, of course.\n" in re.sub(" +\n", "\n", ended.stdout)
    assert ended.stdout.count("✗ Failed") == 1
    assert "✓ Success" in ended.stdout
    assert ended.returncode == 1


def test_failed_requests_once_more(tmp_path: Path) -> None:
    """What failed in the group is sent again, as it was sent before, and nothing else."""
    failures = {"req-002": "Overloaded.", "req-005": "Overloaded."}
    with MockGroupApi([DONE], failures=failures) as api:
        ended = run(edited(tmp_path, block("python", '"6Z6oLaIo0PFleu2Wc1LIg")')), api)

    assert api.submissions == [{"requests": [REQUESTS[4], REQUESTS[1]]}]
    assert ended.stdout.count("✗ Failed") == 2


def test_the_api_half_in_a_program_of_its_own(tmp_path: Path) -> None:
    """A dozen lines submit a group, poll it, and print its answers in order."""
    half = edited_sample(tmp_path).read_text(encoding="utf-8").partition("# Terminal output")[0]
    lines = [line for line in half.splitlines() if not line.startswith("from rich")]
    (tmp_path / "group_api.py").write_text("\n".join(lines), encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text(block("python", "from group_api import"), encoding="utf-8")
    with MockGroupApi() as api:
        ended = run(program, api)

    printed = ended.stdout.splitlines()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert printed[0] == f"Group: {GROUP_ID}"
    assert [line.split()[:2] for line in printed[-2:]] == [
        [each["metadata"]["custom_id"], "Success"] for each in api.submissions[0]["requests"][-2:]
    ]


@pytest.mark.parametrize(
    "message",
    [
        "No API key",
        "INFERENCE_API_KEY is set, but cannot be a key",
        "No connection to ",
        "The group may exist all the same",
        "not there yet: HTTP 404",
        "timed out",
        "connection failed",
        "To see the rest, run this ",
        "/v1/async/group/chat/completions",
        "INFERENCE_BASE_URL",
        "# Terminal output",
    ],
)
def test_messages_are_the_scripts(message: str) -> None:
    """What the README tells to look for, the script says."""
    assert message in README
    assert message in SCRIPT


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?://)([^)#]+)\)", README), ids=str)
def test_relative_links_lead_somewhere(link: str) -> None:
    """Each names a file of the project."""
    assert (ROOT / link).exists()
