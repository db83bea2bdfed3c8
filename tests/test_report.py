"""The report: as shipped, the seed's; every figure beside one worked out by hand; where it goes."""

import re
from typing import Any

import pytest
from conftest import Run, json_response, listed, on_posix, play, readme_block, run_sample, styled
from mock_group_api import SAMPLE, MockGroupApi, requests_of
from rich.cells import cell_len


def test_prints_the_sample_output_as_shipped() -> None:
    """Into a pipe a run prints the README's sample output, line for line, over one connection."""
    shown = readme_block("", "=====").replace("interval: 2s", "interval: 0.01s")
    with MockGroupApi() as api:
        run = run_sample(api, NUM_REQUESTS=None, MODEL_ID=None, QUESTIONS=None)

    head, _, tail = shown.partition("  ...\n")  # The README may leave out rows of the table.
    first, last = Run(out=head).lines, Run(out=tail).lines
    assert run.lines[: len(first)] == first
    assert run.lines[len(run.lines) - len(last) :] == last
    assert (run.status, run.err, len(run.rows)) == (0, "", 10)
    assert [call[0] for call in api.calls] == ["POST", "GET", "GET", "GET"]
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


def summary_of(generations: list[Any], size: int | None = None, **options: Any) -> Run:
    """Return a run of one poll that picks up a group of which generations are listed."""
    arguments = ("group", str(size)) if size else ("group",)
    return play(generations, arguments=arguments, MAX_POLL_ATTEMPTS=1, **options)


def figures(run: Run, *labels: str) -> list[str]:
    """Return what stands behind labels."""
    found = dict(re.findall(r"(?m)^      (.+?):? *([\d,.]+[a-z/ ]*|n/a)$", "\n".join(run.lines)))
    return [found[label].strip() for label in labels]


EVERYTHING = f"""\
  [  1] |<green>{"█" * 12}</><red>{"█" * 5}</>{"░" * 13}| 4/7 (57%) (⏳ 1 running, 0 queued)

<cyan>{"=" * 80}</>
 <bold>GROUP GENERATION SUMMARY</>
<cyan>{"=" * 80}</>

  <bold>Success Rate</>
  <bold>----------------</>
  <bold>● |</><green>{"█" * 17}</><reverse red>{"░" * 5}</>{"░" * 18}<bold>| 42.9%</>

      Successful:     <bold>3</>
      Failed:         <bold>1</>
      Unfinished:     <bold>3</>
      Total:          <bold>7</>

  <bold>Performance Metrics</>
  <bold>-----------------------</>
      Total wall-clock time:       <bold>1.25</>s
      Avg generation time:       <bold>1970.5</>ms
      Min generation time:        <bold>955.0</>ms
      Max generation time:       <bold>2671.0</>ms
      Throughput:                  <bold>3.20</> req/s

  <bold>Token Usage</>
  <bold>---------------</>
      Prompt tokens:             <bold>56</>
      Completion tokens:        <bold>300</>
      Total tokens:             <bold>356</>
      Avg completion/req:     <bold>100.0</>

  <bold>Request-Response Correlation</>
  <bold>--------------------------------</>

  <bold>ID</>         <bold>Status</>       <bold>Question</>                     <bold>Response</>\
{" " * 17}
  <dim>{"-" * 10} {"-" * 12} {"-" * 28} {"-" * 25}</>
  req-001    <green>✓ Success</>    What is the capital of Fr... The capital of France...
  req-002    <green>✓ Success</>    What is 2 + 2?               2 + 2 equals 4.
  req-003    <red>✗ Failed</>     Name one planet in our so... The model ran out of...
  req-004    <green>✓ Success</>    What color is the sky on...  On a clear day the sky...
  req-005    In Progress  How many legs does a spid... The model is writing...
  req-006    Waiting for… What is the chemical symb... The group expired...
  req-007    Not listed   Who wrote Romeo and Juliet?  n/a

  <bold>Failed Request Details</>
  <bold>--------------------------</>

    <red>req-003</>: The model ran out of memory The model ran out of memory The model
    ran out of memory The model ran out of memory and gave up.
"""


