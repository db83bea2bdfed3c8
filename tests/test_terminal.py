"""What a terminal shows: the sample in a pseudo-terminal, its screen kept by an emulator."""

import re
import signal
import sys
import time
from pathlib import Path

import ptyprocess
import pyte
import pytest
from conftest import edited_sample, settings
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi, Stage
from starlette.responses import Response


class Terminal:
    """Runs the sample in a pseudo-terminal, and keeps what it wrote and what the screen shows."""

    def __init__(
        self,
        folder: Path,
        api: MockGroupApi,
        columns: int,
        env: dict[str, str],
        **constants: object,
    ) -> None:
        self.screen = pyte.Screen(columns, 100)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.process = ptyprocess.PtyProcess.spawn(
            [sys.executable, str(edited_sample(folder, **constants))],
            env=settings(api.url) | {"TERM": "xterm-256color"} | env,
            dimensions=(100, columns),
        )

    def read_until(self, words: str) -> None:
        """Read on until the screen shows words."""
        while words not in "\n".join(self.lines):
            self.read()

    def read_all(self) -> int:
        """Read to the end; return the exit status."""
        while True:
            try:
                self.read()
            except EOFError:
                return int(self.process.wait())

    def read(self) -> None:
        written = self.process.read(65536)
        self.written += written
        self.stream.feed(written)

    def resize(self, columns: int) -> None:
        self.process.setwinsize(100, columns)
        self.screen.resize(100, columns)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def poll_lines(self) -> list[str]:
        return [line for line in self.lines if line.startswith("  [")]


class Terminals:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        api: MockGroupApi,
        columns: int = 100,
        env: dict[str, str] | None = None,
        **constants: object,
    ) -> Terminal:
        return Terminal(self.folder, api, columns, env or {}, **constants)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminals:
    return Terminals(tmp_path)


def test_redraws_one_line_in_place(terminal: Terminals) -> None:
    """However many polls there are, one line shows them, and in the end the full bar."""
    with MockGroupApi([Stage(listed=5)]) as api:
        run = terminal(api, MAX_POLL_ATTEMPTS=10**6)
        run.read_until("0 running, 5 queued)")
        api.polls = [Stage(succeeded=8, running=2)]
        run.read_until("2 running, 0 queued")
        half_time = run.poll_lines()
        api.polls = [DONE]
        status = run.read_all()

    assert len(half_time) == 1
    assert f"|{'█' * 24}{'░' * 6}| 8/10 (80%)" in half_time[0]
    (line,) = run.poll_lines()
    assert re.fullmatch(rf"  \[ *\d+\] \|{'█' * 30}\| 10/10 \(100%\) \d+s", line)
    assert status == 0


def test_is_refreshed_four_times_a_second_at_most(terminal: Terminals) -> None:
    """However quick the polls are, the line is not redrawn more often."""
    with MockGroupApi([QUEUED] * 199 + [DONE]) as api:
        start = time.monotonic()
        run = terminal(api, MAX_POLL_ATTEMPTS=200, POLL_INTERVAL_SECONDS=0.001)
        run.read_all()
        seconds = time.monotonic() - start

    redrawn = run.written.count(b"\r\x1b[2K")
    assert len(api.poll_paths) == 200
    # One at the start and one at the end come on top.
    assert redrawn <= 4 * seconds + 2


@pytest.mark.parametrize("columns", [200, 80, 60, 45])
def test_fits_the_terminal(terminal: Terminals, columns: int) -> None:
    """Each line of the report keeps to its line, and none is wider than 80 columns."""
    with MockGroupApi([Stage(succeeded=8, running=2), DONE]) as api:
        run = terminal(api, columns)
        run.read_all()

    assert max(len(line) for line in run.lines) == min(columns, 80)
    rows = [line for line in run.lines if re.match(r"  req-\d+ +✓ Success ", line)]
    assert len(rows) == 10
    assert len(run.poll_lines()) == 1
    assert "=" * min(columns, 80) in run.lines


