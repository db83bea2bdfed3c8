#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["httpx>=0.28,<1", "rich>=14.3,<16"]
# ///
"""Submit a group of chat completions to inference.net, and poll for the answers.

  uv run async_polling_example.py                  submit a new group (charged)
  uv run async_polling_example.py GROUP_ID [SIZE]  pick up a group (free)
Environment: INFERENCE_API_KEY (needed), INFERENCE_BASE_URL (a proxy or gateway)
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
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn, TextColumn
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


class Result(NamedTuple):  # What the API says about one request; None where it says nothing
    custom_id: str | None
    state: str | None  # "Queued", "In Progress", "Success", "Failed" or another
    question: str | None
    answer: str | None = None
    failure_reason: str | None = None
    milliseconds: float | None = None  # From dispatch to finish
    generation: Any = None  # The API's own object: usage, finish_reason, tool calls and the rest


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
    headers = {"Authorization": f"Bearer {API_KEY}"}
    return httpx.Client(base_url=BASE_URL, headers=headers, timeout=httpx.Timeout(30, connect=10))


def submit_group(client: httpx.Client, requests: list[Any]) -> tuple[str, int | None]:
    """Submit requests as one group; return the group's id, and its size if the API gives it.

    The API has no idempotency key: what is sent twice may be charged twice. So check the requests
    with find_mistake, and send them once. Raises httpx.HTTPError if no group id comes back.
    """
    response = client.post("/v1/async/group/chat/completions", json={"requests": requests})
    response.raise_for_status()
    group_id = get_path(response, str, "groupId") or ""
    if group_id in {"", " ", ".", ".."} or not group_id.isprintable():
        raise httpx.DecodingError(f"HTTP {response.status_code} without a groupId: {response.text}")
    return group_id, get_path(response, int, "groupSize")


def fetch_results(client: httpx.Client, group_id: str) -> list[Result]:
    """Poll once; return what is listed, maybe only a part of the group. Raises httpx.HTTPError."""
    # Slashes are quoted too: an id such as "../.." must not reach another endpoint.
    response = client.get(f"/v1/async/group/{quote(group_id, safe='')}/generations")
    response.raise_for_status()
    generations = get_path(response, list, "generations")
    if generations is None:
        raise httpx.DecodingError("no generations in the answer")
    return [parse_generation(each) for each in generations if isinstance(each, dict)]


def poll_group(
    client: httpx.Client, group_id: str, group_size: int | None, just_submitted: bool = True
) -> Iterator[tuple[list[Result], str]]:
    """Poll until every result is final, at most MAX_POLL_ATTEMPTS times.

    After each poll, yields the results so far and why the poll failed ("" if not). If group_size is
    None, all that is listed must be final. Raises httpx.HTTPStatusError if retrying cannot help.
    """
    results: list[Result] = []
    for attempt in range(1, MAX_POLL_ATTEMPTS + 1):
        next_poll = time.monotonic() + POLL_INTERVAL_SECONDS
        problem, pause = "", 0.0
        try:
            # A poll may list less than the one before. Keep the list with more final results.
            results = max(fetch_results(client, group_id), results, key=count_final)
        except httpx.HTTPError as error:
            problem, pause = explain_failed_poll(error, just_submitted)
        yield results, problem
        final, listed = count_final(results)
        if 0 < final == max(listed, group_size or 0) or attempt == MAX_POLL_ATTEMPTS:
            return
        time.sleep(max(pause, next_poll - time.monotonic()))


def count_final(results: list[Result]) -> tuple[int, int]:
    return sum(result.state in {"Success", "Failed"} for result in results), len(results)


def correlate(requests: list[Any], results: list[Result]) -> list[Result]:
    """Match results to requests by custom_id; return them in the order of the requests."""
    questions = dict(read_request(request) for request in requests)
    listed = {result.custom_id for result in results}
    unlisted = [Result(each, "Not listed", None) for each in questions if each not in listed]
    rows = results + unlisted[: max(0, len(requests) - len(results))]  # Listed ones may lack an id.
    rows = [row._replace(question=questions.get(row.custom_id, row.question)) for row in rows]
    order = {custom_id: position for position, custom_id in enumerate(questions)}
    return sorted(rows, key=lambda row: (order.get(row.custom_id, len(order)), row.custom_id or ""))


def parse_generation(generation: Any) -> Result:
    """Return what a generation says; any of its fields may be missing, null or malformed."""
    custom_id, question = read_request(get_path(generation, dict, "request"))
    state = get_path(generation, str, "state")
    answer = get_path(generation, str, "response", "choices", 0, "message", "content")
    reason = get_path(generation, str, "stateMessage") if state == "Failed" else None
    return Result(custom_id, state, question, answer, reason, elapsed_ms(generation), generation)


def read_request(request: Any) -> tuple[Any, Any]:
    custom_id = get_path(request, str, "metadata", "custom_id")
    return custom_id, get_path(request, str, "messages", -1, "content")


def elapsed_ms(generation: Any) -> float | None:
    times = []
    try:
        for name in ("dispatchedAt", "finishedAt"):
            # Python 3.10 reads neither "Z" nor fractions of other than 3 or 6 digits.
            text = re.sub(r"\.(\d*)", lambda dot: "." + (dot[1] + "000000")[:6], generation[name])
            times.append(datetime.fromisoformat(text.replace("Z", "+00:00")))
        return (times[1] - times[0]) / timedelta(milliseconds=1)
    except (KeyError, TypeError, ValueError):
        return None


def get_path(value: Any, kind: type, *path: str | int) -> Any:
    """Follow path into JSON, or a response's JSON; return None if nothing of that kind is there."""
    try:
        value = value.json() if isinstance(value, httpx.Response) else value
        for step in path:
            value = value[step]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return None
    if kind is str and type(value) is list:  # The content of a message may come in parts.
        return " ".join(get_path(part, str, "text") or "" for part in value)
    return value if type(value) is kind else None


