#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["httpx>=0.28,<1", "rich>=14.3,<16"]
# ///
"""Submit a group of chat completion requests to inference.net and poll until they are answered.

  uv run async_polling_example.py             submit a new group, which is charged
  uv run async_polling_example.py GROUP_ID    pick up a group that an earlier run submitted

Environment:
  INFERENCE_API_KEY     your API key (needed)
  INFERENCE_BASE_URL    a proxy or gateway, if not https://api.inference.net itself

What is submitted, and how often it is polled, is set by the constants at the top of the script.
"""

import os
import re
import shlex
import signal
import sys
import time
import unicodedata
from argparse import ArgumentParser, RawTextHelpFormatter
from collections import Counter
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import getproxies

import httpx
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

NUM_REQUESTS = 10  # Number of requests to submit (max 50)
MODEL_ID = "inference-net/load-test"  # Model to use for inference
POLL_INTERVAL_SECONDS = 2  # Seconds between the starts of two polls
MAX_POLL_ATTEMPTS = 120  # Polls before this run gives up; the group itself goes on

API_KEY = os.environ.get("INFERENCE_API_KEY", "").strip()
BASE_URL = os.environ.get("INFERENCE_BASE_URL", "").strip() or "https://api.inference.net"
TIMEOUT = httpx.Timeout(30, connect=10)  # Seconds
FINAL_STATES = {"Success", "Failed"}

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
    "How many continents are there?",
    "What is the square root of 81?",
    "Which animal is known to bark?",
    "What language is spoken in Brazil?",
    "At how many degrees Celsius does water boil?",
]

MAY_EXIST = "The group may exist all the same, and be charged: check before you submit it again."
# Text that others wrote is printed as it is: rich must not see [markup] or :emoji: in it.
console = Console(markup=False, emoji=False, highlight=False)
if not console.file.isatty():  # Else rich would take the width of another stream's terminal.
    console.is_interactive = False
    console.width = console.width if "COLUMNS" in os.environ else 80
if hasattr(console.file, "reconfigure"):
    console.file.reconfigure(errors="replace")


class RunError(Exception):
    """Ends the run. Its first line says what happened, its second what to do about it."""


class Result(NamedTuple):
    """One generation, which is what the API calls a request and its answer; None is unknown."""

    generation_id: str | None
    custom_id: str | None
    state: str | None  # "Queued", "In Progress", "Success", "Failed" or another
    question: str | None
    answer: str | None  # If the request failed, the reason
    milliseconds: float | None  # From dispatch to finish
    tokens: dict[str, int] | None  # prompt_tokens, completion_tokens, total_tokens


def get_path(value: Any, kind: type, *path: str | int) -> Any:
    """Follow path into JSON or a response's JSON; return None if nothing of that kind is there."""
    try:
        value = value.json() if isinstance(value, httpx.Response) else value
        for step in path:
            value = value[step]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return None
    return value if type(value) is kind else None


def sanitize(text: str | None) -> str:
    """Return text on one line, with neither the API key nor control characters, or "n/a"."""
    text = " ".join((text or "").split())
    if not text.isprintable():
        kept = (char for char in text if unicodedata.category(char) not in {"Cc", "Cf", "Cs"})
        text = " ".join("".join(kept).split())
    return (text.replace(API_KEY, "[API key]") if len(API_KEY) >= 8 else text) or "n/a"


def truncate(text: str, width: int, at_word: bool = False) -> str:
    """Return text cut to width terminal cells, "..." included if something was cut off."""
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text, width - 3).rstrip()
    if at_word and " " in kept and text[len(kept)] != " ":
        kept = kept.rpartition(" ")[0]
    return f"{kept}..."


def build_requests() -> list[Any]:
    """Return NUM_REQUESTS chat completion requests, with custom_ids req-001, req-002 and so on.

    Results come in any order. The API returns the metadata with each of them, so a custom_id that
    is unique in its group tells which request a result belongs to.
    """
    return [
        {
            "model": MODEL_ID,
            "messages": [{"role": "user", "content": QUESTIONS[index % len(QUESTIONS)]}],
            "metadata": {"custom_id": f"req-{index + 1:03}"},
        }
        for index in range(NUM_REQUESTS)
    ]


def open_client() -> httpx.Client:
    """Return the HTTP client for the whole run; it reuses one connection for all polls."""
    limits = httpx.Limits(keepalive_expiry=None)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    proxied = getproxies().keys() - {"no"}
    try:
        # httpx ignores HTTPS_PROXY and its like when it is given a transport.
        transport = None if proxied else httpx.HTTPTransport(limits=limits, retries=2)
        return httpx.Client(
            base_url=BASE_URL, headers=headers, timeout=TIMEOUT, limits=limits, transport=transport
        )
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise RunError(f"{error}\nCheck HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE.") from error


