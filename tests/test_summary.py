"""The summary: every figure beside one worked out by hand, and the table cell by cell."""

import re
import runpy
from typing import Any

import httpx
import pytest
from conftest import Play, Run, generation, json_response, listed, requests_of
from mock_group_api import SAMPLE
from rich.cells import cell_len

FAMILY = "👨‍👩‍👧‍👦"


def summary_of(play: Play, generations: list[Any], size: int | None = None, **options: Any) -> Run:
    """Return a run of one poll that picks up a group of which generations are listed."""
    arguments = ("group", str(size)) if size else ("group",)
    return play(generations, arguments=arguments, MAX_POLL_ATTEMPTS=1, **options)


def section(report: str, title: str) -> list[str]:
    """Return the lines below the rule of a section, up to the next section or banner."""
    body = report.partition(f"\n  {title}\n  {'-' * (len(title) + 4)}\n")[2]
    assert body, f"no section {title}"
    return [line.rstrip() for line in re.split(r"\n\n  \w.*\n  --|\n+==", body)[0].splitlines()]


def figure(report: str, label: str) -> str:
    """Return the figure that stands behind a label, with its unit."""
    found = re.findall(rf"(?m)^      {label}: +(.*?) *$", report)
    assert len(found) == 1, f"{label} is there {len(found)} times"
    return str(found[0])


# Success Rate


@pytest.mark.parametrize(
    ("succeeded", "icon", "filled", "rate"),
    [
        pytest.param(10, "✓", 40, "100.0%", id="all"),
        pytest.param(9, "●", 36, "90.0%", id="most"),
        pytest.param(8, "●", 32, "80.0%", id="exactly 80 %"),
        pytest.param(7, "✗", 28, "70.0%", id="too few"),
        pytest.param(0, "✗", 0, "0.0%", id="none"),
    ],
)
def test_success_rate(play: Play, succeeded: int, icon: str, filled: int, rate: str) -> None:
    """Of a complete group the icon tells all, from 80 % and fewer; the bar has 40 cells."""
    failed = 10 - succeeded

    run = summary_of(play, listed(*["Success"] * succeeded, *["Failed"] * failed))

    assert section(run.out, "Success Rate") == [
        f"  {icon} |{'█' * filled}{'░' * (40 - filled)}| {rate}",
        "",
        f"      Successful:{succeeded:>6}",
        f"      Failed:{failed:>10}",
        "      Total:         10",
    ]
    assert run.status == (0 if succeeded == 10 else 1)


@pytest.mark.parametrize(
    ("succeeded", "failed", "size", "icon"),
    [
        pytest.param(3, 0, 10, "●", id="nothing failed so far"),
        pytest.param(0, 0, 10, "●", id="nothing finished so far"),
        pytest.param(1, 2, 10, "●", id="20 % of the group, two thirds of what is finished"),
        pytest.param(7, 3, 15, "●", id="20 % of the group, 30 % of what is finished"),
        pytest.param(0, 3, 10, "✗", id="30 % of the group"),
        pytest.param(39, 11, 51, "✗", id="21.6 % of the group"),
        pytest.param(9, 0, 10, "●", id="all but one, which is unfinished"),
    ],
)
def test_unfinished_is_not_failed(
    play: Play, succeeded: int, failed: int, size: int, icon: str
) -> None:
    """Of a group that is not complete, only what failed counts against it."""
    states = ["Success"] * succeeded + ["Failed"] * failed
    states += ["Queued"] * (size - len(states))

    run = summary_of(play, listed(*states))

    assert section(run.out, "Success Rate")[0].startswith(f"  {icon} |")


def test_a_bar_has_whole_cells_only(play: Play) -> None:
    """40 * 2 / 3 is 26.7, of which 26 are whole; 2 / 3 is 66.7 %."""
    run = summary_of(play, listed("Success", "Success", "Failed"))

    assert section(run.out, "Success Rate")[0] == f"  ✗ |{'█' * 26}{'░' * 14}| 66.7%"


def test_counts_what_is_unfinished(play: Play) -> None:
    """Requests that are neither a success nor a failure have a line of their own."""
    run = summary_of(play, listed("Success", "Failed", "In Progress", "Queued", "Paused"))

    assert section(run.out, "Success Rate")[2:] == [
        "      Successful:     1",
        "      Failed:         1",
        "      Unfinished:     3",
        "      Total:          5",
    ]
    assert run.status == 1