def find_mistake(requests: list[Any]) -> str | None:  # None if they may be submitted
    if not 1 <= len(requests) <= 50:
        return f"A group has 1 to 50 requests: NUM_REQUESTS or build_requests gave {len(requests)}."
    if len({read_request(request)[0] for request in requests} - {None, ""}) < len(requests):
        return "Each request needs a metadata.custom_id of its own: a string that is not empty."
    return None


def explain_failed_poll(error: httpx.HTTPError, just_submitted: bool) -> tuple[str, float]:
    """Return why a poll failed, and the seconds to wait; raise error if waiting cannot help."""
    if isinstance(error, httpx.DecodingError):
        return "not the expected JSON", 0
    if not isinstance(error, httpx.HTTPStatusError):
        return "timed out" if isinstance(error, httpx.TimeoutException) else "connection failed", 0
    status = error.response.status_code
    if status == 404 and just_submitted:
        return "not there yet: HTTP 404", 0
    if status < 500 and status not in {408, 425, 429}:
        raise error
    retry_after = error.response.headers.get("Retry-After", "")
    pause = min(60, float(retry_after)) if retry_after.isdecimal() else 0
    return f"HTTP {status} {error.response.reason_phrase}".strip(), pause


# Terminal output. For the API alone, copy all above this line, without the imports of rich.

MAY_EXIST = "The group may exist all the same, and be charged: check before you submit it again."
CHECK_PROXY = "Check HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE. SOCKS needs httpx[socks]."
ADVICE = {
    401: "Check the key in INFERENCE_API_KEY.",
    402: "Check your account's credit.",
    403: "Check what your key's project may use.",
    413: "Submit fewer or shorter requests at a time.",
    429: "Wait a minute, then run it again.",
}
# Control characters, marks that change the direction of text, and lone surrogates.
UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Text that others wrote is printed as is: rich must not see [markup] or :emoji: in it.
terminal_width = max(40, min(80, shutil.get_terminal_size().columns))
console = Console(width=terminal_width, markup=False, emoji=False, highlight=False)
errors = Console(width=terminal_width, markup=False, emoji=False, highlight=False, stderr=True)
console.is_interactive &= sys.stdout.isatty()  # FORCE_COLOR must not move a cursor in a pipe.
sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # For a console without ✓


