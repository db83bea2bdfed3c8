"""The summary: every figure against one worked out by hand, and the table cell by cell."""

from typing import Any

import httpx
import pytest
from conftest import Clock, MainRunner, Run, answering, set_console_width
from mock_group_api import generation

import async_polling_example as sample

REQUESTS = sample.build_requests()


def summary_of(run_main: MainRunner, generations: list[dict[str, Any]]) -> Run:
    """Return the run that picks up a group which consists of generations."""
    return run_main("group", client=answering(generations))


def section(report: str, title: str) -> list[str]:
    """Return the lines of a section, from below its rule to the next blank line but one."""
    lines = [line.rstrip() for line in report.splitlines()]
    start = lines.index(f"  {title}")
    assert lines[start + 1] == "  " + "-" * (len(title) + 4)
    rest = lines[start + 2 :]
    ends = [i for i, line in enumerate(rest) if i > 0 and not line and rest[i + 1][:3] != "   "]
    return rest[: ends[0]] if ends else rest


def of_ten(*states: str, reason: str = "Out of memory.") -> list[dict[str, Any]]:
    return [
        generation(REQUESTS[index], index, state, reason if state == "Failed" else None)
        for index, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("succeeded", "icon", "filled", "rate"),
    [
        pytest.param(10, "✓", 40, "100.0%", id="all"),
        pytest.param(9, "●", 36, "90.0%", id="most"),
        pytest.param(8, "●", 32, "80.0%", id="just enough"),
        pytest.param(7, "✗", 28, "70.0%", id="too few"),
        pytest.param(0, "✗", 0, "0.0%", id="none"),
    ],
)
def test_success_rate(
    run_main: MainRunner, succeeded: int, icon: str, filled: int, rate: str
) -> None:
    """The icon tells all from 80 % and more from less; the bar has floor(40 * rate) cells."""
    run = summary_of(run_main, of_ten(*["Success"] * succeeded, *["Failed"] * (10 - succeeded)))

    assert section(run.out, "Success Rate") == [
        f"  {icon} |{'█' * filled}{'░' * (40 - filled)}| {rate}",
        "",
        f"      Successful:{succeeded:>6}",
        f"      Failed:{10 - succeeded:>10}",
        "      Total:         10",
    ]
    assert run.status == (0 if succeeded == 10 else 1)


def test_two_of_three_fill_26_of_40_cells(run_main: MainRunner) -> None:
    """40 * 2 / 3 is 26.7, of which 26 are whole; 2 / 3 is 66.7 %."""
    run = summary_of(run_main, of_ten("Success", "Success", "Failed"))

    assert section(run.out, "Success Rate")[0] == f"  ✗ |{'█' * 26}{'░' * 14}| 66.7%"


def test_counts_what_is_unfinished(run_main: MainRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that are neither a success nor a failure have a line of their own."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    run = summary_of(run_main, of_ten("Success", "Failed", "In Progress", "Queued", "Paused"))

    assert section(run.out, "Success Rate")[2:] == [
        "      Successful:     1",
        "      Failed:         1",
        "      Unfinished:     3",
        "      Total:          5",
    ]


def timed(dispatched_at: object, finished_at: object) -> dict[str, Any]:
    return of_ten("Success")[0] | {"dispatchedAt": dispatched_at, "finishedAt": finished_at}


def test_generation_times(run_main: MainRunner) -> None:
    """1.5 s, 0.25 s and 2 s are 1250 ms on average; a generation without both times is left out."""
    generations = [
        timed("2025-01-15T12:00:00.500Z", "2025-01-15T12:00:02Z"),
        timed("2025-01-15T12:00:00.123456789Z", "2025-01-15T12:00:00.373456789Z"),
        timed("2025-01-15T23:59:59+00:00", "2025-01-16T01:00:01+01:00"),
        timed("2025-01-15T12:00:00Z", None),
        timed(None, "2025-01-15T12:00:00Z"),
    ]
    run = summary_of(run_main, generations)

    assert section(run.out, "Performance Metrics")[1:4] == [
        "      Avg generation time:       1250.0ms",
        "      Min generation time:        250.0ms",
        "      Max generation time:       2000.0ms",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1970-01-01T00:00:10Z", 10.0, id="no fraction"),
        pytest.param("1970-01-01T00:00:10.5Z", 10.5, id="1 digit"),
        pytest.param("1970-01-01T00:00:10.25Z", 10.25, id="2 digits"),
        pytest.param("1970-01-01T00:00:10.125Z", 10.125, id="3 digits"),
        pytest.param("1970-01-01T00:00:10.1250Z", 10.125, id="4 digits"),
        pytest.param("1970-01-01T00:00:10.12500Z", 10.125, id="5 digits"),
        pytest.param("1970-01-01T00:00:10.125000Z", 10.125, id="6 digits"),
        pytest.param("1970-01-01T00:00:10.1250009Z", 10.1250009, id="7 digits"),
        pytest.param("1970-01-01T00:00:10.125000999Z", 10.125000999, id="9 digits"),
        pytest.param("1970-01-01T02:00:10+02:00", 10.0, id="east"),
        pytest.param("1969-12-31T18:30:10-05:30", 10.0, id="west"),
        pytest.param("1970-01-01T00:00:10", 10.0, id="no offset is UTC"),
        pytest.param("1970-01-01 00:00:10Z", 10.0, id="a blank for the T"),
    ],
)
def test_reads_timestamps(text: str, seconds: float) -> None:
    """Fractions of any length and offsets are read, by every Python alike."""
    assert sample.parse_timestamp(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "junk",
    ["", "soon", "2025-13-40T00:00:00Z", "2025-01-15T12:00:60Z", "2025-01-15T12:00:00.Z", "Z"],
)
def test_reads_no_junk_as_a_timestamp(junk: str) -> None:
    """What is no timestamp is not a number, and no exception."""
    assert str(sample.parse_timestamp(junk)) == "nan"


