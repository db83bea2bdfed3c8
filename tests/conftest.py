"""What the tests share: two ways to run the sample, and what the API answers.

`run_sample` runs an edited copy as a user does, as a process of its own, against the mock. `play`
runs one inside the test, with answers that the test lists and a clock that waits for nobody.
"""

import functools
import io
import itertools
import json
import os
import re
import runpy
import shlex
import signal
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import httpx
import pytest
from mock_group_api import ANSWERS, API_KEY, SAMPLE, MockGroupApi, generation

__all__ = ["generation"]  # For tests that make a list of their own

# A response, an error to raise, the generations to list, or a function from the call to one.
Answer = httpx.Response | BaseException | list[Any] | Callable[[httpx.Request], Any]

# What a machine or a shell may set, and a run of the sample would heed.
SETTINGS_OF_THE_MACHINE = re.compile(
    ".*_PROXY|SSL.*|INFERENCE_.*|COLUMNS|LINES|CI|(FORCE|NO)_COLOR|CLICOLOR.*|TTY_.*", re.IGNORECASE
)
# Nothing is sent, so the certificates need not be read again for each run: it takes half its time.
create_ssl_context = functools.cache(ssl.create_default_context)

FAILURE = "The model did not answer in time."


def edited_sample(folder: Path, *, code: str = "", **constants: object) -> Path:
    """Return a copy of the sample in folder, with constants edited as a user edits them.

    QUESTIONS replaces the list; None leaves a constant as shipped. code is put above the last
    lines, where what it defines replaces what the sample defines.
    """
    text = SAMPLE.read_text(encoding="utf-8")
    edits = {"POLL_INTERVAL_SECONDS": 0.01, **constants}
    for name, value in edits.items():
        if value is None:
            continue
        pattern = rf"(?ms)^{name} = \[.*?\]$" if name == "QUESTIONS" else rf"(?m)^{name} = [^#\n]*"
        line = f"{name} = {value!a}" + "  " * (name != "QUESTIONS")
        text, count = re.subn(pattern, line.replace("\\", r"\\"), text)
        assert count == 1, f"{name} does not stand alone at the left margin"
    last_lines = '\nif __name__ == "__main__":\n'
    assert text.count(last_lines) == 1
    script = folder / SAMPLE.name
    script.write_text(text.replace(last_lines, f"\n{code}\n{last_lines}"), encoding="utf-8")
    return script


def environment(base_url: str, **more: str | None) -> dict[str, str]:
    """Return that of a process: nothing of the machine's own but what Python needs to start.

    What is None is left out.
    """
    needed = ("SYSTEMROOT", "SYSTEMDRIVE", "TEMP", "TMP")  # On Windows
    settings: dict[str, str | None] = {
        **{name: os.environ.get(name) for name in needed},
        "INFERENCE_API_KEY": API_KEY,
        "INFERENCE_BASE_URL": base_url,
        "PYTHONIOENCODING": "utf-8",
        **more,
    }
    return {name: value for name, value in settings.items() if value is not None}