def response_error(response: httpx.Response, advice: str) -> RunError:
    """Return the error for a response that ends the run, with the API's own words in it."""
    # Error bodies are not documented; these shapes are common.
    words = get_path(response, str, "error", "message") or get_path(response, str, "message")
    if words is None:
        words = re.sub("<[^>]*>", " ", response.content[:2000].decode("utf-8", "replace"))
    known = {401: "Check the key in INFERENCE_API_KEY.", 429: "Wait a minute, then try again."}
    status = f"HTTP {response.status_code} {response.reason_phrase}"
    message = f"{status}: {truncate(sanitize(words), 200)}" if words.strip() else status
    return RunError(f"{message}\n{known.get(response.status_code, advice)}")


def submit_group(client: httpx.Client, requests: list[Any]) -> tuple[str, int | None]:
    """Submit requests as one group; return its id, and its size if the API tells it.

    The API has no idempotency key: what is sent twice may be charged twice. So this sends once, and
    the client retries only to connect, not to send. Raises RunError if no group id came back.
    """
    try:
        response = client.post("/v1/async/group/chat/completions", json={"requests": requests})
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
        advice = "Nothing was submitted. Check the network, and INFERENCE_BASE_URL if you set it."
        raise RunError(f"No connection to {BASE_URL}: {error}\n{advice}") from error
    except httpx.HTTPError as error:
        raise RunError(f"The submission broke off: {error}\n{MAY_EXIST}") from error
    if not response.is_success:
        check = "Check MODEL_ID, and INFERENCE_BASE_URL if you set it."
        raise response_error(response, MAY_EXIST if response.is_server_error else check)
    group_id = get_path(response, str, "groupId") or ""
    if not group_id.strip().strip("."):  # A path of dots would be another endpoint's.
        raise RunError(f"HTTP {response.status_code}, but without a group id.\n{MAY_EXIST}")
    return group_id, get_path(response, int, "groupSize")


def parse_timestamp(text: str | None) -> float:
    """Return an ISO 8601 timestamp as seconds since 1970, or NaN if text is not one."""
    # In parts, because Python 3.10's fromisoformat knows neither "Z" nor a fraction of 9 digits.
    parts = re.fullmatch(r"([\d-]{10}[T ][\d:]{8})(\.\d+)?(Z|[+-]\d\d:\d\d)?", text or "", re.ASCII)
    seconds, fraction, offset = parts.groups() if parts else ("", None, None)
    try:
        whole = datetime.fromisoformat(seconds + (offset or "Z").replace("Z", "+00:00"))
        return whole.timestamp() + float(fraction or 0)
    except ValueError:
        return float("nan")


def parse_generation(generation: Any) -> Result:
    """Return one item of the API's list, in which any field may be missing, null or malformed."""
    state = get_path(generation, str, "state")
    answer = get_path(generation, str, "response", "choices", 0, "message", "content")
    started = parse_timestamp(get_path(generation, str, "dispatchedAt"))
    milliseconds = 1000 * (parse_timestamp(get_path(generation, str, "finishedAt")) - started)
    usage = get_path(generation, dict, "response", "usage") or {}
    return Result(
        generation_id=get_path(generation, str, "id"),
        custom_id=get_path(generation, str, "request", "metadata", "custom_id"),
        state=state,
        question=get_path(generation, str, "request", "messages", -1, "content"),
        answer=answer if state == "Success" else get_path(generation, str, "stateMessage"),
        milliseconds=milliseconds if milliseconds >= 0 else None,
        tokens={name: n for name, n in usage.items() if type(n) is int and 0 <= n < 10**12} or None,
    )


def retry_after_seconds(response: httpx.Response) -> float:
    """Return the wait that the Retry-After header asks for, in seconds or as a date; at most 60."""
    header = response.headers.get("Retry-After", "")
    if header.isdecimal():
        return min(60, float(header))
    try:
        return min(60, max(0, parsedate_to_datetime(header).timestamp() - time.time()))
    except (TypeError, ValueError, OverflowError, IndexError):
        return 0