def test_counts_what_a_known_size_says_is_missing(play: Play) -> None:
    """With the group's SIZE, what is not listed at all is unfinished too."""
    run = summary_of(play, listed("Success", "Success", "Failed"), size=10)

    assert section(run.out, "Success Rate") == [
        f"  ● |{'█' * 8}{'░' * 32}| 20.0%",
        "",
        "      Successful:     2",
        "      Failed:         1",
        "      Unfinished:     7",
        "      Total:         10",
    ]


# Performance Metrics


def timed(dispatched_at: object, finished_at: object) -> dict[str, Any]:
    return {**listed("Success")[0], "dispatchedAt": dispatched_at, "finishedAt": finished_at}


def test_generation_times(play: Play) -> None:
    """1.5, 0.25 and 2 s are 1250 ms on average; a generation without both times is left out."""
    generations = [
        timed("2025-01-15T12:00:00.500Z", "2025-01-15T12:00:02Z"),
        timed("2025-01-15T12:00:00.123456789Z", "2025-01-15T12:00:00.373456789Z"),
        timed("2025-01-15T23:59:59+00:00", "2025-01-16T01:00:01+01:00"),
        timed("2025-01-15T12:00:00Z", None),
        timed(None, "2025-01-15T12:00:00Z"),
    ]

    run = summary_of(play, generations)

    assert section(run.out, "Performance Metrics")[1:4] == [
        "      Avg generation time:       1250.0ms",
        "      Min generation time:        250.0ms",
        "      Max generation time:       2000.0ms",
    ]


@pytest.mark.parametrize(
    ("finished_at", "milliseconds"),
    [
        pytest.param("2025-01-15T12:00:10Z", "10000.0ms", id="no fraction"),
        pytest.param("2025-01-15T12:00:10.5Z", "10500.0ms", id="1 digit"),
        pytest.param("2025-01-15T12:00:10.25Z", "10250.0ms", id="2 digits"),
        pytest.param("2025-01-15T12:00:10.125Z", "10125.0ms", id="3 digits"),
        pytest.param("2025-01-15T12:00:10.1253Z", "10125.3ms", id="4 digits"),
        pytest.param("2025-01-15T12:00:10.12530Z", "10125.3ms", id="5 digits"),
        pytest.param("2025-01-15T12:00:10.125300Z", "10125.3ms", id="6 digits"),
        pytest.param("2025-01-15T12:00:10.1253001Z", "10125.3ms", id="7 digits"),
        pytest.param("2025-01-15T12:00:10.12530012Z", "10125.3ms", id="8 digits"),
        pytest.param("2025-01-15T12:00:10.125300123Z", "10125.3ms", id="9 digits"),
        pytest.param("2025-01-15T12:00:10+00:00", "10000.0ms", id="UTC as an offset"),
        pytest.param("2025-01-15T14:00:10+02:00", "10000.0ms", id="east"),
        pytest.param("2025-01-15T06:30:10.5-05:30", "10500.0ms", id="west, with a fraction"),
        pytest.param("2025-01-16T00:00:00Z", "43200000.0ms", id="half a day"),
    ],
)
def test_reads_timestamps(play: Play, finished_at: str, milliseconds: str) -> None:
    """Fractions of any length and offsets are read, by every Python alike."""
    run = summary_of(play, [timed("2025-01-15T12:00:00Z", finished_at)])

    assert figure(run.out, "Avg generation time") == milliseconds


@pytest.mark.parametrize(
    "junk",
    [
        *[None, 1736942402, True, [], {}, ["2025-01-15T12:00:00Z"]],
        *["", "soon", "Z", "2025-13-40T00:00:00Z", "2025-01-15T12:00:60Z", "2025-01-15T12:00:0٣Z "],
    ],
)
def test_unknown_times_are_not_zero(play: Play, junk: object) -> None:
    """Without a pair of timestamps, and of a group picked up later, all five figures are n/a."""
    now = "2025-01-15T12:00:02Z"

    run = summary_of(play, [timed(junk, now), timed(now, junk), timed(junk, junk)])

    assert section(run.out, "Performance Metrics") == [
        "      Total wall-clock time:        n/a",
        "      Avg generation time:          n/a",
        "      Min generation time:          n/a",
        "      Max generation time:          n/a",
        "      Throughput:                   n/a",
    ]


def test_times_with_and_without_an_offset_have_no_difference(play: Play) -> None:
    """Whether the one without is UTC is not known, so nothing is made up."""
    run = summary_of(play, [timed("2025-01-15T12:00:00", "2025-01-15T12:00:02Z")])

    assert figure(run.out, "Avg generation time") == "n/a"


