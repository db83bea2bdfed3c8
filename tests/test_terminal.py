"""What a terminal shows: the sample in a pseudo-terminal, whose screen an emulator keeps."""

import itertools
import os
import re
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import pyte
import pytest
from conftest import (
    Play,
    RunSample,
    edited_sample,
    environment,
    json_response,
    listed,
    pick_up_command,
)
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, error
from network_faults import stall

ptyprocess = pytest.importorskip("ptyprocess", reason="A pseudo-terminal needs POSIX.")

TERMINAL = {"TERM": "xterm-256color"}
PATIENCE = 20  # Seconds
MIXED = ["Success"] * 5 + ["Failed"] + ["In Progress"] * 2 + ["Queued"] * 2
CTRL_C_WORDS = "Ctrl-C leaves the group running"


class Screen(pyte.HistoryScreen):
    """An emulator's screen. It knows no dim text, so dim is kept as italics, of which is none."""

    def select_graphic_rendition(self, *codes: int, **options: Any) -> None:
        super().select_graphic_rendition(*(3 if code == 2 else code for code in codes), **options)


class Terminal:
    """A command in a pseudo-terminal, and the screen that shows what it writes."""

    def __init__(self, command: list[str], env: dict[str, str], columns: int, rows: int) -> None:
        self.screen = Screen(columns, rows, history=1000)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        # A shell gives its background jobs, and so these tests may have, a SIGINT that is ignored.
        self.process = ptyprocess.PtyProcess.spawn(
            command,
            env=TERMINAL | env,
            dimensions=(rows, columns),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def read(self, deadline: float) -> bool:
        """Read what comes next; return False at the end. Fail at the deadline."""
        ready, _, _ = select.select([self.process.fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            pytest.fail("The wait was in vain. The screen:\n" + "\n".join(self.lines))
        try:
            written = self.process.read(65536)
        except EOFError:
            return False
        self.written += written
        self.stream.feed(written)
        return True

    def read_until(self, reached: Callable[[], object]) -> None:
        """Read on until reached() is true."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if not self.read(deadline):
                pytest.fail("It ended too soon. The screen:\n" + "\n".join(self.lines))

    def read_until_shown(self, pattern: str) -> None:
        self.read_until(lambda: re.search(pattern, "\n".join(self.lines)))

    def read_all(self) -> int:
        """Read to the end; return the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.read(deadline):
            pass
        while self.process.isalive() and time.monotonic() < deadline:
            time.sleep(0.001)
        status = self.process.exitstatus
        assert isinstance(status, int), f"It ended by signal {self.process.signalstatus}, or not."
        return status

    def resize(self, columns: int) -> None:
        self.process.setwinsize(self.screen.lines, columns)
        self.screen.resize(self.screen.lines, columns)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without the blank lines below it."""
        return [line.rstrip() for line in "\n".join(self.screen.display).rstrip().split("\n")]

    @property
    def scrolled(self) -> list[str]:
        """What has left the screen at its top."""
        columns = range(self.screen.columns)
        return ["".join(row[x].data for x in columns).rstrip() for row in self.screen.history.top]

    @property
    def poll_lines(self) -> list[str]:
        return [line for line in self.lines if re.match(r"  \[ *\d+\] ", line)]

    @property
    def moving_line(self) -> str:
        """The line below the others, of which is nothing left in the end."""
        return self.lines[-1] if re.match(r"\W+\d+s\b", self.lines[-1]) else ""

    @property
    def seconds(self) -> int:
        """What the moving line says, or -1."""
        match = re.search(r"\b(\d+)s\b", self.moving_line)
        return int(match[1]) if match else -1

    def cells(self) -> Iterator[Any]:
        for row in self.screen.buffer.values():
            yield from (row[x] for x in range(self.screen.columns))

    def looks_of(self, line: int, text: str) -> list[tuple[str, str]]:
        """Return the looks of text in a line, each with the part of text that has it."""
        # By cells, as a character that is two cells wide has an empty one behind it.
        row = [self.screen.buffer[line][x] for x in range(self.screen.columns)]
        start = self.screen.display[line].index(text)
        row = [cell for cell in row if cell.data][start : start + len(text)]
        return [
            (name, "".join(cell.data for cell in cells))
            for name, cells in itertools.groupby(row, key=look_of)
        ]

    def look(self, text: str, number: int = 0) -> str:
        """Return how the text looks in the line of that number among those that have it."""
        line = [i for i, line in enumerate(self.screen.display) if text in line][number]
        ((name, _),) = self.looks_of(line, text)
        return name

    def bar(self, pattern: str) -> list[tuple[str, str]]:
        """Return the looks of the bar in the line that matches, each with its cells."""
        (line,) = (i for i, line in enumerate(self.lines) if re.search(pattern, line))
        bar = re.search("[█░]+", self.lines[line])
        assert bar
        return self.looks_of(line, bar[0])


def look_of(cell: Any) -> str:
    """Return the colour of a cell of the screen, and what else it is."""
    extras = [" bold"] * cell.bold + [" dim"] * cell.italics
    extras += [" odd"] * (cell.reverse or cell.blink or cell.underscore or cell.bg != "default")
    return "".join([cell.fg, *extras])


class Open(Protocol):
    def __call__(
        self,
        api: MockGroupApi | str,
        *arguments: str,
        columns: int = 100,
        rows: int = 120,
        env: dict[str, str] | None = None,
        shell: str = 'exec "$@"',
        **constants: object,
    ) -> Terminal: ...


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    """Return a function that starts an edited sample in a pseudo-terminal.

    shell is the command line that runs it; "$@" there is the sample with its arguments.
    """
    terminals: list[Terminal] = []

    def start(
        api: MockGroupApi | str,
        *arguments: str,
        columns: int = 100,
        rows: int = 120,
        env: dict[str, str] | None = None,
        shell: str = 'exec "$@"',
        **constants: object,
    ) -> Terminal:
        constants.setdefault("MAX_POLL_ATTEMPTS", 1_000_000)
        script = edited_sample(tmp_path, code="", **constants)
        base_url = api if isinstance(api, str) else api.url
        command = ["sh", "-c", shell, "sh", sys.executable, str(script), *arguments]
        terminals.append(Terminal(command, environment(base_url, **(env or {})), columns, rows))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.process.close(force=True)


def comparable(lines: list[str]) -> list[str]:
    """Return lines without trailing blanks and without what the clock decides."""
    clock_figure = r"((?:wall-clock time|Throughput):) +\d+\.\d\d.*"
    return [re.sub(clock_figure, r"\1 #", line).rstrip() for line in lines]


# Text


@pytest.mark.parametrize("columns", [100, 80, 60, 45])
def test_shows_what_a_pipe_gets(open_terminal: Open, run_sample: RunSample, columns: int) -> None:
    """What is left in the end is to the line what a pipe of that width gets, and it fits."""
    with MockGroupApi(failures={"req-002": "No."}) as api:
        run = open_terminal(api, columns=columns, NUM_REQUESTS=10)
        status = run.read_all()
    with MockGroupApi(failures={"req-002": "No."}) as api:
        piped = run_sample(api, env={"COLUMNS": str(columns)}, NUM_REQUESTS=10, MAX_POLL_ATTEMPTS=3)

    assert comparable(run.lines) == comparable(piped.stdout.splitlines())
    assert max(len(line) for line in run.lines) == min(columns, 80)
    assert (status, piped.returncode) == (1, 1)


@pytest.mark.parametrize(
    "env", [{"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {"TERM": "linux"}, {"TERM": "dumb"}]
)
def test_shows_the_same_text_on_any_terminal(
    open_terminal: Open, run_sample: RunSample, env: dict[str, str]
) -> None:
    """Without colours, with them, and where no cursor can be moved, the text is the same."""
    with MockGroupApi() as api:
        run = open_terminal(api, GROUP_ID, "10", env=env)
        run.read_all()
    with MockGroupApi() as api:
        piped = run_sample(api, GROUP_ID, "10", MAX_POLL_ATTEMPTS=3)

    assert comparable(run.lines) == comparable(piped.stdout.splitlines())


def test_polls_stay_in_the_scrollback(open_terminal: Open) -> None:
    """On a screen of twelve lines, forty polls are there one below the other."""
    with MockGroupApi([QUEUED] * 39 + [DONE]) as api:
        run = open_terminal(api, GROUP_ID, "10", rows=12, POLL_INTERVAL_SECONDS=0.02)
        run.read_all()

    lines = [*run.scrolled, *run.lines]
    first = lines.index("  -----------------------") + 2
    assert [line[:7] for line in lines[first : first + 41]] == [
        *(f"  [{attempt:>3}]" for attempt in range(1, 41)),
        "",
    ]
    assert CTRL_C_WORDS not in "\n".join(lines)


@pytest.mark.parametrize("columns", [80, 60, 45, 24])
def test_the_bar_keeps_its_width(play: Play, columns: int) -> None:
    """Whatever stands behind it, the bars of all polls stand exactly one below the other."""
    polls: list[Any] = [listed("Queued"), httpx.Response(503), listed(*MIXED), listed(*DONE[:10])]

    run = play(
        *polls, arguments=("group", "10"), env={"COLUMNS": str(columns)}, MAX_POLL_ATTEMPTS=4
    )

    bars = [re.search(r"\|[█░]+\|", line) for line in run.poll_lines]
    assert len(bars) == 4
    assert len({bar and bar.span() for bar in bars}) == 1


def test_the_counts_are_not_cut(play: Play) -> None:
    """At 60 columns there is room for those of the largest group."""
    states = ["Success"] * 10 + ["In Progress"] * 20 + ["Queued"] * 20

    run = play(listed(*states), arguments=("group",), env={"COLUMNS": "60"}, MAX_POLL_ATTEMPTS=1)

    assert run.poll_lines[0].endswith("| 10/50 (20%) (⏳ 20 running, 20 queued)")


def test_made_narrower_while_it_polls(open_terminal: Open, run_sample: RunSample) -> None:
    """The summary is that of a narrow terminal, and nothing of the moving line is left."""
    with MockGroupApi([QUEUED]) as api:
        run = open_terminal(api, GROUP_ID, "10", columns=80)
        run.read_until_shown("10 queued")
        run.resize(60)
        api.polls = [DONE]
        run.read_all()
    with MockGroupApi([DONE]) as api:
        narrow = run_sample(api, GROUP_ID, "10", env={"COLUMNS": "60"})

    shown, expected = comparable(run.lines), comparable(narrow.stdout.splitlines())
    start = expected.index(" GROUP GENERATION SUMMARY")
    assert shown[-len(expected[start:]) :] == expected[start:]
    assert CTRL_C_WORDS not in "".join(shown)


# Motion


def seconds_of_five_moves(run: Terminal) -> float:
    """Return how long the moving line takes, at its best, to change five times."""
    moves, last, start = list[float](), run.moving_line, time.monotonic()
    while time.monotonic() < start + 5:
        run.read(time.monotonic() + PATIENCE)
        if run.moving_line != last:
            last = run.moving_line
            moves.append(time.monotonic())
        if len(moves) > 5 and moves[-1] - moves[-6] <= 1.3:
            return moves[-1] - moves[-6]
    pytest.fail(f"It moved at {[round(move - start, 2) for move in moves]} s: {last}")


@pytest.mark.parametrize(
    ("waits_for", "options", "constants"),
    [
        pytest.param("a submission", {"submission": stall}, {}, id="a submission"),
        pytest.param("a poll", {"polls": [QUEUED, stall]}, {}, id="a poll"),
        pytest.param("a pause", {"polls": [QUEUED]}, {"POLL_INTERVAL_SECONDS": 600}, id="a pause"),
    ],
)
def test_moves_while_it_waits(
    open_terminal: Open, waits_for: str, options: dict[str, Any], constants: dict[str, Any]
) -> None:
    """A line below the others moves at least four times a second, and its seconds go on."""
    with MockGroupApi(**options) as api:
        start = time.monotonic()
        run = open_terminal(api, **constants)
        run.read_until(lambda: run.moving_line)
        if waits_for != "a submission":
            run.read_until(lambda: run.poll_lines and CTRL_C_WORDS in run.moving_line)
        above = run.lines[:-1]

        assert seconds_of_five_moves(run) <= 1.3  # 1.25, and a little patience
        run.read_until(lambda: run.seconds >= 1)
        assert run.seconds <= time.monotonic() - start + 0.5
        assert run.lines[:-1] == above


def test_the_seconds_are_those_of_all_polls(open_terminal: Open) -> None:
    """They do not begin anew with each poll."""
    with MockGroupApi([QUEUED]) as api:
        run = open_terminal(api, GROUP_ID, "10", POLL_INTERVAL_SECONDS=0.2)
        run.read_until(lambda: run.seconds >= 2)

    assert len(run.poll_lines) >= 4


def test_words_that_are_only_true_while_it_polls(open_terminal: Open) -> None:
    """Before the group is there, nobody is told that it would go on without them."""
    with MockGroupApi(submission=stall) as api:
        run = open_terminal(api)
        run.read_until(lambda: run.moving_line)

    assert CTRL_C_WORDS not in run.moving_line


# Colours


def test_colours_of_a_success(open_terminal: Open) -> None:
    """Rules are cyan, titles bold, bars green; figures and the table's header are bold."""
    with MockGroupApi() as api:
        run = open_terminal(api, NUM_REQUESTS=10)
        run.read_all()

    rules = [i for i, line in enumerate(run.lines) if line == "=" * 80]
    looks = [run.looks_of(line, "=" * 80)[0][0] for line in rules]
    assert looks == ["cyan"] * 4 + ["green"] * 2
    for title in (
        *("INFERENCE.NET ASYNC GROUP API", "Configuration:", "Polling for Results"),
        *("GROUP GENERATION SUMMARY", "Success Rate", "Token Usage", "Generation complete!"),
        *("ID  ", "Status", "Question", "Response"),
    ):
        assert run.look(title.strip()) == "default bold", title
    for figure in ("2803.1", "955.0", "100.0", "n/a"):
        if figure in "\n".join(run.lines):
            assert run.look(figure, number=-1) == "default bold", figure
    assert run.look("ms") == "default"
    assert run.look("---------- ----------") == "default dim"
    assert run.look("✓ Group created: ") == "green"
    assert run.look("✓ Success") == "green"
    assert run.bar(r"10/10 \(100%\)") == [("green", "█" * 30)]
    assert run.bar(r"100\.0%") == [("green", "█" * 40)]


def test_seven_failures_of_ten_are_red_at_a_glance(open_terminal: Open) -> None:
    """Of both bars 70 % are red, and so are the ids in the details and the closing rules."""
    failures = {f"req-{number:03}": "Out of memory." for number in range(1, 8)}
    with MockGroupApi([DONE], failures=failures) as api:
        run = open_terminal(api, GROUP_ID, "10")
        run.read_all()

    assert run.bar(r"10/10 \(100%\)") == [("green", "█" * 9), ("red", "█" * 21)]
    assert run.bar(r"30\.0%") == [("green", "█" * 12), ("red", "░" * 28)]
    assert run.look("✗ |") == run.look("| 30.0%") == "red"
    assert run.look("✗ Failed") == "red"
    details = next(i for i, line in enumerate(run.lines) if "req-001: Out of memory." in line)
    assert run.looks_of(details, "req-001: Out of memory.") == [
        ("red", "req-001"),
        ("default", ": Out of memory."),
    ]
    rules = [i for i, line in enumerate(run.lines) if line == "=" * 80]
    assert [run.looks_of(line, "=" * 80)[0][0] for line in rules] == ["cyan"] * 4 + ["red"] * 2


def test_what_is_unfinished_is_neutral(open_terminal: Open) -> None:
    """Half of the group succeeded, a tenth failed, and the rest has no colour."""
    with MockGroupApi([MIXED]) as api:
        run = open_terminal(api, GROUP_ID, "10", MAX_POLL_ATTEMPTS=1)
        run.read_all()

    assert run.bar(r"6/10 \(60%\)") == [
        ("green", "█" * 15),
        ("red", "█" * 3),
        ("default", "░" * 12),
    ]
    assert run.bar(r"50\.0%") == [("green", "█" * 20), ("red", "░" * 4), ("default", "░" * 16)]
    assert run.look("In Progress") == run.look("Queued", number=-1) == "default"


def test_colours_are_readable_on_any_background(open_terminal: Open) -> None:
    """Nothing is bright, bold cyan, inverted or blinking, and no word is dim."""
    failures = {"req-002": "Out of memory."}
    with MockGroupApi(failures=failures) as api:
        run = open_terminal(api, MAX_POLL_ATTEMPTS=3)
        run.read_all()

    looks = {look_of(cell) for cell in run.cells() if cell.data.strip()}
    dim = {cell.data for cell in run.cells() if cell.italics}
    assert not [look for look in looks if re.search("bright|cyan bold|odd|#|[0-9]", look)]
    assert {look.split()[0] for look in looks} <= {"default", "cyan", "green", "red", "yellow"}
    assert dim <= {"-", " "}


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_no_color(open_terminal: Open, env: dict[str, str]) -> None:
    """Under NO_COLOR there are none; the line below the others moves all the same."""
    with MockGroupApi([MIXED]) as api:
        run = open_terminal(api, GROUP_ID, "10", env=env)
        run.read_until(lambda: CTRL_C_WORDS in run.moving_line)
        api.polls = [DONE]
        run.read_all()

    assert {cell.fg for cell in run.cells()} == {"default"}


def test_a_dumb_terminal(open_terminal: Open) -> None:
    """Where no cursor can be moved, nothing is written that would have to be taken back."""
    with MockGroupApi() as api:
        run = open_terminal(api, GROUP_ID, "10", env={"TERM": "dumb"})
        run.read_all()

    assert b"\x1b" not in run.written
    assert CTRL_C_WORDS.encode() not in run.written


# Errors

REFUSAL = "Extraordinarily incomprehensible circumstances have unfortunately necessitated a refusal"


def test_an_error_is_red_on_a_terminal(open_terminal: Open, run_sample: RunSample) -> None:
    """ "Error:" is, and what follows is not; in a pipe nothing is coloured."""
    with MockGroupApi(submission=error(401, REFUSAL)) as api:
        run = open_terminal(api)
        run.read_all()
        piped = run_sample(api)

    assert run.look("Error:").startswith("red")
    assert run.look("HTTP 401 Unauthorized: ") == "default"
    assert piped.stderr.startswith("Error: HTTP 401 Unauthorized: ")
    assert "\x1b" not in piped.stderr


def test_an_error_breaks_no_word(open_terminal: Open) -> None:
    """At 60 columns a long message goes on in the next line, from word to word."""
    with MockGroupApi(submission=error(400, f"{REFUSAL}: {REFUSAL}")) as api:
        run = open_terminal(api, columns=60)
        run.read_all()

    words = " ".join(run.lines).split()
    assert " ".join(words).count(REFUSAL) == 2


def test_an_error_in_a_pipe_is_one_line(play: Play) -> None:
    """However long it is, it can be searched and counted there."""
    refusal = json_response({"message": f"{REFUSAL}: {REFUSAL}"}, 400)

    run = play(submission=refusal, env={"COLUMNS": "40"})

    assert run.err.splitlines()[0] == f"Error: HTTP 400 Bad Request: {REFUSAL}: {REFUSAL}"


def test_help_breaks_no_word(open_terminal: Open, run_sample: RunSample) -> None:
    """At 80 columns all words are there that a wide page has."""
    run = open_terminal("http://127.0.0.1:9", "--help", columns=80)
    status = run.read_all()
    wide = run_sample("http://127.0.0.1:9", "--help", env={"COLUMNS": "200"})

    assert " ".join(run.lines).split() == wide.stdout.split()
    assert {"INFERENCE_API_KEY", "INFERENCE_BASE_URL"} <= set(re.findall(r"\w+", wide.stdout))
    assert (status, wide.returncode) == (0, 0)


# The end of a run


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([(signal.SIGINT, 0)], id="Ctrl-C"),
        pytest.param([(signal.SIGTERM, 0)], id="SIGTERM"),
        pytest.param([(signal.SIGINT, 0), (signal.SIGTERM, 0)], id="both"),
        pytest.param([(signal.SIGTERM, 0.001), (signal.SIGINT, 0)], id="both, 1 ms apart"),
        pytest.param([(signal.SIGTERM, 0.005), (signal.SIGINT, 0)], id="both, 5 ms apart"),
        pytest.param([(signal.SIGINT, 0.02), (signal.SIGTERM, 0)], id="both, 20 ms apart"),
        pytest.param([(signal.SIGINT, 0.002)] * 3, id="Ctrl-C, again and again"),
    ],
)
def test_the_last_words_are_whole(
    open_terminal: Open, tmp_path: Path, signals: list[tuple[int, float]]
) -> None:
    """However it is stopped, the cursor comes back and the command stands whole on stderr."""
    errors = tmp_path / "errors.txt"
    with MockGroupApi([QUEUED]) as api:
        run = open_terminal(
            api,
            NUM_REQUESTS=10,
            POLL_INTERVAL_SECONDS=1,
            shell=f'exec "$@" 2> {shlex.quote(str(errors))}',
        )
        run.read_until(lambda: run.poll_lines and CTRL_C_WORDS in run.moving_line)
        assert run.screen.cursor.hidden
        for sent, pause in signals:
            os.kill(run.process.pid, sent)
            time.sleep(pause)
        status = run.read_all()

    stderr = errors.read_text(encoding="utf-8")
    command = pick_up_command(stderr)
    assert command
    assert [word for word in command if word != "--"][-2:] == [GROUP_ID, "10"]
    assert "Traceback" not in stderr
    assert not run.screen.cursor.hidden
    assert run.poll_lines[-1:] == run.lines[-1:]
    assert status == 130


STOPPED_TWICE = """
def sleep(seconds):
    import threading
    both = [signal.SIGINT, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for each in both:
        signal.pthread_kill(threading.main_thread().ident, each)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
time.sleep = sleep
"""


def test_stopped_twice_in_the_same_moment(run_sample: RunSample) -> None:
    """The last words are the same if both signals are there before the first is handled."""
    with MockGroupApi([QUEUED]) as api:
        run = run_sample(api, GROUP_ID, "10", code=STOPPED_TWICE)

    assert run.stderr.split("\n\n")[0].strip() == "Stopped."
    assert pick_up_command(run.stderr)
    assert not re.search("Error|Exception|Traceback", run.stderr)
    assert run.returncode == 130


def test_ctrl_c_on_the_keyboard(open_terminal: Open) -> None:
    """The last words follow the report on a screen without leftovers."""
    with MockGroupApi([QUEUED]) as api:
        run = open_terminal(api, columns=200, POLL_INTERVAL_SECONDS=600)
        run.read_until(lambda: run.poll_lines and CTRL_C_WORDS in run.moving_line)
        run.process.sendintr()
        status = run.read_all()

    words = run.lines[run.lines.index(run.poll_lines[0]) + 1 :]
    assert words[:2] == ["", "Stopped."]
    assert pick_up_command("\n".join(words))
    assert CTRL_C_WORDS not in "\n".join(run.lines)
    assert "^C" not in "\n".join(words[2:])
    assert not run.screen.cursor.hidden
    assert status == 130


def test_stopped_while_it_submits(open_terminal: Open) -> None:
    """The cursor comes back there, too, and nobody is told that nothing happened."""
    with MockGroupApi(submission=stall) as api:
        run = open_terminal(api)
        run.read_until(lambda: run.moving_line)
        run.process.sendintr()
        status = run.read_all()

    assert "The group may exist all the same" in " ".join(run.lines)
    assert not run.screen.cursor.hidden
    assert status == 130


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}], ids=["as it is", "with colours"])
def test_a_file_from_a_narrow_terminal(
    open_terminal: Open, tmp_path: Path, env: dict[str, str]
) -> None:
    """Into a file the report is 80 columns wide, however narrow the terminal, and nothing moves."""
    report = tmp_path / "report.txt"
    with MockGroupApi() as api:
        run = open_terminal(
            api,
            *(GROUP_ID, "10"),
            columns=40,
            env=env,
            shell=f'"$@" > {shlex.quote(str(report))}',
        )
        status = run.read_all()

    text = report.read_text(encoding="utf-8")
    plain_text = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert (text == plain_text) == (not env)
    assert plain_text.splitlines().count("=" * 80) == 6
    assert "\x1b" not in plain_text
    assert CTRL_C_WORDS not in plain_text
    assert (run.lines, status) == ([""], 0)