def clean(text: str | None, width: int = sys.maxsize, at_word: bool = False) -> str:
    """Return text safe to print: on one line, without the API key, cut to width terminal cells."""
    text = " ".join(UNSAFE.sub("", " ".join((text or "").split())).split()) or "n/a"
    text = text.replace(API_KEY, "[API key]") if len(API_KEY) >= 8 else text
    if cell_len(text) <= width:
        return text
    kept = set_cell_size(text, width - 3)
    if at_word:  # One cell more, for the blank after a word that just fits
        kept = set_cell_size(text, width - 2).rpartition(" ")[0] or kept
    return f"{kept.rstrip()}..."


def print_line(*parts: str | tuple[str, str] | Text) -> None:
    console.width = max(40, min(80, shutil.get_terminal_size().columns))  # It may have changed.
    console.print(Text.assemble(*parts))


def print_banner(title: str, style: str = "cyan", before: str = "") -> None:
    rule = ("=" * console.width, style)
    print_line(before, rule, "\n ", (title, "bold"), "\n", rule)


def print_heading(title: str, end: str = "") -> None:
    print_line((f"\n  {title}\n  {'-' * (len(title) + 4)}{end}", "bold"))


def print_metric(width: int, label: str, value: float | None, spec: str, unit: str = "") -> None:
    figure, unit = ("n/a", "") if value is None else (f"{value:{spec}}", unit)
    figure = figure.rjust(min(width, console.width - 12) - len(label))
    print_line("      ", label, (figure, "bold"), unit)


def print_start(requests: list[Any], *settings: str) -> None:
    print_banner("INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE")
    print_line(("\n  Configuration:", "bold"))
    for setting in (*settings, f"Poll interval: {POLL_INTERVAL_SECONDS:g}s"):
        print_line("    • ", clean(setting))
    if requests:
        print_heading(f"Submitting {len(requests)} Request{'s' * (len(requests) > 1)}", end="\n")
        for custom_id, question in map(read_request, requests[:5]):
            print_line("    ", clean(f"{custom_id}: {question or 'n/a'}", console.width - 4))
        if len(requests) > 5:
            print_line(f"    ... and {len(requests) - 5} more")
        print_line("\n  Submitting to Group API...")


def waiting(words: str) -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.elapsed:.0f}s. {task.description}")
    line = Progress(*columns, console=console, transient=True, disable=not console.is_interactive)
    line.add_task(words)
    return line


def format_bar(cells: int, total: int, succeeded: int, failed: int, mark: str) -> Text:
    green = cells * succeeded // max(1, total)
    red = cells * (succeeded + failed) // max(1, total) - green
    return Text.assemble(("█" * green, "green"), (mark * red, "red"), "░" * (cells - green - red))


def format_poll(attempt: int, results: list[Result], problem: str, group_size: int | None) -> Text:
    count = [result.state for result in results].count
    succeeded, failed, running, queued = map(count, ("Success", "Failed", "In Progress", "Queued"))
    done, total = succeeded + failed, max(len(results), group_size or 0)
    if not problem and running + queued:
        problem = f"⏳ {running} running, {queued} queued"
    note = f" ({problem})" if problem else ""
    start, end = f"  [{attempt:>3}] |", f"| {done}/{total} ({100 * done // max(1, total)}%){note}"
    bar_width = max(4, min(30, console.width - 50))  # Leaves room for the longest line
    bar = format_bar(bar_width, total, succeeded, failed, mark="█")
    return Text.assemble(start, bar, clean(end, console.width - len(start) - bar_width))


def show_polls(polls: Iterator[tuple[list[Result], str]], group_size: int | None) -> list[Result]:
    print_heading("Polling for Results", end="\n")
    with waiting("Ctrl-C leaves the group running."):
        for attempt, (results, problem) in enumerate(polls, start=1):
            print_line(format_poll(attempt, results, problem, group_size))
    return results


