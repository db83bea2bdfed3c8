"""What the tests share: the sample run as a user runs it, and the sample run inside the test."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from mock_group_api import API_KEY, SAMPLE, MockGroupApi
from rich.console import Console

import async_polling_example as sample

Handler = Callable[[httpx.Request], httpx.Response]


def edited_sample(folder: Path, **constants: object) -> Path:
    """Return a copy of the sample in folder, with constants edited as a user edits them."""
    text = SAMPLE.read_text(encoding="utf-8")
    for name, value in {"POLL_INTERVAL_SECONDS": 0.01, **constants}.items():
        line = f"{name} = {value}  ".replace("\\", "\\\\")
        text, edits = re.subn(rf"(?m)^{name} = [^#\n]*", line, text)
        assert edits == 1, f"{name} does not stand alone on one line"
    script = folder / SAMPLE.name
    script.write_text(text, encoding="utf-8")
    return script


def settings(base_url: str) -> dict[str, str]:
    """Return the environment of a run: nothing of the machine's own but what Python needs."""
    return {
        "INFERENCE_API_KEY": API_KEY,
        "INFERENCE_BASE_URL": base_url,
        "PYTHONIOENCODING": "utf-8",
    }


class Runner:
    """Runs the sample as a subprocess, with quick polls unless the test says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        api: MockGroupApi | str,
        *arguments: str,
        env: dict[str, str] | None = None,
        **constants: object,
    ) -> subprocess.CompletedProcess[str]:
        """Run it against api, with arguments, more of an environment, and edited constants."""
        base_url = api if isinstance(api, str) else api.url
        return subprocess.run(
            [sys.executable, str(edited_sample(self.folder, **constants)), *arguments],
            env=settings(base_url) | (env or {}),
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )


@pytest.fixture
def run_sample(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


class Run(NamedTuple):
    """What a run of the sample's main in this process came to."""

    status: int
    out: str
    err: str


class MainRunner:
    """Runs the sample's main in this process, with a client of the test's own if it gives one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: str, client: httpx.Client | None = None) -> Run:
        self.monkeypatch.setattr(sys, "argv", [SAMPLE.name, *arguments])
        if client is not None:
            self.monkeypatch.setattr(sample, "open_client", lambda: client)
        try:
            status = sample.main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
            if isinstance(ended.code, str):  # Which the interpreter prints.
                print(ended.code, file=sys.stderr)
        return Run(status, *self.capsys.readouterr())


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> MainRunner:
    return MainRunner(monkeypatch, capsys)


class Clock:
    """Stands in for the sample's `time`: it goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the sample a key, a console of 80 columns that is no terminal, and a clock to turn."""
    clock = Clock()
    monkeypatch.setattr(sample, "time", clock)
    monkeypatch.setattr(sample, "API_KEY", API_KEY)
    monkeypatch.setattr(sample, "BASE_URL", "http://api.test")
    set_console_width(monkeypatch, 80)
    return clock


def set_console_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    console = Console(
        width=width, force_interactive=False, markup=False, emoji=False, highlight=False
    )
    monkeypatch.setattr(sample, "console", console)


def client_of(handler: Handler) -> httpx.Client:
    """Return a client whose requests are answered by handler."""
    return httpx.Client(base_url="http://api.test", transport=httpx.MockTransport(handler))


def listing(generations: Any) -> httpx.Response:
    """Return the answer to a poll; what is no text in UTF-8, like a lone surrogate, is escaped."""
    return httpx.Response(200, content=json.dumps({"generations": generations}).encode())


def answering(*answers: Any) -> httpx.Client:
    """Return a client that gets answers in turn, the last ever after.

    An answer is a response, an exception to raise, or the generations to list.
    """
    given: Iterator[Any] = iter(answers)
    last = None

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal last
        last = next(given, last)
        if isinstance(last, Exception):
            raise last
        if isinstance(last, httpx.Response):
            return httpx.Response(last.status_code, headers=last.headers, content=last.content)
        return listing(last)

    return client_of(handler)