def fetch_results(client: httpx.Client, group_id: str) -> tuple[list[Result], str, float]:
    """Poll once; return the results listed, the problem if there was one, and seconds to wait.

    At first the API may list only some. Raises RunError if polling again cannot help.
    """
    # Slashes are quoted too, or an id such as "../.." would reach another endpoint.
    path = f"/v1/async/group/{quote(group_id, safe='', errors='replace')}/generations"
    try:
        response = client.get(path)
    except httpx.HTTPError as error:
        timed_out = isinstance(error, httpx.TimeoutException)
        return [], "timed out" if timed_out else "connection failed", 0
    code = response.status_code
    if response.is_client_error and code not in {404, 408, 425, 429}:
        raise response_error(response, "Check the group id, and INFERENCE_BASE_URL if you set it.")
    if not response.is_success:
        wait = retry_after_seconds(response)
        reason = f"retry after {wait:.0f}s" if wait else response.reason_phrase
        status = sanitize(f"HTTP {code} {reason}")
        return [], "not there yet: HTTP 404" if code == 404 else status, wait
    generations = get_path(response, list, "generations")
    results = [parse_generation(each) for each in generations or [] if isinstance(each, dict)]
    return results, "not the expected JSON" if generations is None else "", 0


def merge_results(known: dict[Any, Result], results: list[Result]) -> None:
    """Add what a poll told to what is known; a later poll may tell less, but takes nothing back."""
    times_listed: Counter[str | None] = Counter()
    for new in results:
        name = new.generation_id or new.custom_id
        times_listed[name] += 1  # Ids may be missing or repeated, and each generation counts.
        old = known.get((name, times_listed[name]), new)
        base, update = (new, old) if old.state in FINAL_STATES else (old, new)
        told = {field: value for field, value in update._asdict().items() if value is not None}
        known[name, times_listed[name]] = base._replace(**told)


def correlate(requests: list[Any], results: list[Result]) -> list[Result]:
    """Match results to requests by custom_id; return them, and one for each request not listed."""
    sent = [parse_generation({"request": each, "state": "Not listed"}) for each in requests]
    listed = {each.custom_id for each in results}
    every = results + [each for each in sent if each.custom_id not in listed]
    asked = {each.custom_id: each.question for each in sent}
    every = [each._replace(question=asked.get(each.custom_id, each.question)) for each in every]
    return sorted(every, key=lambda each: (each.custom_id is None, each.custom_id or ""))


def report_width() -> int:
    return max(20, min(80, console.width))