def print_figures(results: list[Result], total: int, wall_clock: float | None) -> None:
    states = [result.state for result in results]
    succeeded, failed = states.count("Success"), states.count("Failed")
    icon, style = "●", "bold"
    if succeeded == total:
        icon, style = "✓", "green"
    elif failed * 5 > total:  # More than 20 %
        icon, style = "✗", "red"
    bar = format_bar(min(40, console.width - 13), total, succeeded, failed, mark="░")
    print_heading("Success Rate")
    print_line((f"  {icon} |", style), bar, (f"| {100 * succeeded / total:.1f}%\n", style))
    print_metric(17, "Successful:", succeeded, "d")
    print_metric(17, "Failed:", failed, "d")
    if total > succeeded + failed:
        print_metric(17, "Unfinished:", total - succeeded - failed, "d")
    print_metric(17, "Total:", total, "d")
    times = [result.milliseconds for result in results if result.milliseconds is not None]
    throughput = (succeeded + failed) / wall_clock if wall_clock else None
    print_heading("Performance Metrics")
    print_metric(33, "Total wall-clock time:", wall_clock, ".2f", "s")
    print_metric(
        33, "Avg generation time:", sum(times) / len(times) if times else None, ".1f", "ms"
    )
    print_metric(33, "Min generation time:", min(times, default=None), ".1f", "ms")
    print_metric(33, "Max generation time:", max(times, default=None), ".1f", "ms")
    print_metric(33, "Throughput:", throughput, ".2f", " req/s")
    usages = [get_path(result.generation, dict, "response", "usage") or {} for result in results]
    prompt, output, both = (
        [n for usage in usages if type(n := usage.get(name)) is int and 0 <= n < 1e12]
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    print_heading("Token Usage")
    print_metric(29, "Prompt tokens:", sum(prompt) if prompt else None, ",")
    print_metric(29, "Completion tokens:", sum(output) if output else None, ",")
    print_metric(29, "Total tokens:", sum(both) if both else None, ",")
    print_metric(29, "Avg completion/req:", sum(output) / len(output) if output else None, ",.1f")


def print_answers(results: list[Result]) -> None:
    id_width = min(20, max([10, *(cell_len(clean(result.custom_id)) for result in results)]))
    status_width = 12 if count_final(results)[0] < len(results) else 10
    rest = max(8, console.width - id_width - status_width - 5)
    widths = (id_width, status_width, rest - min(25, rest // 2), min(25, rest // 2))
    titles = [each[:width] for each, width in zip(("ID", "Status", "Question", "Response"), widths)]
    table = Table(*titles, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_row(*("-" * width for width in widths), style="dim")
    statuses = {"Success": Text("✓ Success", "green"), "Failed": Text("✗ Failed", "red")}
    for result in results:
        status = statuses.get(result.state or "", clean(result.state, status_width))
        question = clean(result.question, min(28, widths[2]))
        answer = clean(result.failure_reason or result.answer, widths[3], at_word=True)
        table.add_row(clean(result.custom_id, id_width), status, question, answer)
    print_heading("Request-Response Correlation", end="\n")
    console.print(Padding(table, (0, 0, 0, 2)))
    failures = [result for result in results if result.state == "Failed"]
    if failures:
        print_heading("Failed Request Details", end="\n")
    for result in failures:
        reason = Text.assemble((clean(result.custom_id), "red"), ": ", clean(result.failure_reason))
        console.print(Padding(reason, (0, 0, 0, 4)))


def print_error(words: str, advice: str = "") -> int:
    text = Text.assemble(("Error:", "bold red"), f" {clean(words, 240)}\n  {advice}".rstrip())
    errors.print(text, soft_wrap=not errors.is_terminal)
    return 1


def print_report(results: list[Result], group_size: int | None, wall_clock: float | None) -> bool:
    if not results:
        print_error("No results of this group were received.")
        return False
    total = max(len(results), group_size or 0)
    complete = count_final(results)[0] == total
    print_banner("GROUP GENERATION SUMMARY", before="\n")
    print_figures(results, total, wall_clock)
    print_answers(results)
    if complete:
        listed = f"All {total} listed requests are complete."
        style = "green" if all(result.state == "Success" for result in results) else "red"
        print_banner("Generation complete!" if group_size else listed, style, before="\n")
    return complete


def explain(error: httpx.HTTPError) -> tuple[str, str]:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        advice = "Nothing was submitted. Check the network, and INFERENCE_BASE_URL if you set it."
        return f"No connection to {BASE_URL}: {error}", advice
    if not isinstance(error, httpx.HTTPStatusError):
        return f"The submission failed: {error}", MAY_EXIST
    status, response = error.response.status_code, error.response
    # The shape of error bodies is not documented; these are common.
    words = get_path(response, str, "error", "message") or get_path(response, str, "message")
    words = words or response.headers.get("Location") or re.sub("<[^<>]*>", " ", response.text)
    default = "Check MODEL_ID, INFERENCE_BASE_URL and the group id: a new one may need a minute."
    advice = MAY_EXIST if status >= 500 else ADVICE.get(status, default)
    return f"HTTP {status} {response.reason_phrase}".strip() + f": {words}", advice


def print_pick_up_command(group_id: str, size: int | None) -> None:
    words = ["uv", "run", sys.argv[0], "--" * group_id.startswith("-"), group_id, str(size or "")]
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    command = join([word for word in words if word])
    print(f"\nTo see the rest, run this with the same uv options:\n  {command}", file=sys.stderr)


def parse_command_line() -> tuple[str | None, int | None]:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("GROUP_ID", nargs="?", help="the group to pick up")
    parser.add_argument("SIZE", nargs="?", type=int, help="its number of requests, 1 to 50")
    arguments = parser.parse_args()
    if arguments.GROUP_ID in {"", " ", ".", ".."} or arguments.SIZE not in {None, *range(1, 51)}:
        parser.error("GROUP_ID must be the id of a group, and SIZE a number from 1 to 50")
    return arguments.GROUP_ID, arguments.SIZE


def find_wrong_setting() -> str | None:
    is_key = API_KEY.isascii() and not re.search(r"[\s\"']", API_KEY)
    is_base_url = re.fullmatch(r"https?://(\[[\da-f:]+\]|[\w.-]+)(:\d+)?(/[^\s?#]*)?", BASE_URL)
    rules = [
        (API_KEY, "No API key. Set it with: export INFERENCE_API_KEY=your-api-key-here"),
        (is_key, "INFERENCE_API_KEY is set, but cannot be a key: check for quotes or blanks."),
        (is_base_url, "INFERENCE_BASE_URL must be like https://api.inference.net"),
        (MODEL_ID.strip(), "MODEL_ID must be the name of a model."),
        (0 < POLL_INTERVAL_SECONDS < 1e6, "POLL_INTERVAL_SECONDS must be a number above 0."),
        (MAX_POLL_ATTEMPTS >= 1, "MAX_POLL_ATTEMPTS must be at least 1."),
    ]
    return next((rule for obeyed, rule in rules if not obeyed), None)


def stop(*_: object) -> None:  # A second signal must not cut off the last words.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise KeyboardInterrupt


def main() -> int:  # 0 if every request succeeded, 130 after Ctrl-C or SIGTERM, else 1
    group_id, group_size = parse_command_line()
    requests = [] if group_id else build_requests()
    if mistake := find_wrong_setting() or (None if group_id else find_mistake(requests)):
        return print_error(mistake)
    try:
        client = open_client()
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        return print_error(str(error), CHECK_PROXY)
    start, complete = time.monotonic(), False
    try:
        with client:
            if group_id is None:
                print_start(requests, f"Requests to submit: {len(requests)}", f"Model: {MODEL_ID}")
                with waiting("Waiting for the group's id."):
                    group_id, api_size = submit_group(client, requests)
                group_size = len(requests)
                print_line((f"  ✓ Group created: {clean(group_id)}", "green"))
                print_line((f"  ✓ Group size: {api_size or 'n/a'}", "green"))
            else:
                print_start([], f"Group to pick up: {group_id}")
            polls = poll_group(client, group_id, group_size, just_submitted=bool(requests))
            results = correlate(requests, show_polls(polls, group_size))
        complete = print_report(results, group_size, time.monotonic() - start if requests else None)
        return 0 if complete and all(result.state == "Success" for result in results) else 1
    except KeyboardInterrupt:
        console.show_cursor()
        print("\nStopped." if group_id else f"\nStopped. {MAY_EXIST}", file=sys.stderr)
        return 130
    except httpx.HTTPError as error:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 404:
            group_id = None  # There is no group to pick up.
        return print_error(*explain(error))
    except OSError as error:  # Such as a full disk, which must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return print_error(str(error))
    finally:
        if group_id and not complete:
            print_pick_up_command(clean(group_id), group_size)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(status)
