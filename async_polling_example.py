#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["httpx>=0.28,<1", "rich>=14.3,<16"]
# ///
"""Submit a group of chat completions to inference.net, and poll for the answers.

  uv run async_polling_example.py                  submit a new group (charged)
  uv run async_polling_example.py GROUP_ID [SIZE]  pick up a group (free)
Environment: INFERENCE_API_KEY (needed), INFERENCE_BASE_URL (another API URL)
API: https://docs.inference.net/features/asynchronous-inference/group
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from statistics import fmean
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn
from rich.table import Table
from rich.text import Text

NUM_REQUESTS = 10  # Number of requests to submit (max 50)
MODEL_ID = "inference-net/load-test"  # Model to use for inference
POLL_INTERVAL_SECONDS = 2  # Seconds between the starts of two polls
MAX_POLL_ATTEMPTS = 120  # Polls before this run gives up; the group keeps running
QUESTIONS = [
    "What is the capital of France?",
    "What is 2 + 2?",
    "Name one planet in our solar system.",
    "What color is the sky on a clear day?",
    "How many legs does a spider have?",
    "What is the chemical symbol for water?",
    "Who wrote Romeo and Juliet?",
    "How many days are there in a week?",
    "What is the largest ocean on Earth?",
    "What is the opposite of hot?",
]
API_KEY = os.environ.get("INFERENCE_API_KEY", "").strip()
BASE_URL = os.environ.get("INFERENCE_BASE_URL", "").strip() or "https://api.inference.net"
FINAL = ("Success", "Failed")  # States that do not change any more
NOT_IDS = {"", " ", ".", ".."}  # Blanks are no id; dots would lead to another path in a URL.


class Result(NamedTuple):  # What the API says about one request; None where it says nothing
    custom_id: str | None
    state: str | None  # "Queued", "In Progress", "Success", "Failed" or another
    question: str | None
    answer: str | None = None
    failure_reason: str | None = None
    milliseconds: float | None = None  # From dispatch to finish
    generation: Any = None  # The API's own object: usage, finish_reason, tool calls and the rest


def build_requests() -> list[Any]:
    """Return NUM_REQUESTS chat completion requests, with custom_ids req-001, req-002 and so on."""
    return [
        {
            "model": MODEL_ID,
            "messages": [{"role": "user", "content": QUESTIONS[index % len(QUESTIONS)]}],
            "metadata": {"custom_id": f"req-{index + 1:03}"},  # Results come back in any order.
        }
        for index in range(NUM_REQUESTS)
    ]


def open_client() -> httpx.Client:
    """Return the HTTP client for the whole run; it reuses one connection for all polls."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    return httpx.Client(base_url=BASE_URL, headers=headers, timeout=httpx.Timeout(30, connect=10))


def submit_group(client: httpx.Client, requests: list[Any]) -> tuple[str, int | None]:
    """Submit a group; return its id, and its size if given. Raises ValueError, httpx.HTTPError."""
    if mistake := find_mistake(requests):
        raise ValueError(mistake)
    # Send them once: there is no idempotency key, so what is sent twice may be charged twice.
    response = client.post("/v1/async/group/chat/completions", json={"requests": requests})
    response.raise_for_status()
    group_id = read_field(response, str, "groupId") or ""
    if group_id in NOT_IDS or not group_id.isprintable():
        raise httpx.DecodingError(f"HTTP {response.status_code} without a groupId: {response.text}")
    return group_id, read_field(response, int, "groupSize")


def fetch_results(client: httpx.Client, group_id: str) -> list[Result]:
    """Poll once; return what is listed, maybe only a part of the group. Raises httpx.HTTPError."""
    response = client.get(f"/v1/async/group/{quote(group_id, safe='')}/generations")
    response.raise_for_status()
    generations = read_field(response, list, "generations")
    if generations is None:
        raise httpx.DecodingError("no generations in the answer")
    return [parse_generation(each) for each in generations if isinstance(each, dict)]


def count(results: list[Result], *states: str) -> int:
    return sum(result.state in states for result in results)


def is_stale(new: list[Result], old: list[Result]) -> bool:  # Polls may list less than before.
    now_final, then_final = count(new, *FINAL), count(old, *FINAL)
    return now_final < then_final or (now_final == then_final and len(new) < len(old))