def test_a_group_with_everything() -> None:
    """In a pipe, the text is the same without its styles.

    2344, 955, 1912 and 2671 ms are 1970.5 on average; the successes had 18 + 17 + 21 and 3 * 100
    tokens. The submission and the poll took 0.625 s each, and 4 in 1.25 s are 3.2 a second.
    """
    generations = listed("SSFSIE")
    generations[2]["stateMessage"] = "The model ran out of memory " * 4 + "and gave up."
    generations[5]["state"] = "Waiting for capacity"
    options: dict[str, Any] = {"NUM_REQUESTS": 7, "MAX_POLL_ATTEMPTS": 1, "poll_seconds": 0.625}

    run = play(generations[::-1], env={"FORCE_COLOR": "1"}, **options)
    plain = play(generations[::-1], **options)

    expected = EVERYTHING.splitlines()
    assert styled(run.out)[-len(expected) :] == expected
    lines = re.sub(r"\x1b\[[\d;]*m", "", run.out).splitlines()
    assert plain.out.splitlines() == [line.rstrip() for line in lines]
    assert (run.status, run.command) == (1, ["async_polling_example.py", "group", "7"])


@pytest.mark.parametrize(
    ("states", "size", "bar", "closing"),
    [
        ("S" * 10, 10, f"✓ |{'█' * 40}| 100.0%", "Generation complete!"),
        ("S" * 8 + "F" * 2, 10, f"● |{'█' * 32}{'░' * 8}| 80.0%", "Generation complete!"),
        ("S" * 7 + "F" * 3, 10, f"✗ |{'█' * 28}{'░' * 12}| 70.0%", "Generation complete!"),
        ("SSF", None, f"✗ |{'█' * 26}{'░' * 14}| 66.7%", "All 3 listed requests are complete."),
        ("SFFQQQQQQQ", None, f"● |{'█' * 4}{'░' * 36}| 10.0%", ""),
        ("FFFQQQQQQQ", None, f"✗ |{'░' * 40}| 0.0%", ""),
        ("SE", 2, f"● |{'█' * 20}{'░' * 20}| 50.0%", ""),
    ],
)
def test_success_rate(states: str, size: int | None, bar: str, closing: str) -> None:
    """✗ if more than 20 % of the group failed: "not yet" is no failure. Bars have whole cells."""
    run = summary_of(listed(states), size=size)

    assert f"  Success Rate\n  ----------------\n  {bar}\n" in "\n".join(run.lines)
    assert run.status == (0 if set(states) == {"S"} and closing else 1)
    end = f"\n\n{'=' * 80}\n {closing}\n{'=' * 80}\n" if closing else "\n"
    assert run.out.endswith(end)
    assert run.out.count("=" * 80) == (6 if closing else 4)
    assert (run.command == []) == bool(closing)


def timed(dispatched_at: object, finished_at: object) -> dict[str, Any]:
    times = {"dispatchedAt": dispatched_at, "finishedAt": finished_at}
    return {**listed("S")[0], **times, "request": None}


def test_generation_times() -> None:
    """Of 1500, 250, 2000 and 10125.3 ms; what lacks a time that can be read is left out."""
    generations = [
        timed("2025-01-15T12:00:00.500Z", "2025-01-15T12:00:02Z"),
        timed("2025-01-15T12:00:00.123456Z", "2025-01-15T12:00:00.373456Z"),
        timed("2025-01-15T23:59:59+00:00", "2025-01-16T01:00:01+01:00"),
        timed("2025-01-15T12:00:00Z", "2025-01-15T06:30:10.125300-05:30"),
    ]
    junk: list[Any] = [None, 7, True, [], "", "Z", "2025-13-40T00:00:00Z", "2025-01-15T12:00:02"]
    now = "2025-01-15T12:00:02Z"
    unknown = [each for value in junk for each in (timed(value, now), timed(now, value))]

    run, nothing = summary_of(generations + unknown), summary_of(unknown)

    labels = [f"{each} generation time" for each in ("Avg", "Min", "Max")]
    assert figures(run, *labels) == ["3468.8ms", "250.0ms", "10125.3ms"]
    assert figures(nothing, *labels) == ["n/a"] * 3