def test_throughput_is_finished_generations_by_wall_clock(play: Play) -> None:
    """A submission and two polls of 1 s, and a pause of 3 s between: 4 of 5 in 5 s, or 0.80."""
    finished = listed("Success", "Success", "Failed", "Success", "Queued")

    run = play(
        finished, NUM_REQUESTS=5, MAX_POLL_ATTEMPTS=2, POLL_INTERVAL_SECONDS=3, poll_seconds=1
    )

    assert section(run.out, "Performance Metrics")[0] == "      Total wall-clock time:       5.00s"
    assert (
        section(run.out, "Performance Metrics")[4]
        == "      Throughput:                  0.80 req/s"
    )


# Token Usage


def used(**usage: object) -> dict[str, Any]:
    return {**listed("Success")[0], "response": {"usage": usage}}


def test_token_usage(play: Play) -> None:
    """Sums are of what is known; the average is over the requests whose usage is known."""
    generations = [
        used(prompt_tokens=1000, completion_tokens=500, total_tokens=1500),
        used(prompt_tokens=234, completion_tokens=101, total_tokens=335),
        used(prompt_tokens=None, completion_tokens=[], total_tokens=True),
        used(prompt_tokens="7", completion_tokens=1.5),
        used(prompt_tokens=-9, completion_tokens=-(10**30), total_tokens=10**30),
        {**used(), "response": None},
        *listed("Failed"),
    ]

    run = summary_of(play, generations)

    assert section(run.out, "Token Usage") == [
        "      Prompt tokens:          1,234",
        "      Completion tokens:        601",
        "      Total tokens:           1,835",
        "      Avg completion/req:     300.5",
    ]


def test_unknown_tokens_are_not_zero(play: Play) -> None:
    """If no generation tells its usage, the four figures are n/a."""
    run = summary_of(play, [used(), {**used(), "response": None}])

    assert section(run.out, "Token Usage") == [
        "      Prompt tokens:            n/a",
        "      Completion tokens:        n/a",
        "      Total tokens:             n/a",
        "      Avg completion/req:       n/a",
    ]


def test_tokens_that_are_zero_are_zero(play: Play) -> None:
    """A known 0 is told apart from what is not known."""
    run = summary_of(play, [used(prompt_tokens=3, completion_tokens=0, total_tokens=3)])

    assert figure(run.out, "Completion tokens") == "0"
    assert figure(run.out, "Avg completion/req") == "0.0"


# Request-Response Correlation


def answered(question: object, content: object, custom_id: object = "req-001") -> dict[str, Any]:
    """Return a success with this content of its question and of its answer."""
    (request,) = requests_of(question)
    return {
        "state": "Success",
        "stateMessage": "Completed.",
        "request": {**request, "metadata": {"custom_id": custom_id}},
        "response": {"choices": [{"message": {"content": content}}]},
    }


@pytest.mark.parametrize(
    ("question", "cell"),
    [
        pytest.param("Why?", "Why?", id="short"),
        pytest.param("x" * 28, "x" * 28, id="28 cells"),
        pytest.param("x" * 29, "x" * 25 + "...", id="29 cells"),
        pytest.param("One two three four five sixth!", "One two three four five s...", id="words"),
        pytest.param("One two three four five,  and", "One two three four five, and", id="blanks"),
        pytest.param("One two three four five, and more", "One two three four five,...", id="cut"),
        pytest.param("法" * 14, "法" * 14, id="28 cells of Chinese"),
        pytest.param("法" * 15, "法" * 12 + "...", id="30 cells of Chinese"),
        pytest.param("🎉" * 15, "🎉" * 12 + "...", id="emoji"),
        pytest.param(FAMILY * 14, FAMILY * 14, id="28 cells of families"),
        pytest.param(FAMILY * 15, FAMILY * 12 + "...", id="families stay whole"),
        pytest.param("👍🏽" * 15, "👍🏽" * 12 + "...", id="skin tones stay"),
        pytest.param("e\u0301" * 28, "e\u0301" * 28, id="28 cells with accents"),
        pytest.param("ما هي عاصمة فرنسا؟", "ما هي عاصمة فرنسا؟", id="Arabic"),
        pytest.param(["a"], "n/a", id="parts that are none"),
        pytest.param(None, "n/a", id="null"),
        pytest.param(" \n ", "n/a", id="blank"),
        pytest.param({"text": "Why?"}, "n/a", id="an object"),
    ],
)
def test_question_cell(play: Play, question: object, cell: str) -> None:
    """A question is cut at 28 cells, in the middle of a word if need be."""
    run = summary_of(play, [answered(question, "So.")])

    padding = " " * (31 - cell_len(cell))
    assert run.rows == [f"  req-001    ✓ Success  {cell}{padding}So."]


