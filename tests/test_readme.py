"""The README: its commands and recipes are run as they stand, its facts held to the script."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import mock_group_api as mock
import pytest
from conftest import README, Run, edited_sample, environment, on_posix, readme_block, run_to_end
from mock_group_api import DONE, GROUP_ID, SAMPLE, MockGroupApi

ROOT = SAMPLE.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
SHIPPED = SAMPLE.read_text("utf-8")
REPORT = "            print_report(group)\n"  # Where recipes for main belong
SAVE = f"{REPORT}            save_answers(group)\n"


def test_headers_and_pyproject_agree() -> None:
    """Script, mock and project name the same Python and packages; those of the script are two."""
    names = "(?m)^# ((?:requires-python|dependencies) = .*)$"
    python, packages = re.findall(names, SHIPPED)
    mock_python, mock_packages = re.findall(names, Path(mock.__file__).read_text("utf-8"))

    assert {python, packages, mock_python} <= set(PYPROJECT.splitlines())
    assert re.findall(r'"(\w+)>=[\d.]+,<\d+"', packages) == ["httpx", "rich"]
    assert [each for each in re.findall(r'".+?"', mock_packages) if each not in PYPROJECT] == []


def test_the_constants_as_shipped() -> None:
    """They stand in the README as they stand in the script, and have the seed's values."""
    constants = readme_block("python", "MAX_POLL_ATTEMPTS = 120")

    assert constants in SHIPPED
    assert all(f'    "{question}",\n' in SHIPPED for question in mock.ANSWERS)
    assert re.findall(r"= (\S+) ", constants) == ["10", '"inference-net/load-test"', "2", "120"]


def test_what_it_shows_is_true() -> None:
    """Messages are the script's, the JSON is the mock's, and links lead somewhere."""
    (shown,) = json.loads(readme_block("json", '"generations"'))["generations"]
    (request,) = mock.requests_of("What is the capital of France?")
    listed = mock.generation(request, 0, "Success")

    for choice in listed["response"]["choices"]:
        del choice["index"], choice["message"]["role"]
    del listed["response"]["object"], listed["response"]["model"]
    assert shown == listed
    for words in ("The group may exist all the same", "The group is not complete yet", "not there"):
        assert (words in README, words in SHIPPED) == (True, True)
    for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (ROOT / link).exists()


COMMANDS = re.findall(r"(?m)(?:^|`)((?:uv run|export) [^`\n]+)", README)
# Others need a script of one's own, or write into the project.
COMMANDS = [each for each in COMMANDS if not re.search("my_|retry|record|pytest|--serve", each)]