def run_to_end(
    command: list[str],
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdout: IO[str] | int = subprocess.PIPE,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, and keep what it prints; fail if that does not come."""
    try:
        return subprocess.run(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"It did not end. Output: {expired.stdout!r}\nErrors: {expired.stderr!r}")


class RunSample(Protocol):
    """The sample as a process, with quick polls unless POLL_INTERVAL_SECONDS is given."""

    def __call__(
        self,
        api: MockGroupApi | str,
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        code: str = "",
        **constants: object,
    ) -> "subprocess.CompletedProcess[str]": ...


@pytest.fixture
def run_sample(tmp_path: Path) -> RunSample:
    """Return a function that runs an edited sample against a mock, or a URL, to its end."""

    def run(
        api: MockGroupApi | str,
        *arguments: str,
        env: Mapping[str, str | None] | None = None,
        code: str = "",
        **constants: object,
    ) -> "subprocess.CompletedProcess[str]":
        script = edited_sample(tmp_path, code=code, **constants)
        base_url = api if isinstance(api, str) else api.url
        command = [sys.executable, str(script), *arguments]
        return run_to_end(command, environment(base_url, **(env or {})))

    return run


@dataclass
class Run:
    """What a run inside the test came to."""

    status: int = 0
    out: str = ""
    err: str = ""
    calls: list[httpx.Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)  # Seconds
    poll_starts: list[float] = field(default_factory=list)  # Seconds after the first

    @property
    def posts(self) -> list[httpx.Request]:
        return [call for call in self.calls if call.method == "POST"]

    @property
    def polls(self) -> list[httpx.Request]:
        return [call for call in self.calls if call.method == "GET"]

    @property
    def sent(self) -> list[Any]:
        """The requests of the submission."""
        (post,) = self.posts
        requests = json.loads(post.content)["requests"]
        assert isinstance(requests, list)
        return requests

    @property
    def poll_lines(self) -> list[str]:
        return [line for line in self.out.splitlines() if re.match(r"  \[ *\d+\] ", line)]

    @property
    def notes(self) -> list[str]:
        """What stands in parentheses at the end of each poll line."""
        return [line.partition("%)")[2].strip()[1:-1] for line in self.poll_lines]

    @property
    def rows(self) -> list[str]:
        """The lines of the table, without its header."""
        match = re.search(r"(?m)^  -+ -+ -+ -+\n((?:  .*\n)*)", self.out)
        assert match, "no table"
        return [line.rstrip() for line in match[1].splitlines()]

    @property
    def command(self) -> list[str] | None:
        """The words of the command that picks the group up, as a shell reads them."""
        return pick_up_command(self.err)


def pick_up_command(stderr: str) -> list[str] | None:
    """Return the words of the command that picks the group up, or None if none is told."""
    lines = [line for line in stderr.splitlines() if line.startswith("  uv run ")]
    assert len(lines) <= 1
    split = str.split if os.name == "nt" else shlex.split
    return split(lines[0]) if lines else None


class Play(Protocol):
    """The sample inside the test; each poll gets one of the answers, the last ever after."""

    def __call__(
        self,
        *answers: Answer,
        arguments: tuple[str, ...] = (),
        env: Mapping[str, str | None] | None = None,
        poll_seconds: float = 0,
        submission: Answer | None = None,
        code: str = "",
        **constants: object,
    ) -> Run: ...


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that runs an edited sample in this process, and waits for nothing.

    It names nothing of the script, and replaces only what sends and what waits. A call takes
    poll_seconds of the clock. A submission is accepted unless submission is another answer to it.
    """

    def run(
        *answers: Answer,
        arguments: tuple[str, ...] = (),
        env: Mapping[str, str | None] | None = None,
        poll_seconds: float = 0,
        submission: Answer | None = None,
        code: str = "",
        **constants: object,
    ) -> Run:
        script = edited_sample(tmp_path, code=code, **{"POLL_INTERVAL_SECONDS": None, **constants})
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

        def no_terminal(*_: object) -> os.terminal_size:
            raise OSError("no terminal")

        given = {"INFERENCE_API_KEY": API_KEY, "INFERENCE_BASE_URL": "http://api.test"}
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        written = io.BytesIO(), io.BytesIO()
        out, err = (io.TextIOWrapper(each, "utf-8", newline="\n") for each in written)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in {**given, **(env or {})}.items():
                patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
            patch.setattr(ssl, "create_default_context", create_ssl_context)
            patch.setattr(httpx.HTTPTransport, "handle_request", handle_request)
            patch.setattr(time, "sleep", sleep)
            patch.setattr(time, "monotonic", lambda: now)
            patch.setattr(os, "get_terminal_size", no_terminal)
            patch.setattr(sys, "argv", [str(script), *arguments])
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as ended:
                run.status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
                if isinstance(ended.code, str):  # Which the interpreter prints.
                    print(ended.code, file=sys.stderr)
            except (Exception, KeyboardInterrupt):
                traceback.print_exc()
                run.status = 1
            finally:
                signal.signal(signal.SIGINT, handlers[0])
                signal.signal(signal.SIGTERM, handlers[1])
            sys.stdout.flush()
            sys.stderr.flush()
            run.out, run.err = (each.getvalue().decode() for each in written)
        run.poll_starts = [round(start - polls_started[0], 6) for start in polls_started]
        return run

    return run


def accept(request: httpx.Request) -> httpx.Response:
    """Answer a submission as the API does."""
    size = len(json.loads(request.content)["requests"])
    return json_response({"groupId": "group", "groupSize": size})


def respond(answer: Answer, request: httpx.Request) -> httpx.Response:
    """Return what answer stands for, or raise it."""
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, list):
        return json_response({"generations": answer})
    if isinstance(answer, httpx.Response):  # A copy, because a response is used up by its reader.
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            content=answer.content,
            extensions=answer.extensions,
        )
    made = answer(request)
    return made if isinstance(made, httpx.Response) else respond(made, request)


def json_response(value: Any, status: int = 200) -> httpx.Response:
    """Return value as an answer; what is no text in UTF-8, like a lone surrogate, is escaped."""
    content_type = {"content-type": "application/json"}
    return httpx.Response(status, content=json.dumps(value).encode(), headers=content_type)


def requests_of(*questions: Any) -> list[Any]:
    """Return the requests that the sample makes of these questions: req-001, req-002 and so on."""
    return [
        {
            "model": "inference-net/load-test",
            "messages": [{"role": "user", "content": question}],
            "metadata": {"custom_id": f"req-{number:03}"},
        }
        for number, question in enumerate(questions, start=1)
    ]


def listed(*states: str, first: int = 0) -> list[Any]:
    """Return generations of consecutive requests in these states, from that index on."""
    requests = requests_of(*itertools.islice(itertools.cycle(ANSWERS), first + len(states)))
    return [
        generation(requests[index], index, state, FAILURE if state == "Failed" else None)
        for index, state in enumerate(states, start=first)
    ]


@pytest.fixture(autouse=True)
def like_any_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take out of the environment what a run would heed, and give signals their handlers back."""
    for name in list(os.environ):
        if SETTINGS_OF_THE_MACHINE.fullmatch(name):
            monkeypatch.delenv(name)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in handlers.items():
        signal.signal(each, handler)