@pytest.mark.parametrize(
    ("usages", "shown"),
    [
        ([(1000, 500, 1500), (234, 101, 335)], ["1,234", "601", "1,835", "300.5"]),
        ([(None, [], True), ("7", 1.5, {})], ["n/a"] * 4),
        ([(3, 0, 3), (None, None, None)], ["3", "0", "3", "0.0"]),
    ],
)
def test_token_usage(usages: list[Any], shown: list[str]) -> None:
    """Sums are of what is known; the average is over the requests whose usage is known."""
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    responses: list[Any] = [{"usage": dict(zip(names, usage))} for usage in usages] + [{}, None]

    nameless = listed("S")[0] | {"request": None}
    run = summary_of([nameless | {"response": each} for each in responses])

    labels = ("Prompt tokens", "Completion tokens", "Total tokens", "Avg completion/req")
    assert figures(run, *labels) == shown


def answered(question: object, answer: object, custom_id: object = "req-001") -> dict[str, Any]:
    """Return a success with this content of its question and of its answer."""
    request = requests_of(question)[0] | {"metadata": {"custom_id": custom_id}}
    request["messages"].insert(0, {"role": "system", "content": "Be brief."})
    choices = [{"message": {"content": each}} for each in (answer, "A second choice.")]
    return {"state": "Success", "request": request, "response": {"choices": choices}}


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("x" * 25, "x" * 25, "x" * 25),
        ("x" * 28, "x" * 28, "x" * 22 + "..."),
        ("x" * 29, "x" * 25 + "...", "x" * 22 + "..."),
        ("It is 22 cells to here but", "It is 22 cells to here but", "It is 22 cells to here..."),
        ("It is 23 cells up to there", "It is 23 cells up to there", "It is 23 cells up to..."),
        ("Line one.\nLine two.", "Line one. Line two.", "Line one. Line two."),
        ("x" + "法" * 14, "x" + "法" * 12 + "...", "x" + "法" * 10 + "..."),
        ("e\u0301" * 28, "e\u0301" * 28, "e\u0301" * 22 + "..."),
        ([{"text": "Two p"}, {"type": "image_url"}, {"text": "arts."}], "Two parts.", "Two parts."),
    ],
)
def test_cells(text: object, question: str, answer: str) -> None:
    """A question, the last message, is cut at 28 cells, an answer at 25, where a word ends."""
    run = summary_of([answered(text, text)])

    padding = " " * (31 - cell_len(question))
    assert run.rows == [f"  req-001    ✓ Success  {question}{padding}{answer}"]


def test_a_longer_id_narrows_the_question() -> None:
    """It has up to 20 cells; whatever the ids are, the report has 80 columns."""
    run = summary_of([answered("x" * 90, "y" * 90, "法" * 200)])

    expected = f"  {'法' * 9} … ✓ Success  {'x' * 19}… {'y' * 22}..."
    assert run.rows == [expected]
    assert max(cell_len(line) for line in run.lines) == 80


@pytest.mark.parametrize(
    ("state", "content", "finish_reason", "state_message", "shown"),
    [
        ("Success", None, "length", "Done.", "(no text: length)"),
        ("Success", "", None, "Done.", "(no text: n/a)"),
        ("Failed", "Because of the", None, "Cut off.", "Cut off."),
        ("Expired", None, None, "Too late.", "Too late."),
    ],
)
def test_what_stands_for_an_answer(
    state: str, content: object, finish_reason: object, state_message: object, shown: str
) -> None:
    """A success without text says why; all else shows the API's words, not what was begun."""
    generation = answered("Why?", content) | {"state": state, "stateMessage": state_message}
    generation["response"]["choices"][0]["finish_reason"] = finish_reason

    run = summary_of([generation])

    assert run.rows[0].partition("Why?")[2].strip() == shown