def test_is_coloured(terminal: Terminals) -> None:
    """Headings, icons and bar have colours of the 16 that every terminal has."""
    with MockGroupApi(failures={"req-002": "No."}) as api:
        run = terminal(api)
        run.read_all()

    for coloured in (
        "\x1b[32m✓ Success",
        "\x1b[31m✗ Failed",
        "\x1b[33m  ● |",
        f"\x1b[32m{'█' * 30}",
    ):
        assert coloured.encode() in run.written
    assert b"\x1b[1;36m=====" in run.written
    colours = {
        code for codes in re.findall(rb"\x1b\[([\d;]*)m", run.written) for code in codes.split(b";")
    }
    assert colours <= {b"0", b"1", b"31", b"32", b"33", b"36"}


def test_no_color(terminal: Terminals) -> None:
    """Under NO_COLOR there are no colours; the line is redrawn in place all the same."""
    with MockGroupApi() as api:
        run = terminal(api, env={"NO_COLOR": "1"})
        run.read_all()

    assert not re.search(rb"\x1b\[[\d;]*3\d[\d;]*m", run.written)
    assert len(run.poll_lines()) == 1


def test_a_dumb_terminal(terminal: Terminals) -> None:
    """Where no cursor can be moved, each poll has a line, as in a pipe."""
    with MockGroupApi() as api:
        run = terminal(api, env={"TERM": "dumb"})
        run.read_all()

    assert len(run.poll_lines()) == 3
    assert b"\x1b" not in run.written


@pytest.mark.parametrize("sent_signal", [signal.SIGINT, signal.SIGTERM])
def test_the_cursor_comes_back(terminal: Terminals, sent_signal: int) -> None:
    """It is hidden while the line is live, and shown again whatever ends the run."""
    with MockGroupApi([QUEUED]) as api:
        run = terminal(api, POLL_INTERVAL_SECONDS=600)
        run.read_until("10 queued")
        if sent_signal == signal.SIGINT:
            run.process.sendintr()
        else:
            run.process.kill(sent_signal)
        status = run.read_all()

    assert run.written.rindex(b"\x1b[?25h") > run.written.rindex(b"\x1b[?25l")
    shown = "".join(run.lines)
    assert "Stopped." in shown
    assert shown.endswith(GROUP_ID)
    assert "Traceback" not in shown
    assert status == 130


def test_made_narrower_while_it_polls(terminal: Terminals) -> None:
    """The line and all that follows it keep to the new width."""
    with MockGroupApi([QUEUED]) as api:
        run = terminal(api, MAX_POLL_ATTEMPTS=10**6)
        run.read_until("10 queued")
        run.resize(60)
        api.polls = [DONE]
        run.read_all()

    summary = run.lines[run.lines.index(" GROUP GENERATION SUMMARY") :]
    assert max(len(line) for line in summary) == 60
    assert "| 10/10 (100%) " in run.poll_lines()[-1]


def test_a_failed_poll_is_told_on_the_line(terminal: Terminals) -> None:
    """The note of a poll that learned nothing stands where the counts were."""
    with MockGroupApi([Response(status_code=502)]) as api:
        run = terminal(api, POLL_INTERVAL_SECONDS=600)
        run.read_until("0/10 (0%) (HTTP 502 Bad Gateway)")
        run.process.sendintr()
        run.read_all()


def test_a_pipe_from_a_narrow_terminal(tmp_path: Path) -> None:
    """Into a file the report is 80 columns wide, however narrow the terminal that it is run in."""
    report = tmp_path / "report.txt"
    with MockGroupApi() as api:
        command = f'"{sys.executable}" "{edited_sample(tmp_path)}" > "{report}"'
        run = ptyprocess.PtyProcess.spawn(
            ["sh", "-c", command], env=settings(api.url), dimensions=(40, 40)
        )
        status = run.wait()

    assert status == 0
    assert "=" * 80 in report.read_text(encoding="utf-8").splitlines()
