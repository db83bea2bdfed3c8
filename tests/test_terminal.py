"""What a terminal shows: colours, and lines that are redrawn in place while it waits."""

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pyte
import pytest
from conftest import CONSTANTS, Run, edited_sample, environment, listed, play, styled
from mock_group_api import DONE, GROUP_ID, QUEUED, MockGroupApi

HINT = r"Ctrl-C leaves the group running\."


@pytest.mark.parametrize(("states", "colour"), [("SS", "green"), ("SF", "red")])
def test_red_and_green(states: str, colour: str) -> None:
    """They are green if all succeeded, else red, as "Error:" is; under NO_COLOR none is."""
    wrong = play(env={"INFERENCE_API_KEY": ""}, terminal=True)
    run = play(listed(states), env={"FORCE_COLOR": "1"})
    plain = play(listed(states), env={"FORCE_COLOR": "1", "NO_COLOR": "1"})

    assert styled(wrong.err)[1].startswith("<red>Error:</> No API key. ")
    rule = f"<{colour}>{'=' * 80}</>"
    assert styled(run.out)[-3:] == [rule, " <bold>Generation complete!</>", rule]
    assert {"  <green>✓ Group created: group</>", "  <bold>Configuration:</>"} <= {*styled(run.out)}
    assert styled(plain.out)[-3:] == ["=" * 80, " <bold>Generation complete!</>", "=" * 80]


@pytest.mark.parametrize(("name", "is_terminal"), [("TERM", True), ("FORCE_COLOR", False)])
def test_where_nothing_can_be_redrawn(name: str, is_terminal: bool) -> None:
    """Each poll has a line, as in a pipe, and the only escape sequences are colours."""
    answers = listed("Q"), listed("SS")

    run = play(*answers, env={name: "dumb"}, terminal=is_terminal)

    lines = re.sub(r"\x1b\[[\d;]*m", "", run.out).splitlines()
    assert [line.rstrip() for line in lines] == play(*answers).out.splitlines()


def screen_of(out: str) -> str:
    """Return what a terminal shows that was sent out."""
    screen = pyte.Screen(80, 100)
    pyte.Stream(screen).feed(out.replace("\n", "\r\n"))
    return "\n".join(line.rstrip() for line in screen.display).rstrip()


def when_shown(pattern: str, answer: Any, shown: list[str]) -> Callable[[object], Any]:
    """Return an answer that waits until the run's screen ends in pattern, and adds it to shown."""

    def wait(_: object) -> Any:
        text, deadline = "", time.time() + 20
        while not re.search(f"{pattern}$", text):
            assert time.time() < deadline, text
            Event().wait(0.05)
            out: bytes = sys.stdout.buffer.getvalue()  # type: ignore[union-attr]
            text = screen_of(out.decode(errors="ignore"))
        shown.append(text)
        return answer

    return wait


def test_redraws_a_line_in_place() -> None:
    """One line has the last poll, which stays; one below it, gone in the end, moves."""
    one, two, shown = listed("FQ"), listed("FSS"), list[str]()

    run = play(
        when_shown(rf"  \[  0\] \|░+\| 0/3 \(0%\)\n[⠀-⣿] \d+s\. {HINT}", one, shown),
        when_shown(rf"  \[  1\] .* 1 queued\)\n. [1-9]\d*s\. 1 failed\. {HINT}", one, shown),
        when_shown(rf"  \[  2\] .* 1 queued\)\n. \d+s\. 1 failed\. {HINT}", two, shown),
        terminal=True,
        NUM_REQUESTS=3,
    )
    piped = play(one, one, two, NUM_REQUESTS=3)

    assert [len(re.findall(r"(?m)^  \[", text)) for text in shown] == [1, 1, 1]
    expected = [line for line in piped.lines if line not in piped.poll_lines[:2]]
    assert Run(out=screen_of(run.out)).lines == expected
    assert run.out.rindex("\x1b[?25h") > run.out.rindex("\x1b[?25l")  # The cursor is back.


def test_a_window_that_is_made_narrower() -> None:
    """From the next redraw on the line fits, and then the report."""
    shown: list[str] = []

    def resize(_: object) -> list[Any]:
        os.environ["COLUMNS"] = "50"
        return listed("Q")

    run = play(resize, when_shown(rf"  \[  1\] .*\n.*{HINT}", listed("SS"), shown), terminal=True)

    assert len(shown[0].splitlines()[-2]) <= 50
    assert [len(rule) for rule in re.findall("===+", run.out)] == [80] * 2 + [50] * 4


@contextmanager
def terminal(folder: Path, api: MockGroupApi, shell: str, columns: int = 100) -> Iterator[Any]:
    """Start an edited sample there, by a shell whose "$@" is its command."""
    ptyprocess = pytest.importorskip("ptyprocess", reason="A pseudo-terminal needs POSIX.")
    script = folder / "async_polling_example.py"
    own = {"NUM_REQUESTS": 10, "POLL_INTERVAL_SECONDS": 1, "MAX_POLL_ATTEMPTS": 120}
    script.write_text(edited_sample(**{**CONSTANTS, **own}), encoding="utf-8")
    command = ["sh", "-c", shell, "sh", sys.executable, str(script)]
    env = environment(api.url, TERM="xterm-256color")
    process = ptyprocess.PtyProcess.spawn(command, env=env, dimensions=(100, columns))
    try:
        yield process
    finally:
        process.close(force=True)


def read(process: Any, end: str = "$^") -> str:
    """Return what is written up to end. That it ends, the time-out of all tests sees to."""
    written = b""
    with suppress(EOFError):
        while not (written and re.search(end, written.decode(errors="ignore"))):
            written += process.read(65536)
    return written.decode()


@pytest.mark.parametrize("pause", [None, 0, 0.001])
def test_the_last_words_are_whole(tmp_path: Path, pause: float | None) -> None:
    """However often it is stopped while it moves, the command stands whole on stderr."""
    errors = tmp_path / "errors"
    shell = f'exec "$@" 2> {shlex.quote(str(errors))}'
    with MockGroupApi([QUEUED]) as api, terminal(tmp_path, api, shell) as process:
        written = read(process, rf"\[  1\] .*\n.*{HINT}")
        if pause is None:
            process.sendintr()  # Ctrl-C
        else:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
                os.kill(process.pid, number)
                time.sleep(pause)
        written += read(process)
        status = process.wait()

    told = Run(err=errors.read_text("utf-8"))
    assert told.err.startswith("\nStopped.\n\nTo poll it again, run this ")
    assert (told.command[1:], len(told.err.splitlines())) == ([GROUP_ID, "10"], 5)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # The cursor is back.
    assert status == 130 or pause is not None  # Python, while it exits, heeds a second signal.


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    """The report is as wide as the terminal that shows it; in a file it has 80 columns."""
    report = tmp_path / "report.txt"
    shell = '"$@"' if width == 60 else f'"$@" > {shlex.quote(str(report))}'
    with MockGroupApi([DONE]) as api, terminal(tmp_path, api, shell, columns=60) as process:
        written = read(process)

    text = report.read_text("utf-8") if width == 80 else re.sub(r"\x1b\[[\d;?]*\w", "", written)
    assert [len(line) for line in text.split() if line.startswith("===")] == [width] * 6
    assert ("\x1b" in written) == (width == 60)
