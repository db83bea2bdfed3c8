"""What the tests share: two ways to run the sample, and what the API answers.

`play` runs an edited copy inside the test: the test lists what the API answers, and the clock waits
for nobody. `run_sample` runs one as a user does, as a process of its own, against the mock.
As a tutorial, read test_report, test_submission, test_polling, test_hostile_text, test_terminal.
"""

import functools
import io
import itertools
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from mock_group_api import ANSWERS, API_KEY, SAMPLE, MockGroupApi, generation, requests_of

# A response, an error to raise, the generations to list, or a function from the call to one.
Answer = httpx.Response | Exception | list[Any] | Callable[[httpx.Request], Any]

README = (SAMPLE.parent / "README.md").read_text("utf-8")
SCRIPT = os.path.join("my scripts", SAMPLE.name)  # How a process is told where it is
STATES = {"S": "Success", "F": "Failed", "I": "In Progress", "Q": "Queued", "E": "Expired"}
STYLES = {"1": "bold", "2": "dim", "7": "reverse", "31": "red", "32": "green", "36": "cyan"}
# What all tests start from, whatever values the sample is edited to have
CONSTANTS: dict[str, Any] = {"MODEL_ID": "inference-net/load-test", "QUESTIONS": list(ANSWERS)}
on_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals and shells")
# Nothing is sent, so the certificates need not be read again for each run: it takes half its time.
create_ssl_context = functools.cache(ssl.create_default_context)


def readme_block(language: str, words: str) -> str:
    """Return the one code block of the README that is in that language and has words in it."""
    blocks: list[list[str]] = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", README)
    (found,) = [block for name, block in blocks if name == language and words in block]
    return found


def edited_sample(code: str = "", **constants: object) -> str:
    """Return the sample with other constants, if not None, and with code that replaces its own."""
    start, last_lines, end = SAMPLE.read_text("utf-8").partition('\nif __name__ == "__main__":\n')
    edits = [f"{name} = {value!a}" for name, value in constants.items() if value is not None]
    return "\n".join([start, *edits, code, last_lines]) + end


def styled(text: str) -> list[str]:
    """Return the lines of text, with the names of styles in place of their escape sequences."""

    def name(match: re.Match[str]) -> str:
        code, start, words, end = match.groups()
        style = " ".join(STYLES[each] for each in code.split(";"))
        return f"{start}<{style}>{words}</>{end}" if words else start + end

    return re.sub(r"\x1b\[([\d;]+)m( *)(.*?)( *)\x1b\[0m", name, text).splitlines()


@dataclass
class Run:
    """What a run came to."""

    status: int = 0
    out: str = ""
    err: str = ""
    # Of those inside the test:
    calls: list[httpx.Request] = field(default_factory=list)
    poll_starts: list[float] = field(default_factory=list)  # Seconds after the first
    sleeps: list[float] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """Those of the report, without what the clock decides."""
        clock_figure = r"((?:wall-clock time|Throughput):) +(\d+\.\d\d.*|n/a)"
        return [re.sub(clock_figure, r"\1 #", line) for line in self.out.splitlines()]

    @property
    def poll_lines(self) -> list[str]:
        return [line for line in self.lines if re.match(r"  \[ *\d+\] ", line)]

    @property
    def counts(self) -> list[str]:
        """What stands behind the bar of each poll line."""
        return [line.rpartition("| ")[2] for line in self.poll_lines]

    @property
    def rows(self) -> list[str]:
        """The lines of the table, without its header."""
        table = "\n".join(self.lines).partition("  Request-Response Correlation\n")[2]
        return table.split("\n\n")[1].splitlines()[2:]

    @property
    def command(self) -> list[str]:
        """The words behind "uv run" in the command that picks the group up."""
        return shlex.split("".join(re.findall("(?m)^  uv run (.*)$", self.err)))