def format_bar(cells: int, done: int, total: int) -> str:
    return ("█" * (cells * done // (total or 1))).ljust(cells, "░")


class PollLine(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Return the line of a poll: attempt, bar, counts, a note and, on a terminal, the time."""
        done, total, width = int(task.completed), int(task.total or 0), report_width()
        start = f"  [{task.fields['attempt']:>3}] |"
        elapsed = f" {task.elapsed or 0:.0f}s" if console.is_interactive else ""
        end = f"| {done}/{total} ({100 * done // (total or 1)}%){task.fields['note']}{elapsed}"
        bar_width = max(4, min(30, width - 50, width - cell_len(start + end)))
        bar = format_bar(bar_width, done, total)
        return Text.assemble(start, (bar, "green"), truncate(end, width - cell_len(start + bar)))


def poll_group(client: httpx.Client, group_id: str, group_size: int) -> list[Result]:
    """Poll until group_size results, or all listed if more, are final, or the attempts run out."""
    known: dict[Any, Result] = {}
    live = console.is_interactive
    progress = Progress(PollLine(), console=console, refresh_per_second=4, disable=not live)
    task = progress.add_task("", total=group_size, attempt=1, note="")
    with progress:
        for attempt in range(1, MAX_POLL_ATTEMPTS + 1):
            next_poll = time.monotonic() + POLL_INTERVAL_SECONDS
            results, problem, wait = fetch_results(client, group_id)
            merge_results(known, results)
            states = Counter(result.state for result in known.values())
            running, queued = states["In Progress"], states["Queued"]
            note = problem or (f"⏳ {running} running, {queued} queued" if running + queued else "")
            note = f" ({note})" if note else ""
            done = states["Success"] + states["Failed"]
            total = max(group_size, len(known))
            progress.update(task, completed=done, total=total, attempt=attempt, note=note)
            if not live:
                console.print(progress)
            if done == total > 0 or attempt == MAX_POLL_ATTEMPTS:
                break
            time.sleep(max(wait, next_poll - time.monotonic()))
    return list(known.values())


def print_banner(title: str, start: str = "\n") -> None:
    rule = "=" * report_width()
    console.print(f"{start}{rule}\n {title}\n{rule}", style="bold cyan")


def print_heading(title: str, end: str = "\n") -> None:
    console.print(f"\n  {title}\n  {'-' * (len(title) + 4)}", style="bold", end=end)


def print_metric(label: str, width: int, value: float | None, spec: str, unit: str = "") -> None:
    width = min(width, report_width() - 12)
    figure, unit = ("n/a", "") if value is None else (format(value, spec), unit)
    console.print(f"      {label} {figure.rjust(width - len(label) - 1)}{unit}")


def print_start(requests: list[Any], group_id: str | None) -> None:
    print_banner("INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE", start="")
    console.print("\n  Configuration:", style="bold")
    new = f"Requests to submit: {len(requests)}\n    • Model: {sanitize(MODEL_ID)}"
    console.print(f"    • {new if requests else 'Group to pick up: ' + sanitize(group_id)}")
    console.print(f"    • Poll interval: {POLL_INTERVAL_SECONDS:g}s")
    if requests:
        print_heading(f"Submitting {len(requests)} Request{'s' * (len(requests) > 1)}", end="\n\n")
        for result in [parse_generation({"request": request}) for request in requests[:5]]:
            question = truncate(sanitize(result.question), report_width() - 13)
            console.print(f"    {sanitize(result.custom_id)}: {question}")
        if len(requests) > 5:
            console.print(f"    ... and {len(requests) - 5} more")
        console.print("\n  Submitting to Group API...")


def print_success_rate(results: list[Result]) -> None:
    states = Counter(result.state for result in results)
    total, succeeded, failed = len(results), states["Success"], states["Failed"]
    icon, style = ("●", "yellow") if succeeded >= 0.8 * total else ("✗", "red")
    if succeeded == total:
        icon, style = "✓", "green"
    bar = format_bar(min(40, report_width() - 13), succeeded, total)
    print_heading("Success Rate")
    console.print(f"  {icon} |{bar}| {100 * succeeded / total:.1f}%\n", style=style)
    print_metric("Successful:", 17, succeeded, "d")
    print_metric("Failed:", 17, failed, "d")
    if total > succeeded + failed:
        print_metric("Unfinished:", 17, total - succeeded - failed, "d")
    print_metric("Total:", 17, total, "d")


def print_performance(results: list[Result], wall_clock: float | None) -> None:
    times = [result.milliseconds for result in results if result.milliseconds is not None]
    average = sum(times) / len(times) if times else None
    finished = sum(result.state in FINAL_STATES for result in results)
    print_heading("Performance Metrics")
    print_metric("Total wall-clock time:", 33, wall_clock, ".2f", "s")
    print_metric("Avg generation time:", 33, average, ".1f", "ms")
    print_metric("Min generation time:", 33, min(times, default=None), ".1f", "ms")
    print_metric("Max generation time:", 33, max(times, default=None), ".1f", "ms")
    print_metric("Throughput:", 33, finished / wall_clock if wall_clock else None, ".2f", " req/s")


def print_token_usage(results: list[Result]) -> None:
    tokens: Counter[str] = Counter()
    for result in results:
        tokens.update(result.tokens or {})
    completion = tokens.get("completion_tokens")
    succeeded = sum(result.state == "Success" for result in results)
    average = completion / succeeded if succeeded and completion is not None else None
    print_heading("Token Usage")
    print_metric("Prompt tokens:", 29, tokens.get("prompt_tokens"), ",")
    print_metric("Completion tokens:", 29, completion, ",")
    print_metric("Total tokens:", 29, tokens.get("total_tokens"), ",")
    print_metric("Avg completion/req:", 29, average, ",.1f")


def print_answers(results: list[Result]) -> None:
    """Print a row for each result, cut to fit, and the reasons of failed requests in full."""
    id_width = min(20, max(10, *(cell_len(sanitize(result.custom_id)) for result in results)))
    status_width = 10 if all(result.state in FINAL_STATES for result in results) else 12
    rest = max(8, report_width() - id_width - status_width - 5)
    answer_width = min(25, rest // 2)
    widths = (id_width, status_width, rest - answer_width, answer_width)
    rows = [("ID", "Status", "Question", "Response"), tuple("-" * width for width in widths)]
    icons = {"Success": "✓ Success", "Failed": "✗ Failed"}
    for result in results:
        status = icons.get(result.state or "", sanitize(result.state))
        question = truncate(sanitize(result.question), min(28, widths[2]))
        answer = truncate(sanitize(result.answer), answer_width, at_word=True)
        rows.append((sanitize(result.custom_id), status, question, answer))
    print_heading("Request-Response Correlation", end="\n\n")
    for row in rows:
        cells = [
            set_cell_size(truncate(cell, width), width + 1) for cell, width in zip(row, widths)
        ]
        style = {"✓": "green", "✗": "red"}.get(cells[1][0], "")
        line = Text.assemble("  ", cells[0], (cells[1], style), cells[2], cells[3].rstrip())
        console.print(line, no_wrap=True, overflow="ellipsis")
    failed = [result for result in results if result.state == "Failed"]
    if failed:
        print_heading("Failed Request Details", end="\n\n")
    for result in failed:
        reason = Text(f"{sanitize(result.custom_id)}: {sanitize(result.answer)}")
        console.print(Padding(reason, (0, 0, 0, 4)), width=report_width())


def print_pick_up_command(group_id: str) -> None:
    escapes = "".join(f"\\x{byte:02x}" for byte in group_id.encode(errors="replace"))
    quoted_id = shlex.quote(group_id) if group_id == sanitize(group_id) else f"$'{escapes}'"
    dashes = "-- " if group_id.startswith("-") else ""
    print("This run ends before its group does. To pick the group up again:", file=sys.stderr)
    print(f"  uv run {shlex.quote(sys.argv[0])} {dashes}{quoted_id}", file=sys.stderr)


def parse_group_id() -> str | None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawTextHelpFormatter)
    parser.add_argument("group_id", metavar="GROUP_ID", nargs="?", help="the group to pick up")
    group_id: str | None = parser.parse_args().group_id
    if group_id is not None and group_id.strip().strip(".") in {"", API_KEY}:
        parser.error("GROUP_ID must be the id of a group")
    return group_id


def check_settings() -> None:
    if not re.fullmatch("[!-~]+", API_KEY):
        sys.exit("Error: No usable key. Set it with: export INFERENCE_API_KEY=your-api-key-here")
    if not re.fullmatch(r"https?://(\[[\da-f:]+\]|([\w-]{1,63}\.)*[\w-]{1,63})(:\d+)?/?", BASE_URL):
        sys.exit("Error: INFERENCE_BASE_URL must be like https://api.inference.net, with no path.")
    if type(NUM_REQUESTS) is not int or not 1 <= NUM_REQUESTS <= 50:
        sys.exit("Error: NUM_REQUESTS must be a whole number from 1 to 50.")
    if type(MODEL_ID) is not str or not MODEL_ID.strip():
        sys.exit("Error: MODEL_ID must be the name of a model.")
    if type(POLL_INTERVAL_SECONDS) not in {int, float} or not 0 < POLL_INTERVAL_SECONDS < 1e6:
        sys.exit("Error: POLL_INTERVAL_SECONDS must be a number above 0.")
    if type(MAX_POLL_ATTEMPTS) is not int or MAX_POLL_ATTEMPTS < 1:
        sys.exit("Error: MAX_POLL_ATTEMPTS must be a whole number above 0.")


def main() -> int:
    """Run the sample; return 0 if every request succeeded, 130 after Ctrl-C, or else 1."""
    group_id = parse_group_id()
    check_settings()
    sent_at, complete = None, False
    try:
        requests = build_requests() if group_id is None else []
        with open_client() as client:
            print_start(requests, group_id)
            if group_id is None:
                sent_at = time.monotonic()
                group_id, size = submit_group(client, requests)
                console.print(f"  ✓ Group created: {sanitize(group_id)}", style="green")
                console.print(f"  ✓ Group size: {size or 'n/a'}", style="green")
            print_heading("Polling for Results", end="\n\n")
            results = correlate(requests, poll_group(client, group_id, len(requests)))
        wall_clock = time.monotonic() - sent_at if sent_at else None
        if not results:
            raise RunError("The API has listed nothing in this group.\nCheck the group id.")
        complete = all(result.state in FINAL_STATES for result in results)
        print_banner("GROUP GENERATION SUMMARY")
        print_success_rate(results)
        print_performance(results, wall_clock)
        print_token_usage(results)
        print_answers(results)
        if complete:
            print_banner("Generation complete!")
        return 0 if all(result.state == "Success" for result in results) else 1
    except (RunError, OSError) as error:
        print("Error: " + "\n  ".join(map(sanitize, str(error).split("\n"))), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped. {MAY_EXIST}" if sent_at and not group_id else "Stopped.", file=sys.stderr)
        return 130
    finally:
        if group_id and not complete:
            print_pick_up_command(group_id)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