def poll_group(
    client: httpx.Client, group_id: str, group_size: int | None, just_submitted: bool = True
) -> Iterator[tuple[list[Result], str]]:
    """Poll until all results are final, but at most MAX_POLL_ATTEMPTS times.

    After each poll, yields the results so far and that poll's problem, or "". If group_size is
    None, what is listed counts as the group. Raises HTTPStatusError if polling again cannot help.
    """
    results: list[Result] = []
    for attempt in range(1, MAX_POLL_ATTEMPTS + 1):
        next_poll = time.monotonic() + POLL_INTERVAL_SECONDS
        problem, pause = "", 0.0
        try:
            listed = fetch_results(client, group_id)
            results = results if is_stale(listed, results) else listed
        except httpx.HTTPError as error:
            problem, pause = retry_or_raise(error, just_submitted)
        yield results, problem
        total = max(len(results), group_size or 0)
        if (total and count(results, *FINAL) == total) or attempt == MAX_POLL_ATTEMPTS:
            return
        time.sleep(max(0, pause, next_poll - time.monotonic()))


def correlate(requests: list[Any], results: list[Result]) -> list[Result]:
    """Match results to requests by custom_id; return them in the requests' order, others last."""
    rows = []
    # Only this many are missing: a request whose result lost its custom_id has no match, either.
    missing = len(requests) - len(results)
    for custom_id, question in map(read_request, requests):
        matches = [result for result in results if result.custom_id == custom_id]
        rows += [match._replace(question=question) for match in matches]
        if not matches and missing > 0:
            rows.append(Result(custom_id, "Not listed", question))
            missing -= 1
    matched = {row.custom_id for row in rows}
    others = [result for result in results if result.custom_id not in matched]
    return rows + sorted(others, key=lambda result: result.custom_id or "")


def parse_generation(generation: Any) -> Result:
    """Return what a generation says; any of its fields may be missing, null or malformed."""
    custom_id, question = read_request(read_field(generation, dict, "request"))
    state = read_field(generation, str, "state")
    answer = read_field(generation, str, "response", "choices", 0, "message", "content")
    reason = read_field(generation, str, "stateMessage") if state == "Failed" else None
    return Result(custom_id, state, question, answer, reason, elapsed_ms(generation), generation)


def read_request(request: Any) -> tuple[Any, Any]:  # Its custom_id, and its last message's text
    custom_id = read_field(request, str, "metadata", "custom_id")
    return custom_id, read_field(request, str, "messages", -1, "content")


def read_field(value: Any, kind: type, *path: str | int) -> Any:
    """Follow path into JSON, or a response's JSON; return None if nothing of that kind is there."""
    try:
        value = value.json() if isinstance(value, httpx.Response) else value
        for step in path:
            value = value[step]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return None
    if kind is str and type(value) is list:  # A message may come in parts: join their texts.
        return " ".join(read_field(part, str, "text") or "" for part in value).strip()
    return value if type(value) is kind else None


def elapsed_ms(generation: Any) -> float | None:
    times = []
    try:
        for name in ("dispatchedAt", "finishedAt"):  # Python 3.10: pad or cut to "." + 6 digits
            text = re.sub(r"\.\d*", lambda match: match[0][:7].ljust(7, "0"), generation[name])
            times.append(datetime.fromisoformat(text.replace("Z", "+00:00")))
        return (times[1] - times[0]) / timedelta(milliseconds=1)
    except (KeyError, TypeError, ValueError):
        return None


def find_mistake(requests: list[Any]) -> str | None:  # None if they may be submitted
    if not 1 <= len(requests) <= 50:
        return f"A group has 1 to 50 requests: NUM_REQUESTS or build_requests gave {len(requests)}."
    custom_ids = {custom_id for custom_id, _ in map(read_request, requests)}
    if len(custom_ids - {None, ""}) < len(requests):
        return "Each request needs a metadata.custom_id of its own: a string that is not empty."
    return None


def retry_or_raise(error: httpx.HTTPError, just_submitted: bool) -> tuple[str, float]:
    """Return why a poll failed, and the seconds to wait; raise error if waiting cannot help."""
    if isinstance(error, httpx.DecodingError):
        return "not the expected JSON", 0
    if isinstance(error, httpx.TimeoutException):
        return "timed out", 0
    if not isinstance(error, httpx.HTTPStatusError):
        return "connection failed", 0
    status = error.response.status_code
    if status == 404 and just_submitted:
        return "not there yet: HTTP 404", 0
    if status < 500 and status not in {408, 425, 429}:
        raise error
    retry_after = error.response.headers.get("Retry-After", "")
    pause = min(60, float(retry_after)) if retry_after.isdecimal() else 0
    return f"HTTP {status} {error.response.reason_phrase}".strip(), pause


