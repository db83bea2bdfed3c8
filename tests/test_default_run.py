"""The run that everybody sees first: as shipped, against an API that plays the seed's story."""

from typing import Any

import pytest
from conftest import Run, json_response, listed, on_posix, play, readme_block, run_sample
from mock_group_api import API_KEY, SAMPLE, MockGroupApi

AS_SHIPPED: dict[str, Any] = dict.fromkeys(["NUM_REQUESTS", "MODEL_ID", "QUESTIONS"])


def test_prints_the_sample_output_as_shipped() -> None:
    """Into a pipe a run prints the README's sample output, line for line, over one connection."""
    shown = readme_block("", "=====").replace("interval: 2s", "interval: 0.01s")
    with MockGroupApi() as api:
        run = run_sample(api, **AS_SHIPPED)

    head, _, tail = shown.partition("  ...\n")  # The README may leave out rows of the table.
    first, last = Run(out=head).lines, Run(out=tail).lines
    assert run.lines[: len(first)] == first
    assert run.lines[len(run.lines) - len(last) :] == last
    assert (run.status, run.err, len(run.rows)) == (0, "", 10)
    assert [call[0] for call in api.calls] == ["POST", "GET", "GET", "GET"]
    assert {call[1]["authorization"] for call in api.calls} == {f"Bearer {API_KEY}"}
    assert len(api.connections) == 1


@pytest.mark.parametrize(("size", "more"), [(1, ""), (5, ""), (6, "    ... and 1 more\n")])
def test_shows_the_first_five_questions(size: int, more: str) -> None:
    """Of the others it says how many there are; a question ends at the right margin."""
    run = play(listed("S" * size), NUM_REQUESTS=size, QUESTIONS=["Why?", "x" * 200])

    long = "x" * 66 + "…"
    shown = [f"    req-00{i}: {long if i % 2 == 0 else 'Why?'}\n" for i in range(1, 6)][:size]
    assert f"-\n\n{''.join(shown)}{more}\n  Submitting to " in run.out
    assert run.counts == [f"{size}/{size} (100%)"]


@pytest.mark.parametrize(("told", "size"), [(3, 3), (1, 1), (None, 2), ("3", 2), (0, 2)])
def test_waits_for_the_size_that_the_api_tells(told: object, size: int) -> None:
    """It may be more than was sent, and the run incomplete. What is listed counts in any case."""
    run = play(listed("SS"), submission=json_response({"groupId": "group", "groupSize": told}))

    assert f"  ✓ Group created: group\n  ✓ Group size: {size}\n" in run.out
    last = ("2/3 (66%)", 1) if size == 3 else ("2/2 (100%)", 0)
    assert (run.counts[-1], run.status) == last
    assert ("      Unfinished:     1\n" in run.out) == (size == 3)


def play_story(**options: Any) -> Run:
    polls = listed("QQQQQ"), listed("SSSSSSSSII"), listed("SSSSSSSSSS")
    return play(*polls, NUM_REQUESTS=10, **options)


ASCII = "sys.stdout.reconfigure(encoding='ascii', errors='strict')"
NOTEBOOK = """
import io
class Notebook(io.StringIO):
    write, flush = sys.stdout.write, sys.stdout.flush
sys.stdout = Notebook()
"""


@pytest.mark.parametrize(("code", "encoding"), [(ASCII, "ascii"), (NOTEBOOK, "utf-8")])
def test_another_stdout(code: str, encoding: str) -> None:
    """Where "✓" cannot be written, another character stands for it; a notebook's is no file."""
    run = play_story(code=code)

    expected = [line.encode(encoding, "replace").decode() for line in play_story().lines]
    assert run.lines == expected


@on_posix
def test_an_import_changes_nothing() -> None:
    """Who imports it finds nothing printed, and stdout as it was."""
    program = f"import sys, {SAMPLE.stem}; print(sys.stdout.errors)"

    run = run_sample("", shell=f'cd "${{2%/*}}" && "$1" -c "{program}"')

    assert (run.status, run.out, run.err) == (0, "strict\n", "")


@pytest.mark.parametrize(("columns", "width"), [(200, 80), (79, 79), (60, 60), (40, 40), (24, 40)])
def test_shrinks_with_the_terminal(columns: int, width: int) -> None:
    """On a narrower one, down to 40, no line is wider; rows, bars and figures keep their lines."""
    run = play_story(env={"COLUMNS": str(columns)})

    assert max(map(len, run.lines)) == width
    assert len({line.rindex("|") for line in run.poll_lines}) == 1
    narrow, wide = (each.lines[-50:] for each in (run, play_story()))  # From the first poll on
    assert [line[:8] for line in narrow] == [line[:8] for line in wide]