@pytest.mark.parametrize(
    ("dispatched_at", "finished_at"),
    [
        pytest.param(None, None, id="null"),
        pytest.param(1736942400, 1736942402, id="numbers"),
        pytest.param("2025-01-15T12:00:02Z", "2025-01-15T12:00:00Z", id="finished before it began"),
        pytest.param("yesterday", "today", id="junk"),
    ],
)
def test_unknown_times_are_not_zero(
    run_main: MainRunner, dispatched_at: object, finished_at: object
) -> None:
    """Without a single pair of timestamps, and without a wall clock, all five figures are n/a."""
    run = summary_of(run_main, [timed(dispatched_at, finished_at)])

    assert section(run.out, "Performance Metrics") == [
        "      Total wall-clock time:        n/a",
        "      Avg generation time:          n/a",
        "      Min generation time:          n/a",
        "      Max generation time:          n/a",
        "      Throughput:                   n/a",
    ]


def test_throughput_is_finished_generations_by_wall_clock(
    run_main: MainRunner, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of four finished within two polls, 2 s apart, are 1.50 a second."""
    monkeypatch.setattr(sample, "NUM_REQUESTS", 4)
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 2)
    created = httpx.Response(200, json={"groupId": "group", "groupSize": 4})
    finished = of_ten("Success", "Success", "Failed", "Queued")
    run = run_main(client=answering(created, finished))

    performance = section(run.out, "Performance Metrics")
    assert performance[0] == "      Total wall-clock time:       2.00s"
    assert performance[4] == "      Throughput:                  1.50 req/s"


def used(**usage: object) -> dict[str, Any]:
    return of_ten("Success")[0] | {"response": {"usage": usage}}


def test_token_usage(run_main: MainRunner) -> None:
    """The sums are of what is known; the average is by all successful requests."""
    generations = [
        used(prompt_tokens=1000, completion_tokens=500, total_tokens=1500),
        used(prompt_tokens=234, completion_tokens=101, total_tokens=335),
        used(prompt_tokens=None, completion_tokens=-5, total_tokens=True),
        used(prompt_tokens="7", completion_tokens=1.5, total_tokens=10**30),
        *of_ten("Failed"),
    ]
    run = summary_of(run_main, generations)

    assert section(run.out, "Token Usage") == [
        "      Prompt tokens:          1,234",
        "      Completion tokens:        601",
        "      Total tokens:           1,835",
        "      Avg completion/req:     150.2",
    ]


def test_unknown_tokens_are_not_zero(run_main: MainRunner) -> None:
    """If no generation tells its usage, the four figures are n/a."""
    run = summary_of(run_main, [used(), of_ten("Success")[0] | {"response": None}])

    assert section(run.out, "Token Usage") == [
        "      Prompt tokens:            n/a",
        "      Completion tokens:        n/a",
        "      Total tokens:             n/a",
        "      Avg completion/req:       n/a",
    ]


def test_tokens_that_are_zero_are_zero(run_main: MainRunner) -> None:
    """A known 0 is told apart from what is not known."""
    run = summary_of(run_main, [used(prompt_tokens=3, completion_tokens=0, total_tokens=3)])

    assert section(run.out, "Token Usage")[1:4:2] == [
        "      Completion tokens:          0",
        "      Avg completion/req:       0.0",
    ]


HEADER = [
    "",
    "  ID         Status     Question                       Response",
    "  ---------- ---------- ------------------------------ -------------------------",
]


def row_of(custom_id: object, state: object, question: object, answer: object) -> dict[str, Any]:
    return {
        "state": state,
        "stateMessage": answer,
        "request": {
            "messages": [{"role": "user", "content": question}],
            "metadata": {"custom_id": custom_id},
        },
        "response": {"choices": [{"message": {"content": answer}}]},
    }


@pytest.mark.parametrize(
    ("question", "answer", "cells"),
    [
        pytest.param("Why?", "So.", "Why?                           So.", id="short"),
        pytest.param("x" * 28, "y" * 25, f"{'x' * 28}   {'y' * 25}", id="as long as they may be"),
        pytest.param(
            "x" * 29, "y" * 26, f"{'x' * 25}...   {'y' * 22}...", id="one too long, in one word"
        ),
        pytest.param(
            "Tell me of the sea and of us",
            "It is 22 cells to here but not to there",
            "Tell me of the sea and of us   It is 22 cells to here...",
            id="an answer's last word just fits",
        ),
        pytest.param(
            "Tell me, which is the longest word?",
            "It is incomprehensibilities, is it not?",
            "Tell me, which is the lon...   It is...",
            id="an answer is cut before a long word",
        ),
        pytest.param(
            "法国的首都是哪里？请用一句话回答。",
            "法国的首都是巴黎，位于塞纳河畔。",
            "法国的首都是哪里？请用一...    法国的首都是巴黎，位于...",
            id="Chinese, whose characters are two cells wide",
        ),
        pytest.param(
            "What is 🎉? " + "🎉" * 20,
            "🎉" * 13,
            f"What is 🎉? {'🎉' * 6}...    {'🎉' * 11}...",
            id="emoji",
        ),
        pytest.param(
            "ما هي عاصمة فرنسا؟", "باريس", f"{'ما هي عاصمة فرنسا؟':<30} باريس", id="Arabic"
        ),
        pytest.param(None, None, "n/a                            n/a", id="null"),
        pytest.param("", " \n ", "n/a                            n/a", id="blank"),
        pytest.param(["a"], {"b": 1}, "n/a                            n/a", id="no text"),
    ],
)
def test_table_cells(run_main: MainRunner, question: object, answer: object, cells: str) -> None:
    """A question is cut at 28 cells, an answer at 25 and at a word's end if there is one."""
    run = summary_of(run_main, [row_of("req-001", "Success", question, answer)])

    table = section(run.out, "Request-Response Correlation")
    assert table == [*HEADER, f"  req-001    ✓ Success  {cells}"]


def test_table_has_a_row_for_every_state(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure's answer is its reason; what is not finished shows its own state."""
    monkeypatch.setattr(sample, "MAX_POLL_ATTEMPTS", 1)
    run = summary_of(
        run_main,
        [
            row_of("req-003", "In Progress", "Third?", None),
            row_of("req-001", "Failed", "First?", "Model overloaded."),
            row_of("req-002", "Success", "Second?", "Yes."),
            row_of("req-004", "Waiting for capacity", "Fourth?", None),
            row_of(None, None, None, None),
        ],
    )

    assert section(run.out, "Request-Response Correlation")[3:] == [
        "  req-001    ✗ Failed     First?                       Model overloaded.",
        "  req-002    ✓ Success    Second?                      Yes.",
        "  req-003    In Progress  Third?                       n/a",
        "  req-004    Waiting f... Fourth?                      n/a",
        "  n/a        n/a          n/a                          n/a",
    ]


def test_a_longer_id_is_shown_whole(run_main: MainRunner) -> None:
    """Ids of one's own, up to 20 cells, take their room from the question."""
    run = summary_of(run_main, [row_of("invoice-2025-000123", "Success", "Paid?", "Yes.")])

    row = section(run.out, "Request-Response Correlation")[3]
    assert row.split() == ["invoice-2025-000123", "✓", "Success", "Paid?", "Yes."]


def test_failures_are_told_in_full(run_main: MainRunner) -> None:
    """The table cuts a reason; the details below it do not."""
    reason = "The model ran out of memory " * 5 + "and gave up."
    run = summary_of(run_main, of_ten("Success", "Failed", reason=reason))

    details = section(run.out, "Failed Request Details")
    assert " ".join(" ".join(details).split()) == f"req-002: {reason}"
    assert all(line.startswith("    ") and len(line) <= 80 for line in details[1:])
    assert (
        "  req-002    ✗ Failed   What is 2 + 2?                 The model ran out of..." in run.out
    )
    assert run.status == 1


def test_without_failures_there_are_no_details(run_main: MainRunner) -> None:
    """The section is there only when it has something to tell."""
    assert "Failed Request Details" not in summary_of(run_main, of_ten("Success")).out


@pytest.mark.parametrize("width", [80, 100, 200])
def test_is_never_wider_than_80_columns(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A wide terminal does not widen the report."""
    set_console_width(monkeypatch, width)
    run = summary_of(run_main, of_ten("Success", "Failed", reason="Because. " * 40))

    assert max(len(line) for line in run.out.splitlines()) == 80


@pytest.mark.parametrize("width", [79, 60, 41])
def test_shrinks_with_the_terminal(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """On a narrower one no line is wider, and each row, bar and figure keeps to its line."""
    wide = summary_of(run_main, of_ten("Success", "Failed"))
    set_console_width(monkeypatch, width)
    narrow = summary_of(run_main, of_ten("Success", "Failed"))

    lines = narrow.out.splitlines()
    assert max(len(line.rstrip()) for line in lines) == width
    assert len(lines) == len(wide.out.splitlines()) + (1 if width < 50 else 0)