# Terminal output. For the API alone, copy all above this line, without the unused imports.
MAY_EXIST = "The group may exist all the same, and be charged: check before you submit it again."
CHECK_PROXY = "Check HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE. SOCKS needs httpx[socks]."
ADVICE = {
    401: "Check the key in INFERENCE_API_KEY.",
    402: "Check your account's credit.",
    403: "Check what your key's project may use.",
    404: "Check INFERENCE_BASE_URL, and the group id: a new group may need a minute.",
    408: MAY_EXIST,
    413: "Submit fewer or shorter requests at a time.",
    429: "Wait a minute, then run it again.",
}
STATUS_CELLS = {"Success": Text("✓ Success", "green"), "Failed": Text("✗ Failed", "red")}
# Control characters except white space (?!\s), marks that turn text around, and lone surrogates
UNSAFE = r"(?!\s)[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"


def report_width() -> int:
    return max(40, min(80, shutil.get_terminal_size().columns))


# Text that others wrote is no markup: rich must not see [tags] or :emoji: codes in it.
console = Console(width=report_width(), markup=False, emoji=False, highlight=False)
errors = Console(width=report_width(), stderr=True)
print_markup = partial(console.print, markup=True)  # Only for text of our own
sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # For a console without ✓


def clean(text: str | None, width: int = sys.maxsize, at_word: bool = False) -> str:
    """Return text that is safe to print: on one line, without the API key, cut to width cells."""
    text = " ".join(re.sub(UNSAFE, "", text or "").split()) or "n/a"
    text = text.replace(API_KEY, "[API key]") if len(API_KEY) >= 8 else text  # Short: no real key.
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text, width - 3)
    if at_word and text[len(kept)] != " ":  # Cut inside a word: drop what is left of it.
        kept = kept.rpartition(" ")[0] or kept
    return kept.rstrip() + "..."


def print_banner(title: str, style: str = "cyan", before: str = "") -> None:
    rule = f"[{style}]{'=' * console.width}[/]"
    print_markup(f"{before}{rule}\n [bold]{title}[/]\n{rule}")


def print_heading(title: str, end: str = "") -> None:
    print_markup(f"\n  [bold]{title}\n  {'-' * (len(title) + 4)}[/]{end}")


def print_figure(label: str, values: Any, spec: str = ",", unit: str = "", how: Any = sum) -> None:
    plausible = [value for value in values if value is not None and 0 <= value < 1e12]
    figure = f"{how(plausible):{spec}}" if plausible else "n/a"
    width = min(10, console.width - 35)
    print_markup(f"      {label}[bold]{figure:>{width}}[/]{unit if plausible else ''}")


def format_bar(width: int, results: list[Result], total: int, failed_cell: str) -> str:
    green = width * count(results, "Success") // max(1, total)
    red = width * count(results, *FINAL) // max(1, total) - green
    return f"[green]{'█' * green}[/][red]{failed_cell * red}[/]{'░' * (width - green - red)}"


def moving_line(words: str) -> Progress:
    moves = console.is_interactive and sys.stdout.isatty()  # FORCE_COLOR makes pipes "interactive".
    columns = SpinnerColumn(), "{task.elapsed:.0f}s. {task.description}"
    line = Progress(*columns, console=console, transient=True, disable=not moves)
    line.add_task(words)
    return line


def print_start(requests: list[Any], group_id: str | None) -> None:
    print_banner("INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE")
    print_markup("\n  [bold]Configuration:[/]")
    if group_id:
        console.print(f"    • Group to pick up: {clean(group_id)}")
    else:
        console.print(f"    • Requests to submit: {len(requests)}\n    • Model: {clean(MODEL_ID)}")
    console.print(f"    • Poll interval: {POLL_INTERVAL_SECONDS:g}s")
    if requests:
        print_heading(f"Submitting {len(requests)} Request{'s' * (len(requests) > 1)}", end="\n")
        for custom_id, question in map(read_request, requests[:5]):
            console.print("   ", clean(f"{custom_id}: {question or 'n/a'}", console.width - 4))
        more = f"    ... and {len(requests) - 5} more\n" if len(requests) > 5 else ""
        console.print(f"{more}\n  Submitting to Group API...")