@pytest.mark.parametrize(
    ("answer", "cell"),
    [
        pytest.param("So.", "So.", id="short"),
        pytest.param("y" * 25, "y" * 25, id="25 cells"),
        pytest.param("y" * 26, "y" * 22 + "...", id="26 cells of one word"),
        pytest.param("It is 22 cells to here but", "It is 22 cells to here...", id="22 fit"),
        pytest.param("It is 23 cells up to there, yes", "It is 23 cells up to...", id="23 do not"),
        pytest.param("It is incomprehensibilities", "It is...", id="before a long word"),
        pytest.param("Line one.\nLine two.", "Line one. Line two.", id="lines"),
        pytest.param("法国的首都是巴黎，位于塞纳河畔。", "法国的首都是巴黎，位于...", id="Chinese"),
        pytest.param("x" + "法" * 11 + " 法法", "x" + "法" * 10 + "...", id="before 23 cells"),
        pytest.param("🎉" * 13, "🎉" * 11 + "...", id="emoji"),
        pytest.param(FAMILY * 13, FAMILY * 11 + "...", id="families stay whole"),
        pytest.param("x" + "👍🏽" * 13, "x" + "👍🏽" * 10 + "...", id="skin tones at an odd place"),
        pytest.param("x" + FAMILY * 13, "x" + FAMILY * 10 + "...", id="families at an odd place"),
        pytest.param("باريس", "باريس", id="Arabic"),
        pytest.param("किसने लिखा", "किसने लिखा", id="Hindi"),
        pytest.param("Ja\u0308 🫠", "Ja\u0308 🫠", id="accents, and a new emoji"),
        pytest.param(None, "n/a", id="null"),
        pytest.param("", "n/a", id="empty"),
        pytest.param(" \n ", "n/a", id="blank"),
        pytest.param(42, "n/a", id="a number"),
    ],
)
def test_answer_cell(play: Play, answer: object, cell: str) -> None:
    """An answer is cut at 25 cells, at a word's end where there is one to cut at."""
    run = summary_of(play, [answered("Why?", answer)])

    assert run.rows == [f"  req-001    ✓ Success  Why?                           {cell}"]


def test_content_in_parts(play: Play) -> None:
    """Of a list of parts the text is shown, as a question and as an answer."""
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    question = [{"type": "text", "text": "What is"}, image, {"type": "text", "text": "in it?"}]
    answer = [{"type": "text", "text": "A cat."}]

    run = summary_of(play, [answered(question, answer)])

    (row,) = run.rows
    assert row.split() == ["req-001", "✓", "Success", "What", "is", "in", "it?", "A", "cat."]


def test_the_question_is_the_last_message(play: Play) -> None:
    """A conversation shows the message that was to be answered."""
    generation = answered("Why?", "So.")
    system = {"role": "system", "content": "Be brief."}
    generation["request"]["messages"].insert(0, system)

    run = summary_of(play, [generation])

    assert run.rows == ["  req-001    ✓ Success  Why?                           So."]


def test_a_success_without_text(play: Play) -> None:
    """An answer that is only a tool call shows nothing else in its place."""
    generation = answered("What time is it?", None)
    generation["response"]["choices"][0]["message"]["tool_calls"] = [{"id": "call-1"}]

    run = summary_of(play, [generation])

    assert run.rows == ["  req-001    ✓ Success  What time is it?               n/a"]


def test_a_row_for_every_state(play: Play) -> None:
    """A failure's answer is its reason; what is not finished shows its own state."""
    states = ["Success", "Failed", "In Progress", "Queued", "Waiting for capacity", None]
    generations = listed(*["Success"] * 6)
    for each, state in zip(generations, states):
        each |= {"state": state, "stateMessage": "A message."}
        if state != "Success":
            each["response"] = None

    run = summary_of(play, generations[::-1], size=7)

    assert run.rows[:6] == [
        "  req-001    ✓ Success    What is the capital of Fr... The capital of France...",
        "  req-002    ✗ Failed     What is 2 + 2?               A message.",
        "  req-003    In Progress  Name one planet in our so... n/a",
        "  req-004    Queued       What color is the sky on...  n/a",
        "  req-005    Waiting f... How many legs does a spid... n/a",
        "  req-006    n/a          What is the chemical symb... n/a",
    ]