def play(
    *answers: Answer,
    arguments: tuple[str, ...] = (),
    env: dict[str, str | None] | None = None,
    poll_seconds: float = 0.5,
    submission: Answer | None = None,
    terminal: bool = False,
    code: str = "",
    **constants: object,
) -> Run:
    """Run an edited sample in this process; each poll gets an answer, the last ever after.

    It replaces only what sends and what waits. A call takes poll_seconds of the clock. Unless a
    test says otherwise, two requests are accepted, and polled four times at most, each two seconds.
    """
    run, now, polls_started = Run(), 1000.0, list[float]()
    in_turn = itertools.chain(answers, itertools.repeat(answers[-1] if answers else []))

    def handle_request(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        nonlocal now
        request.read()
        run.calls.append(request)
        is_poll = request.method == "GET"
        if is_poll:
            polls_started.append(now)
        now += poll_seconds
        return respond(next(in_turn) if is_poll else submission or accept, request)

    def sleep(seconds: float) -> None:
        nonlocal now
        run.sleeps.append(seconds)
        now += seconds

    own = {"NUM_REQUESTS": 2, "POLL_INTERVAL_SECONDS": 2, "MAX_POLL_ATTEMPTS": 4}
    constants = {**CONSTANTS, **own, **constants}
    settings = {"COLUMNS": "80", "TERM": "xterm", **(env or {})}
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(each, "utf-8", newline="\n") for each in written)
    out.isatty = err.isatty = lambda: terminal  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment("http://api.test", **settings).items():
            patch.setenv(name, value)
        patch.setattr(ssl, "create_default_context", create_ssl_context)
        patch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
        patch.setattr(time, "sleep", sleep)
        patch.setattr(time, "monotonic", lambda: now)
        patch.setattr(time, "perf_counter", lambda: now)
        patch.setattr(sys, "argv", [SAMPLE.name, *arguments])
        try:
            program = compile(edited_sample(code, **constants), SAMPLE.name, "exec")
            exec(program, {"__name__": "__main__"})
        except SystemExit as ended:
            run.status = int(ended.code or 0)
        except KeyboardInterrupt:  # Else it would end the tests.
            raise AssertionError("KeyboardInterrupt was not caught") from None
        sys.stdout.flush()
        sys.stderr.flush()
        run.out, run.err = (each.getvalue().decode() for each in written)
    run.poll_starts = [round(start - polls_started[0], 6) for start in polls_started]
    return run


def accept(request: httpx.Request) -> httpx.Response:
    """Answer a submission as the API does."""
    size = len(json.loads(request.content)["requests"])
    return json_response({"groupId": "group", "groupSize": size})


def respond(answer: Answer, request: httpx.Request) -> httpx.Response:
    """Return what answer stands for, or raise it."""
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, list):
        return json_response({"generations": answer})
    return answer if isinstance(answer, httpx.Response) else respond(answer(request), request)


def json_response(value: Any, status: int = 200) -> httpx.Response:
    """Return value as an answer; what is no text in UTF-8, like a lone surrogate, is escaped."""
    return httpx.Response(status, content=json.dumps(value).encode())


def listed(states: str, first: int = 0) -> list[Any]:
    """Return generations of consecutive requests in these states, each by its first letter."""
    requests = requests_of(*itertools.islice(itertools.cycle(ANSWERS), first + len(states)))
    return [generation(requests[i], i, STATES[s]) for i, s in enumerate(states, start=first)]


def environment(base_url: str, **more: str | None) -> dict[str, str]:
    """Return that of a process; what is None is left out."""
    windows = {name: os.environ.get(name) for name in ("SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP")}
    given = {"INFERENCE_API_KEY": API_KEY, "INFERENCE_BASE_URL": base_url}
    settings = {**windows, **given, "PYTHONIOENCODING": "utf-8", **more}
    return {name: value for name, value in settings.items() if value is not None}


def run_to_end(command: list[str], **options: Any) -> Run:
    """Run a command to its end, and keep what it prints; fail if that does not come."""
    options |= {"stdin": subprocess.DEVNULL, "capture_output": True, "encoding": "utf-8"}
    ended = subprocess.run(command, timeout=30, **options)
    return Run(ended.returncode, ended.stdout, ended.stderr)


def run_sample(
    api: MockGroupApi | str,
    *arguments: str,
    env: dict[str, str | None] | None = None,
    shell: str = "",
    code: str = "",
    **constants: object,
) -> Run:
    """Run an edited sample against a mock or a URL, by a shell's command line that runs "$@"."""
    own = {"NUM_REQUESTS": 10, "POLL_INTERVAL_SECONDS": 0.01, "MAX_POLL_ATTEMPTS": 120}
    constants = {**CONSTANTS, **own, **constants}
    command = ["sh", "-c", shell, "sh"] * bool(shell) + [sys.executable, SCRIPT, *arguments]
    with TemporaryDirectory() as folder:
        script = Path(folder) / SCRIPT
        script.parent.mkdir()
        script.write_text(edited_sample(code, **constants), encoding="utf-8")
        base_url = api if isinstance(api, str) else api.url
        return run_to_end(command, env=environment(base_url, **(env or {})), cwd=folder)


@pytest.fixture(autouse=True)
def like_any_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take out of the environment what a run would heed, and give signals their handlers back."""
    heeded = ".*_PROXY|SSL.*|INFERENCE_.*|COLUMNS|LINES|CI|(FORCE|NO)_COLOR|CLICOLOR.*|TTY_.*"
    for name in list(os.environ):
        if re.fullmatch(heeded, name, re.IGNORECASE):
            monkeypatch.delenv(name)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # A sample that heeds none ends alone.
    yield
    for each, handler in handlers.items():
        signal.signal(each, handler)