@on_posix
@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
@pytest.mark.parametrize("command", sorted({*COMMANDS}))
def test_each_command_works(tmp_path: Path, command: str) -> None:
    """It is run by a shell in a copy of the project, against the mock."""
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / SAMPLE.name).write_text(edited_sample(POLL_INTERVAL_SECONDS=0.01), "utf-8")
    (tmp_path / ".env").write_text(f"INFERENCE_API_KEY={mock.API_KEY}\n", "utf-8")
    own = {"UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    env |= {} if "--env-file" in command else {"INFERENCE_API_KEY": mock.API_KEY}
    with MockGroupApi([DONE]) as api:
        api.groups[GROUP_ID] = mock.requests_of(*mock.ANSWERS)
        # Of this Python uv has the packages already; of another it may not.
        env |= {"INFERENCE_BASE_URL": api.url, "UV_OFFLINE": "1", "UV_PYTHON": sys.executable}
        run = run_to_end(["sh", "-c", command], env=env, cwd=tmp_path)

    if re.search("network (was|connectivity is) disabled", run.err, re.IGNORECASE):
        pytest.skip("uv has not fetched the packages yet")
    assert run.status == 0, run.err
    assert ("Generation complete!" in run.out) == command.startswith("uv run")
    assert len(api.submissions) == command.endswith(SAMPLE.name)


def edited(recipe: str, in_main: str) -> str:
    """Return the sample with a recipe above its last lines, and with a line of it in main."""
    sample = edited_sample(code="import csv, json\n" + recipe, POLL_INTERVAL_SECONDS=0.01)
    assert REPORT in sample
    return sample.replace(REPORT, in_main)


def run_program(folder: Path, api: MockGroupApi, program: str, *arguments: str) -> Run:
    """Run it beside the sample."""
    own: Any = {"NUM_REQUESTS": 10, "QUESTIONS": list(mock.ANSWERS)}
    sample = edited_sample(POLL_INTERVAL_SECONDS=0.01, **own)
    (folder / SAMPLE.name).write_text(sample, "utf-8")
    (folder / "program.py").write_text(program, "utf-8")
    command = [sys.executable, "program.py", *arguments]
    return run_to_end(command, env=environment(api.url), cwd=folder)


def test_a_csv_in_and_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row comes out once, as it went in, in a first run and a later one, if there is any."""
    rows = [["b", '"Yes",\nor no'], ["a", "\U0001f389 good"], ["10", ""], ["9", "Half \ud83d"]]
    question = f"Is this review positive? {rows[0][1]}"
    monkeypatch.setitem(mock.ANSWERS, question, "Half \ud83d")
    with open(tmp_path / "reviews.csv", "w", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows([["id", "review"], *rows[:2], [], *rows[2:]])
    recipe = readme_block("python", "csv.DictReader")
    with MockGroupApi([[]], failures={"a": "Too long."}) as api:
        run_program(tmp_path, api, edited(f"{recipe}MAX_POLL_ATTEMPTS = 1\n", SAVE))
        assert not list(tmp_path.glob("answers-*"))
        api.polls, api.failing_group = None, ""
        first = run_program(tmp_path, api, edited(recipe, SAVE))
        (path,) = tmp_path.glob("answers-*.csv")
        written = path.read_text("utf-8-sig")
        second = run_program(tmp_path, api, edited(recipe, SAVE), "mock-group-2", "4")

    sent = [each["messages"][0]["content"][25:] for each in api.submissions[1]["requests"]]
    table = list(csv.reader(written.splitlines(keepends=True)))
    assert [row[:2] for row in table[1:]] == [[key, text] for (key, _), text in zip(rows, sent)]
    assert table[0][2:] == ["question", "state", "answer", "finish_reason", "message"]
    assert table[1][2:] == [question, "Success", "Half ?", "stop", "Completed."]
    assert table[2][3:] == ["Failed", "", "", "Too long."]
    assert (first.status, second.status, len(api.submissions)) == (1, 1, 2)
    assert (path.name, path.read_text("utf-8-sig")) == ("answers-mock-group-2.csv", written)


def test_json_answers(tmp_path: Path) -> None:
    """What is no object with the keys asked for is a failure, and shows what came instead."""
    good = '{"positive": true, "reason": "It says so."}'
    bad = ["42", "null", "NaN", "[]", '"a"', "[" * 20_000, "Yes.", '{"positive": true}']
    listed = [mock.generation(each, 0, "Success") for each in mock.requests_of(*bad, good)]
    for each, answer in zip(listed, [*bad, good]):
        each["response"]["choices"][0]["message"]["content"] = answer
    (line,) = re.findall(r"`(group\.results = \[check_json.*?)`", README)
    program = edited(readme_block("python", "def check_json"), f"            {line}\n{REPORT}")
    with MockGroupApi([mock.json_response({"generations": listed})]) as api:
        run = run_program(tmp_path, api, program, mock.FINISHED_GROUP_ID, "9")

    reasons = re.findall(r"    req-\d\d\d: Not as asked:\s+(\S{1,7})", run.out)
    assert reasons == [each[:7] for each in bad]
    assert [row.split()[2] for row in run.rows] == ["Failed"] * 8 + ["Success"]
    assert run.status == 1


def test_retrying(tmp_path: Path) -> None:
    """What has no answer is sent again when all is complete; nothing that has one is."""
    recipe = readme_block("python", "retries-of")
    states = ["Success", "Expired", "Success", "Failed", *["Success"] * 5]
    with MockGroupApi([["Queued"], states]) as api:
        api.groups[GROUP_ID] = mock.requests_of(*mock.ANSWERS)
        runs = [run_program(tmp_path, api, recipe, GROUP_ID) for _ in range(4)]
        retry, _ = (tmp_path / f"retries-of-{GROUP_ID}.txt").read_text().split()
        refused = run_program(tmp_path, api, recipe, retry)
        other = run_program(tmp_path, api, recipe.replace("build_requests()", "[]"), GROUP_ID)

    sent = [
        [each["metadata"]["custom_id"] for each in body["requests"]] for body in api.submissions
    ]
    assert sent == [["req-002", "req-004", "req-010"], ["req-004"]]
    assert [run.status for run in runs] == [1, 0, 1, 0]
    assert runs[0].err == f"Group {GROUP_ID} is not complete yet.\n"
    assert runs[1].out.startswith("Submitted again: 3.")
    assert runs[2].err == f"Group {retry} is not complete yet.\n"
    assert refused.err.startswith("This group is a retry.")
    assert other.err.startswith("This group has other requests")


def test_a_retry_that_fails(tmp_path: Path) -> None:
    """It is not repeated before somebody has looked; JSON that is not as asked is no answer."""
    (line,) = re.findall(r"`(results = \[check_json.*?)`", README)
    check_json = readme_block("python", "def check_json")
    recipe = readme_block("python", "retries-of")
    recipe = recipe.replace("results = fetch_results(client, group_id)", line)
    program = f"import json\nfrom {SAMPLE.stem} import Result\n{check_json}\n{recipe}"
    with MockGroupApi([DONE], submission=mock.error(402, "Pay.")) as api:
        failed, again = (run_program(tmp_path, api, program, mock.FINISHED_GROUP_ID) for _ in "12")

    assert "402" in failed.err
    assert again.err.startswith("A submission failed.")
    assert [len(body["requests"]) for body in api.submissions] == [10]


def test_many_groups(tmp_path: Path) -> None:
    """120 questions are three groups; a program that was stopped submits only what is missing."""
    recipe = readme_block("python", "groups.txt")
    with MockGroupApi([mock.error(404, "not there yet"), DONE]) as api:
        run = run_program(tmp_path, api, recipe)
        again = run_program(tmp_path, api, recipe)
        (tmp_path / "groups.txt").write_text(" ".join([*api.groups][1:3]))
        last = run_program(tmp_path, api, recipe)
        lost = f"{recipe.partition('submit_group(client')[0]}None)"
        (tmp_path / "groups.txt").write_text("")
        run_program(tmp_path, api, lost)
        refused = run_program(tmp_path, api, recipe)

    answers = [re.findall("(?m)^square.*", each.out) for each in (run, again)]
    assert [len(each["requests"]) for each in api.submissions] == [50, 50, 20, 20]
    assert [each[:10] for each in answers[0]] == [f"square-{number:03}" for number in range(1, 121)]
    assert "square-120 Success 'You asked: What is 120 squared?'" in run.out
    assert run.out.splitlines().count("Complete.") == 3
    assert (run.err, again.err, answers[1], last.status) == ("", "", answers[0], 0)
    assert run.out.startswith(f"{GROUP_ID} 0 listed not there yet\n")
    assert refused.err.startswith("A submission failed.")


def test_only_the_api(tmp_path: Path) -> None:
    """That half needs no rich, prints nothing, and sends no requests that break a rule."""
    half = SHIPPED.partition("\n# Terminal output")[0]
    half = re.sub(r"(?m)^(from|import) rich.*\n", "", half)
    (tmp_path / "group_api.py").write_text(f"{half}\nMAX_POLL_ATTEMPTS = 1\n", "utf-8")
    recipe = readme_block("python", "groups.txt").replace(SAMPLE.stem, "group_api")
    program = f"import sys\nsys.modules['rich'] = None  # As if it were not installed\n{recipe}"
    with MockGroupApi([[*DONE[:2], "Queued"]]) as api:
        run = run_program(tmp_path, api, program)
        wrong = run_program(tmp_path, api, f"{program}submit_group(client, requests)")

    assert run.out.splitlines()[0] == f"{GROUP_ID} 3 listed "
    assert "\nsquare-003 Queued 'Waiting for a free worker.'\n" in run.out
    assert run.out.splitlines().count("Not complete yet.") == 3
    assert wrong.err.splitlines()[-1].startswith("ValueError: A group has 1 to 50 requests")
    assert len(api.submissions) == 3
    assert not re.search(r"(?m)rich\.|^ *print\(|console|sys\.std", half)