def show_polls(polls: Iterator[tuple[list[Result], str]], group_size: int | None) -> list[Result]:
    print_heading("Polling for Results", end="\n")
    with moving_line("Ctrl-C leaves the group running."):
        for attempt, (results, problem) in enumerate(polls, start=1):
            console.width = report_width()  # The window may have been resized.
            final, total = count(results, *FINAL), max(len(results), group_size or 0)
            end = f"| {final}/{total} ({100 * final // max(1, total)}%)"
            running, queued = count(results, "In Progress"), count(results, "Queued")
            if problem:
                end += f" ({problem})"
            elif running or queued:
                end += f" (⏳ {running} running, {queued} queued)"
            bar = format_bar(max(4, console.width - 50), results, total, failed_cell="█")
            start = Text(f"  [{attempt:>3}] |") + Text.from_markup(bar)
            console.print(start, clean(end, console.width - len(start)), sep="")
    return results  # Of the last poll; there was at least one.


def print_report(results: list[Result], group_size: int | None, seconds: float | None) -> bool:
    if not results:
        print_error("No results of this group were received.")
        return False
    succeeded, failed = count(results, "Success"), count(results, "Failed")
    final, total = succeeded + failed, max(len(results), group_size or 0)
    print_banner("GROUP GENERATION SUMMARY", before="\n")
    icon, style = "●", "bold"
    if succeeded == total:
        icon, style = "✓", "green"
    elif failed / total > 0.2:
        icon, style = "✗", "red"
    bar = format_bar(console.width // 2, results, total, failed_cell="░")  # Failed: empty, red
    print_heading("Success Rate")
    print_markup(f"  [{style}]{icon} |[/]{bar}[{style}]| {succeeded / total:.1%}[/]\n")
    print_markup(f"      Successful: [bold]{succeeded:5}[/]\n      Failed:     [bold]{failed:5}[/]")
    if final < total:
        print_markup(f"      Unfinished: [bold]{total - final:5}[/]")
    print_markup(f"      Total:      [bold]{total:5}[/]")
    times = [result.milliseconds for result in results]
    print_heading("Performance Metrics")
    print_figure("Total wall-clock time: ", [seconds], ".2f", "s")
    print_figure("Avg generation time:   ", times, ".1f", "ms", fmean)
    print_figure("Min generation time:   ", times, ".1f", "ms", min)
    print_figure("Max generation time:   ", times, ".1f", "ms", max)
    print_figure("Throughput:            ", [final / seconds] if seconds else [], ".2f", " req/s")
    print_heading("Token Usage")
    print_figure("Prompt tokens:     ", read_usage(results, "prompt_tokens"))
    print_figure("Completion tokens: ", read_usage(results, "completion_tokens"))
    print_figure("Total tokens:      ", read_usage(results, "total_tokens"))
    print_figure("Avg completion/req:", read_usage(results, "completion_tokens"), ",.1f", how=fmean)
    print_answers(results)
    words = "Generation complete!" if group_size else f"All {total} listed requests are complete."
    if final == total:
        print_banner(words, "red" if failed else "green", before="\n")
    return final == total


def read_usage(results: list[Result], name: str) -> list[int | None]:
    return [read_field(result.generation, int, "response", "usage", name) for result in results]


def print_answers(results: list[Result]) -> None:
    ids = [clean(result.custom_id, console.width // 4) for result in results]
    id_width = max(10, *map(cell_len, ids))
    status_width = 10 if len(results) == count(results, *FINAL) else 12  # For "In Progress"
    response_width = min(25, console.width // 2 - 15)
    question_width = console.width - id_width - status_width - response_width - 5  # 2 + 3 blanks
    widths = (id_width, status_width, question_width, response_width)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_row("ID", "Status", "Question", "Response"[:response_width], style="bold")
    table.add_row(*("-" * width for width in widths), style="dim")
    for custom_id, result in zip(ids, results):
        state = clean(result.state, status_width)
        question = clean(result.question, min(28, question_width))
        answer = clean(result.failure_reason or result.answer, response_width, at_word=True)
        table.add_row(custom_id, STATUS_CELLS.get(state, state), question, answer)
    print_heading("Request-Response Correlation", end="\n")
    console.print(Padding.indent(table, 2))
    failures = [result for result in results if result.state == "Failed"]
    if failures:
        print_heading("Failed Request Details", end="\n")
    for failure in failures:
        custom_id, reason = clean(failure.custom_id), clean(failure.failure_reason)
        console.print(Padding.indent(Text.assemble((custom_id, "red"), ": ", reason), 4))


def print_error(words: str, advice: str = "") -> int:  # Returns the exit status.
    line = Text.assemble(("Error:", "bold red"), f" {clean(words, 240)}\n  {advice}".rstrip())
    errors.print(line, soft_wrap=not errors.is_terminal)
    return 1


def explain(error: httpx.HTTPError) -> tuple[str, str]:  # What went wrong, and what to do
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        return f"No connection to {BASE_URL}: {error}", "Nothing was submitted. Check the network."
    if not isinstance(error, httpx.HTTPStatusError):
        return f"The submission failed: {error}", MAY_EXIST
    response, status = error.response, error.response.status_code
    words = read_field(response, str, "error", "message") or read_field(response, str, "message")
    words = words or response.headers.get("Location") or re.sub("<[^<>]*>", " ", response.text)
    advice = MAY_EXIST if status >= 500 else ADVICE.get(status, "Check MODEL_ID, and the base URL.")
    return f"HTTP {status} {response.reason_phrase}".strip() + f": {words}", advice


def print_pick_up_command(group_id: str, group_size: int | None) -> None:
    options_end = ["--"] if group_id.startswith("-") else []  # An id may look like an option.
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    command = join(["uv", "run", sys.argv[0], *options_end, group_id]) + f" {group_size or ''}"
    print(f"\nTo see the rest, run this (with the same uv options):\n  {command}", file=sys.stderr)


def parse_command_line() -> tuple[str | None, int | None]:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("GROUP_ID", nargs="?", help="the group to pick up")
    parser.add_argument("SIZE", nargs="?", type=int, help="how many requests to wait for, 1 to 50")
    arguments = parser.parse_args()
    if arguments.GROUP_ID in NOT_IDS or arguments.SIZE not in {None, *range(1, 51)}:
        parser.error("GROUP_ID must be the id of a group, and SIZE a number from 1 to 50")
    return arguments.GROUP_ID, arguments.SIZE


def find_wrong_setting() -> str | None:
    is_key = API_KEY.isascii() and not re.search(r"[\s\"']", API_KEY)
    is_base_url = re.fullmatch(r"https?://(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d+)?(/[^\s?#]*)?", BASE_URL)
    checks = [
        (API_KEY, "No API key. Set it with: export INFERENCE_API_KEY=your-api-key-here"),
        (is_key, "INFERENCE_API_KEY is set, but cannot be a key: check for quotes or blanks."),
        (is_base_url, "INFERENCE_BASE_URL must be like https://api.inference.net"),
        (MODEL_ID.strip(), "MODEL_ID must be the name of a model."),
        (0 < POLL_INTERVAL_SECONDS < 1e6, "POLL_INTERVAL_SECONDS must be a number above 0."),
        (MAX_POLL_ATTEMPTS >= 1, "MAX_POLL_ATTEMPTS must be at least 1."),
    ]
    return next((message for passed, message in checks if not passed), None)


def stop(*_: object) -> None:  # The first signal ends the run; later ones do nothing.
    signal.signal(signal.SIGINT, lambda *_: None)  # With SIG_IGN, Python may print an error.
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise KeyboardInterrupt


def main() -> int:  # 0: all succeeded; 130: Ctrl-C or SIGTERM; else 1. (argparse exits with 2.)
    group_id, group_size = parse_command_line()
    requests, start, complete = [], time.monotonic(), False
    mistake = find_wrong_setting()
    if group_id is None and not mistake:
        requests = build_requests()
        group_size, mistake = len(requests), find_mistake(requests)
    if mistake:
        return print_error(mistake)
    try:
        client = open_client()
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        return print_error(str(error), CHECK_PROXY)
    try:
        with client:
            print_start(requests, group_id)
            if group_id is None:
                with moving_line("Waiting for the group's id."):
                    group_id, api_size = submit_group(client, requests)
                console.print(f"  ✓ Group created: {clean(group_id)}", style="green")
                console.print(f"  ✓ Group size: {api_size or 'n/a'}", style="green")
            polls = poll_group(client, group_id, group_size, just_submitted=bool(requests))
            results = correlate(requests, show_polls(polls, group_size))
        complete = print_report(results, group_size, time.monotonic() - start if requests else None)
        return 0 if complete and not count(results, "Failed") else 1
    except KeyboardInterrupt:
        console.show_cursor()  # The signal may have come in the midst of rich's own code.
        print("\nStopped." if group_id else f"\nStopped. {MAY_EXIST}", file=sys.stderr)
        return 130
    except httpx.HTTPError as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 404:
            group_id = None  # The API knows no such group: print no command below.
        return print_error(*explain(error))
    except OSError as error:  # A full disk, for example
        # Python flushes stdout once more at exit: that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return print_error(str(error))
    finally:
        if group_id and not complete:  # There is a group, and not all of it was reported.
            print_pick_up_command(clean(group_id), group_size)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Unlike a handler, this lasts while Python exits.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)