def test_a_row_without_anything(play: Play) -> None:
    """An object that says nothing is still one request of the group."""
    run = summary_of(play, [{}])

    assert run.rows == ["  n/a        n/a          n/a                          n/a"]


def test_a_longer_id_is_shown_whole(play: Play) -> None:
    """Ids of one's own have up to 20 cells, which the other columns give them."""
    run = summary_of(play, [answered("Was it paid?", "Yes.", custom_id="invoice-2025-0001234")])

    assert run.rows[0].split() == [
        "invoice-2025-0001234",
        "✓",
        "Success",
        *["Was", "it", "paid?", "Yes."],
    ]


@pytest.mark.parametrize("custom_id", ["x" * 200, "法" * 200, FAMILY * 200, "x y " * 50])
def test_a_very_long_id_widens_nothing(play: Play, custom_id: str) -> None:
    """Whatever the ids are, the report has 80 columns and the row stays one line."""
    generations = [answered("Was it paid?", "Yes.", custom_id), answered("x" * 90, "y" * 90)]
    generations += [{**listed("Failed")[0], "request": generations[0]["request"]}]

    run = summary_of(play, generations)

    assert len(run.rows) == 3
    assert max(cell_len(line.rstrip()) for line in run.out.splitlines()) == 80
    assert sum("..." in row and "Was it paid?" in row for row in run.rows) == 2


def test_the_status_of_a_group_that_is_complete_later(play: Play) -> None:
    """The summary is of the last poll and not of those before it."""
    run = play(
        listed("Queued", "Queued"),
        listed("Success", "Failed"),
        arguments=("group", "2"),
        MAX_POLL_ATTEMPTS=3,
    )

    assert [row[13:23].strip() for row in run.rows] == ["✓ Success", "✗ Failed"]


def test_whole_answers_are_kept() -> None:
    """The table cuts an answer; whoever copies the API half has all of it, and the API's object."""
    generation = answered("Why?", "word " * 5000)
    generation["response"]["choices"].append({"message": {"content": "A second choice."}})
    transport = httpx.MockTransport(lambda _: json_response({"generations": [generation]}))
    client = httpx.Client(base_url="http://api.test", transport=transport)

    api_half = runpy.run_path(str(SAMPLE))
    ((result,), problem) = next(api_half["poll_group"](client, "group", 1))

    assert (result.answer, problem) == ("word " * 5000, "")
    assert result.generation == generation


# Failed Request Details


def test_failures_are_told_in_full(play: Play) -> None:
    """The table cuts a reason; the details below it do not, and keep to their indentation."""
    reason = "The model ran out of memory " * 5 + "and gave up."
    generations = listed("Success", "Failed")
    generations[1]["stateMessage"] = reason

    run = summary_of(play, generations)

    first, *others = section(run.out, "Failed Request Details")[1:]
    assert run.rows[1] == (
        "  req-002    ✗ Failed   What is 2 + 2?                 The model ran out of..."
    )
    assert first.startswith("    req-002: The model ran out of memory The model")
    assert " ".join([first, *others]).split() == f"req-002: {reason}".split()
    assert len(others) == 2
    assert all(re.match(r"    +\S", line) and len(line) <= 80 for line in others)


def test_every_failure_has_its_details(play: Play) -> None:
    """They come in the order of the table, one without a reason too."""
    generations = listed("Failed", "Success", "Failed", "Failed")
    generations[0]["stateMessage"] = "First."
    generations[2]["stateMessage"] = None
    generations[3]["stateMessage"] = "Last."

    run = summary_of(play, generations[::-1])

    assert section(run.out, "Failed Request Details") == [
        "",
        "    req-001: First.",
        "    req-003: n/a",
        "    req-004: Last.",
    ]


def test_a_failure_shows_its_reason_and_not_its_answer(play: Play) -> None:
    """What a model wrote before it failed is no answer."""
    generation = answered("Why?", "Because of the")

    run = summary_of(play, [{**generation, "state": "Failed", "stateMessage": "Cut off."}])

    assert run.rows == ["  req-001    ✗ Failed   Why?                           Cut off."]


def test_without_failures_there_are_no_details(play: Play) -> None:
    """The section is there only when it has something to tell."""
    assert "Failed Request Details" not in summary_of(play, listed("Success", "Queued")).out


# Closing words


@pytest.mark.parametrize(
    ("states", "size", "words"),
    [
        pytest.param(["Success"] * 2, 2, "Generation complete!", id="all succeeded"),
        pytest.param(["Success", "Failed"], 2, "Generation complete!", id="one failed"),
        pytest.param(["Failed"] * 2, 2, "Generation complete!", id="all failed"),
        pytest.param(["Success"] * 2, None, "All 2 listed requests are complete.", id="no size"),
        pytest.param(["Failed"], None, "All 1 listed requests? (is|are) complete.", id="only one"),
    ],
)
def test_closing_words(play: Play, states: list[str], size: int | None, words: str) -> None:
    """They end the report of a complete group, and claim no more than is known."""
    run = summary_of(play, listed(*states), size=size)

    assert re.search(rf"\n\n={{80}}\n {words}\n={{80}}\n$", run.out)
    assert ("Generation complete!" in run.out) == (size is not None)


@pytest.mark.parametrize(
    ("states", "size"),
    [
        pytest.param(["Success", "Queued"], 2, id="one is queued"),
        pytest.param(["Success", "Expired"], 2, id="one is in a state of its own"),
        pytest.param(["Success", "Success"], 3, id="one is not listed"),
        pytest.param(["Success", "Queued"], None, id="one is queued, no size"),
    ],
)
def test_no_closing_words_for_unfinished_work(
    play: Play, states: list[str], size: int | None
) -> None:
    """A report of a group that is not complete does not say that it is."""
    run = summary_of(play, listed(*states), size=size)

    assert "complete" not in run.out
    assert run.out.count("=" * 80) == 4
    assert run.status == 1


# Width


@pytest.mark.parametrize("columns", [80, 100, 200, 1000])
def test_is_never_wider_than_80_columns(play: Play, columns: int) -> None:
    """A wide terminal does not widen the report."""
    generations = listed("Success", "Failed")
    generations[1]["stateMessage"] = "Because. " * 40

    run = summary_of(play, generations, env={"COLUMNS": str(columns)})

    assert max(len(line) for line in run.out.splitlines()) == 80


@pytest.mark.parametrize("columns", [79, 60, 45, 41])
def test_shrinks_with_the_terminal(play: Play, columns: int) -> None:
    """On a narrower one no line is wider, and each row, bar and figure keeps to its line."""
    wide = summary_of(play, listed("Success", "Queued"))
    narrow = summary_of(play, listed("Success", "Queued"), env={"COLUMNS": str(columns)})

    assert max(cell_len(line.rstrip()) for line in narrow.out.splitlines()) == columns
    lines, fewer = (run.out.partition(" SUMMARY\n")[2].splitlines() for run in (wide, narrow))
    assert len(lines) == len(fewer)
    assert [line[:12] for line in lines[1:]] == [line[:12] for line in fewer[1:]]


def test_a_window_of_24_columns(play: Play) -> None:
    """Where no table has room, it is as narrow as 40 columns, and its rows are one line each."""
    run = summary_of(play, listed("Success", "Failed", "Queued"), env={"COLUMNS": "24"})

    assert max(cell_len(line.rstrip()) for line in run.out.splitlines()) <= 40
    assert re.search(r"\n  req-001 .*\n  req-002 .*\n  req-003 .*\n\n", run.out)
    assert re.search(r"Total\s+tokens:\s+118\s", run.out)


def test_an_answer_to_a_poll_may_say_more(play: Play) -> None:
    """Fields that are not documented change nothing."""
    body = {"generations": [{**each, "x": [1]} for each in listed("Success")], "next": None}

    run = play(json_response(body), arguments=("group", "1"))

    assert run.rows == [
        "  req-001    ✓ Success  What is the capital of Fr...   The capital of France..."
    ]
    assert run.status == 0


def test_ten_of_the_seed(play: Play) -> None:
    """The seed's timings and token counts are figured out of ten generations."""
    requests = requests_of(*"abcdefghij")
    generations = [generation(each, index, "Success") for index, each in enumerate(requests)]

    run = summary_of(play, generations)

    labels = ["Avg generation time", "Min generation time", "Max generation time"]
    assert [figure(run.out, label) for label in labels] == ["2803.1ms", "955.0ms", "4556.0ms"]
    assert [figure(run.out, f"{label} tokens") for label in ("Prompt", "Completion", "Total")] == [
        "186",
        "1,000",
        "1,186",
    ]
