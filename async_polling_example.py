#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["httpx>=0.28,<1", "rich>=14.3,<16"]
# ///
"""Submit a group of chat completions to inference.net, and poll for the answers.

  uv run async_polling_example.py                  submit a new group (charged)
  uv run async_polling_example.py GROUP_ID [SIZE]  pick up a group (free)

Environment: INFERENCE_API_KEY (required), INFERENCE_BASE_URL (optional)
API: https://docs.inference.net/features/asynchronous-inference/group
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

import httpx
from rich.box import Box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.containers import Renderables
from rich.progress import Progress, ProgressColumn, Task
from rich.spinner import Spinner
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
BASE_URL = BASE_URL.rstrip("/").removesuffix("/v1")  # The paths below include /v1.
FINAL = {"Success", "Failed"}  # States that no longer change
RETRY_STATUSES = {408, 425, 429, *range(500, 600)}  # A later poll may fare better.


class Result(NamedTuple):
    """What the API says about one request; None where it says nothing (yet)."""

    custom_id: str | None
    state: str | None  # "Queued", "In Progress", "Success", "Failed", or an undocumented one
    question: str | None
    answer: str | None = None
    finish_reason: str | None = None  # Why the answer ended: "stop", or "length" if cut off
    state_message: str | None = None  # Explains the state: why it failed, for example
    milliseconds: float | None = None  # From dispatch to finish
    generation: Any = None  # The API's own object, with everything else


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


def submit_group(client: httpx.Client, requests: list[Any]) -> tuple[str, int]:
    """Submit a group; return its id and its size.

    Raises ValueError if the requests break a rule: nothing was sent. Raises httpx.HTTPError if the
    submission fails. After a time-out, a 408, a 5xx or a response without an id, the group may
    exist all the same.
    """
    if mistake := find_mistake(requests):
        raise ValueError(mistake)
    # Send them once: there is no idempotency key, so what is sent twice may be charged twice.
    response = client.post(
        "/v1/async/group/chat/completions",
        json={"requests": requests},
        timeout=httpx.Timeout(120, connect=10),  # Only this response has the id, so wait for it.
    )
    response.raise_for_status()
    body = parse_json(response)
    group_id = read(body, "groupId", kind=str)
    if not group_id:
        raise httpx.DecodingError(f"HTTP {response.status_code} without a groupId: {response.text}")
    return group_id, read(body, "groupSize", kind=int) or len(requests)


def fetch_results(client: httpx.Client, group_id: str) -> list[Result]:
    """Poll once; return what is listed, maybe only a part of the group. Raises httpx.HTTPError."""
    path = quote(group_id, safe="").replace(".", "%2E")  # Even ".." must not change the path.
    response = client.get(f"/v1/async/group/{path}/generations")
    response.raise_for_status()
    generations = read(parse_json(response), "generations", kind=list)
    if generations is None:
        raise httpx.DecodingError("no generations in the answer")
    results = [parse_generation(generation) for generation in generations]
    # A custom_id that is listed twice counts once: its last result replaces the others.
    by_id = {result.custom_id: result for result in results if result.custom_id}
    without_id = [result for result in results if not result.custom_id]
    return [*by_id.values(), *without_id]


Polls = Iterator[tuple[list[Result], str]]  # The results so far; why the poll failed, or ""


def poll_group(client: httpx.Client, group_id: str, group_size: int, is_new: bool = True) -> Polls:
    """Poll until all results are final, at most MAX_POLL_ATTEMPTS times; yield after each poll.

    If group_size is 0 (unknown), what is listed counts as the group. A new group may be answered
    with a 404 until it is found. Raises httpx.HTTPStatusError if polling again cannot help. When
    the attempts run out, it just ends: ask is_complete whether the results are all there.
    """
    results: list[Result] = []
    may_be_missing = is_new
    next_poll = time.monotonic()
    # int() because it may be set to a float: 72 * 3600 / POLL_INTERVAL_SECONDS, for 72 hours.
    for _ in range(int(MAX_POLL_ATTEMPTS)):
        time.sleep(max(0, next_poll - time.monotonic()))
        next_poll = time.monotonic() + POLL_INTERVAL_SECONDS
        problem = ""
        try:
            listed = fetch_results(client, group_id)
            may_be_missing = False
            if len(listed) >= len(results):  # A list that is shorter than before is out of date.
                results = listed
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status == 404 and may_be_missing:
                problem = "not there yet"
            elif status in RETRY_STATUSES:
                problem = f"HTTP {status}"
                next_poll = max(next_poll, time.monotonic() + retry_after(error.response))
            else:
                raise
        except httpx.TimeoutException:
            problem = "timed out"
        except httpx.DecodingError:
            problem = "not the expected JSON"
        except httpx.HTTPError:
            problem = "connection failed"
        yield results, problem
        if is_complete(results, group_size):
            return


def correlate(requests: list[Any], results: list[Result]) -> list[Result]:
    """Match results to requests by custom_id.

    Returns a result for each request, in the order sent ("Not listed" if the API lists none), then
    those that match no request, by custom_id.
    """
    by_id = {result.custom_id: result for result in results}
    rows = []
    for request in requests:
        custom_id, question = read_custom_id(request), read_question(request)
        result = by_id.get(custom_id) or Result(custom_id, "Not listed", question)
        rows.append(result._replace(question=result.question or question))
    sent = {row.custom_id for row in rows}
    others = [result for result in results if result.custom_id not in sent]
    return rows + sorted(others, key=lambda result: result.custom_id or "")


def find_mistake(requests: list[Any]) -> str | None:
    """Return what keeps the requests from being submitted, or None."""
    if not 1 <= len(requests) <= 50:
        return f"A group has 1 to 50 requests: NUM_REQUESTS or build_requests gave {len(requests)}."
    custom_ids = [read_custom_id(request) for request in requests]
    if not all(custom_ids):
        return "Each request needs a metadata.custom_id: a string that is not empty."
    if len(set(custom_ids)) < len(custom_ids):
        return "Each request needs a metadata.custom_id of its own: one is repeated."
    return None


def count(results: list[Result], *states: str) -> int:
    return sum(result.state in states for result in results)


def expected_size(results: list[Result], group_size: int) -> int:
    """Return the size of the group; if it is unknown (0), what is listed counts as the group."""
    return max(group_size, len(results), 1)  # At least 1: with nothing listed, none is complete.


def is_complete(results: list[Result], group_size: int) -> bool:
    return count(results, *FINAL) == expected_size(results, group_size)


def retry_after(response: httpx.Response) -> float:
    """Return the seconds that the API asks to wait, at most 60; 0 if it does not ask."""
    seconds = response.headers.get("Retry-After", "")
    return min(60, float(seconds)) if seconds.isdecimal() else 0


def parse_json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def parse_generation(generation: Any) -> Result:
    """Return what a generation says; any of its fields may be missing, null or malformed."""
    request = read(generation, "request", kind=dict)
    choice = read(generation, "response", "choices", 0, kind=dict)
    return Result(
        custom_id=read_custom_id(request),
        state=read(generation, "state", kind=str),
        question=read_question(request),
        answer=read_content(choice, "message"),
        finish_reason=read(choice, "finish_reason", kind=str),
        state_message=read(generation, "stateMessage", kind=str),
        milliseconds=elapsed_ms(generation),
        generation=generation,
    )


def read_custom_id(request: Any) -> Any:
    return read(request, "metadata", "custom_id", kind=str)


def read_question(request: Any) -> Any:
    return read_content(request, "messages", -1)


def read_content(value: Any, *path: str | int) -> Any:
    """Return the text of a message; if it comes in parts, their texts joined."""
    parts = read(value, *path, "content", kind=list)
    if parts is None:
        return read(value, *path, "content", kind=str)
    return "".join(read(part, "text", kind=str) or "" for part in parts)


def read(value: Any, *path: str | int, kind: type) -> Any:
    """Follow path into JSON; return what is there, or None if it is nothing of that kind."""
    try:
        for step in path:
            value = value[step]
    except (LookupError, TypeError):
        return None
    return value if type(value) is kind else None  # isinstance would take True for an int.


def elapsed_ms(generation: Any) -> float | None:
    """Return the milliseconds from dispatch to finish, or None if they are not known."""
    try:
        dispatched_at = parse_time(read(generation, "dispatchedAt", kind=str) or "")
        finished_at = parse_time(read(generation, "finishedAt", kind=str) or "")
        return (finished_at - dispatched_at) / timedelta(milliseconds=1)
    except (TypeError, ValueError):
        return None


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 does not read "Z".


# To use it in a program of your own:
#
#     with open_client() as client:
#         group_id, group_size = submit_group(client, requests)
#         print(group_id)  # Keep it: it is told only once.
#         for results, problem in poll_group(client, group_id, group_size):
#             print(len(results), problem)
#     if not is_complete(results, group_size):
#         ...  # The attempts ran out: poll again later, with is_new=False.


# Terminal output. For the API alone, copy all above this line, minus the imports of rich.
MAY_EXIST = "The group may exist all the same, and be charged. Check before you resubmit."
CHECK_NETWORK = """Nothing was submitted. Check the network and INFERENCE_BASE_URL; the proxy in
  HTTPS_PROXY or ALL_PROXY (http://, https://, or socks5:// with httpx[socks]);
  and SSL_CERT_FILE, for a company's own certificate."""
ADVICE = {
    401: "Check the key in INFERENCE_API_KEY.",
    402: "Check your account's credit: it must cover the estimated cost of the group.",
    403: "Check the key's project, and whether the key may both read and write.",
    408: MAY_EXIST,
    413: "Submit fewer or shorter requests at a time.",
    429: "Wait a minute, then run it again.",
}
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
STATUS_CELLS = {"Success": Text("✓ Success", "green"), "Failed": Text("✗ Failed", "red")}
# A rich Box has eight lines. This one draws only the rule between a table's header and its rows.
DASHES = Box("    \n    \n -  \n" + "    \n" * 5, ascii=True)
# Control characters, marks that turn text around, and lone surrogates, which cannot be printed
UNSAFE = re.compile(r"[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Text from outside is not markup: rich must not see [tags] or :emoji: codes in it.
console = Console(markup=False, emoji=False, highlight=False)


@dataclass
class Group:
    """What a run knows of its group so far."""

    id: str | None  # None until it is submitted
    size: int  # 0 if unknown
    results: list[Result]
    submitted_at: float | None = None  # By time.perf_counter(); None if another run did it


def main(client: httpx.Client, group: Group) -> None:
    """Submit a new group, or pick up the given one; poll it, and report the results.

    Ends the run if the group is not complete after that.
    """
    requests: list[Any] = []
    if group.id is None:
        requests = build_requests()
        if mistake := find_mistake(requests):  # Before anything is printed
            fail(mistake, "Nothing was submitted.")
        print_configuration(f"Requests to submit: {len(requests)}", f"Model: {MODEL_ID}")
        print_requests(requests)
        group.submitted_at = time.perf_counter()
        group.id, group.size = submit_group(client, requests)
        console.print(f"  ✓ Group created: {clean(group.id)}", style="green")
        console.print(f"  ✓ Group size: {group.size}", style="green")
    else:
        print_configuration(f"Group to pick up: {group.id}")
    try:
        is_new = group.submitted_at is not None
        show_polls(poll_group(client, group.id, group.size, is_new), group)
    finally:  # What has arrived is paid for: report it, whatever ends the polls.
        if group.results:
            group.results = correlate(requests, group.results)  # Now with a row for each request
            print_report(group)
    if not is_complete(group.results, group.size):
        fail("The group is not complete yet.")


def print_configuration(*settings: str) -> None:
    print_banner("INFERENCE.NET ASYNC GROUP API - POLLING EXAMPLE")
    console.print("\n  Configuration:", style="bold")
    for setting in settings:
        print_line(f"    • {clean(setting)}")
    print_line(f"    • Poll interval: {POLL_INTERVAL_SECONDS:g}s")


def print_requests(requests: list[Any]) -> None:
    print_heading(f"Submitting {len(requests)} Requests")
    console.print()
    for request in requests[:5]:
        print_line(f"    {clean(read_custom_id(request))}: {clean(read_question(request))}")
    if len(requests) > 5:
        print_line(f"    ... and {len(requests) - 5} more")
    console.print("\n  Submitting to Group API...")


class PollLines(ProgressColumn):
    """A poll's number, bar and counts; below, while the display is live, a line that moves."""

    spinner = Spinner("dots", speed=0.3)

    def render(self, task: Task) -> RenderableType:
        group, problem = task.fields["group"], task.fields["problem"]
        console.width = report_width()  # The window may have been resized.
        line = Text(f"  [{task.completed:3.0f}] |")
        # rich's own BarColumn has one colour, which hides failures.
        line.append(draw_bar(max(4, console.width - 50), group, "█", "red"))
        line.append(cut(f"| {describe_poll(group, problem)}", console.width - len(line)))
        if not task.fields["live"].is_started:  # In a pipe, and in the end
            return line
        hint = f"{task.elapsed:.0f}s. "
        if failed := count(group.results, "Failed"):
            hint += f"{failed} failed. "
        self.spinner.update(text=f"{hint}Ctrl-C leaves the group running.")
        return Renderables([line, self.spinner])


def describe_poll(group: Group, problem: str) -> str:
    final, total = count(group.results, *FINAL), expected_size(group.results, group.size)
    running, queued = count(group.results, "In Progress"), count(group.results, "Queued")
    words = f"{final}/{total} ({100 * final // total}%)"
    if problem:
        words += f" ({problem})"
    elif running or queued:
        words += f" (⏳ {running} running, {queued} queued)"
    return words


def show_polls(polls: Polls, group: Group) -> None:
    """Keep each poll's results in group, and show them.

    On a terminal, one display is redrawn in place. Elsewhere, in a pipe for example, each poll
    prints a line.
    """
    print_heading("Polling for Results")
    console.print()
    # FORCE_COLOR makes rich take a pipe for a terminal, so ask stdout, too.
    can_redraw = console.is_interactive and sys.stdout.isatty()
    progress = Progress(PollLines(), console=console, disable=not can_redraw)
    # PollLines reads group, problem and live.
    task = progress.add_task("", group=group, problem="", live=progress.live)
    with progress:
        for results, problem in polls:
            group.results = results
            progress.update(task, advance=1, problem=problem)
            if not can_redraw:
                console.print(progress)  # A disabled display can still be printed, once.


def print_report(group: Group) -> None:
    console.print()
    print_banner("GROUP GENERATION SUMMARY")
    print_success_rate(group)
    print_performance(group)
    print_token_usage(group.results)
    print_correlation(group.results)
    print_failures(group.results)
    if is_complete(group.results, group.size):
        words = "Generation complete!"
        if not group.size:
            words = f"All {len(group.results)} listed requests are complete."
        console.print()
        print_banner(words, "red" if count(group.results, "Failed") else "green")


def print_success_rate(group: Group) -> None:
    succeeded, failed = count(group.results, "Success"), count(group.results, "Failed")
    total = expected_size(group.results, group.size)
    unfinished = total - succeeded - failed
    icon, style = "●", "bold"
    if succeeded == total:
        icon, style = "✓", "green"
    elif failed / total > 0.2:  # "Not yet" is no failure.
        icon, style = "✗", "red"
    bar = draw_bar(console.width // 2, group, "░", "reverse red")
    print_heading("Success Rate")
    console.print(
        Text.assemble((f"  {icon} |", style), bar, (f"| {succeeded / total:.1%}\n", style))
    )
    print_figures(f"      Successful: {succeeded:5}")
    print_figures(f"      Failed:     {failed:5}")
    if unfinished:
        print_figures(f"      Unfinished: {unfinished:5}")
    print_figures(f"      Total:      {total:5}")


def print_performance(group: Group) -> None:
    times = [result.milliseconds for result in group.results if result.milliseconds is not None]
    seconds = throughput = None
    if group.submitted_at:
        seconds = time.perf_counter() - group.submitted_at
        throughput = count(group.results, *FINAL) / seconds
    print_heading("Performance Metrics")
    print_figures(f"""\
      Total wall-clock time: {format_figure(seconds, "10.2f", "s")}
      Avg generation time:   {format_figure(mean(times), "10.1f", "ms")}
      Min generation time:   {format_figure(min(times, default=None), "10.1f", "ms")}
      Max generation time:   {format_figure(max(times, default=None), "10.1f", "ms")}
      Throughput:            {format_figure(throughput, "10.2f", " req/s")}""")


def print_token_usage(results: list[Result]) -> None:
    prompt = known_usage(results, "prompt_tokens")
    completion = known_usage(results, "completion_tokens")
    total = known_usage(results, "total_tokens")
    print_heading("Token Usage")
    print_figures(f"""\
      Prompt tokens:     {format_figure(known_sum(prompt), "10,")}
      Completion tokens: {format_figure(known_sum(completion), "10,")}
      Total tokens:      {format_figure(known_sum(total), "10,")}
      Avg completion/req:{format_figure(mean(completion), "10,.1f")}""")


def print_correlation(results: list[Result]) -> None:
    """Print a table with a row for each result."""
    table = Table(box=DASHES, show_edge=False, padding=0, border_style="dim", expand=True)
    table.add_column("ID", min_width=10, max_width=20, no_wrap=True)
    table.add_column("Status", min_width=10, max_width=12, no_wrap=True)
    table.add_column("Question", ratio=1, no_wrap=True)  # The width that the others leave
    table.add_column("Response", width=min(25, console.width // 2 - 15), no_wrap=True)
    for result in results:
        state = clean(result.state)
        # To measure a long text takes long, and a cell shows no more than its start.
        question, answer = clean(result.question)[:500], clean(answer_or_reason(result))[:500]
        table.add_row(
            clean(result.custom_id),
            STATUS_CELLS.get(state, state),
            cut(question, 28),
            cut_at_word(answer, 25),
        )
    print_heading("Request-Response Correlation")
    console.print()
    print_indented(table, 2)


def answer_or_reason(result: Result) -> str | None:
    """Return the answer or, if there is none, why."""
    if result.state != "Success":
        return result.state_message
    return (result.answer or "").strip() or f"(no text: {result.finish_reason or 'n/a'})"


def print_failures(results: list[Result]) -> None:
    failures = [result for result in results if result.state == "Failed"]
    if failures:
        print_heading("Failed Request Details")
        console.print()
    for failure in failures:
        reason = f": {clean(failure.state_message)}"
        print_indented(Text.assemble((clean(failure.custom_id), "red"), reason), 4)


def print_banner(title: str, style: str = "cyan") -> None:
    console.rule(characters="=", style=style)
    console.print(f" {title}", style="bold")
    console.rule(characters="=", style=style)


def print_heading(title: str) -> None:
    console.print(f"\n  {title}\n  {'-' * (len(title) + 4)}", style="bold")


def print_line(text: str | Text) -> None:
    """Print text as it is; a line that is too long loses its end."""
    console.print(text, no_wrap=True, overflow="ellipsis")


def print_figures(lines: str) -> None:
    text = Text(lines)
    text.highlight_regex(r"\d[\d,.]*", "bold")
    print_line(text)


def print_indented(renderable: RenderableType, blanks: int) -> None:
    """Print behind blanks, and without those that rich adds at the right."""
    with console.capture() as capture:
        console.print(renderable, width=console.width - blanks)
    for line in capture.get().splitlines():
        print(f"{' ' * blanks}{line}".rstrip())


def draw_bar(width: int, group: Group, failed_cell: str, failed_style: str) -> Text:
    """Return a bar of width cells: succeeded in green, failed in failed_style, the rest neutral."""
    total = expected_size(group.results, group.size)
    green_cells = width * count(group.results, "Success") // total
    final_cells = width * count(group.results, *FINAL) // total
    return Text.assemble(
        ("█" * green_cells, "green"),
        (failed_cell * (final_cells - green_cells), failed_style),
        "░" * (width - final_cells),
    )


def report_width() -> int:
    return max(40, min(80, shutil.get_terminal_size().columns))


def format_figure(value: float | None, spec: str, unit: str = "") -> str:
    """Return value with its unit, or "n/a" if it is not known."""
    if value is None:
        return f"{'n/a':>10}"
    return f"{value:{spec}}{unit}"


def mean(values: list[Any]) -> float | None:
    return fmean(values) if values else None


def known_sum(values: list[int]) -> int | None:
    return sum(values) if values else None


def known_usage(results: list[Result], name: str) -> list[int]:
    """Return a number of tokens, by its name in the usage, of each result that has it."""
    numbers = [read(result.generation, "response", "usage", name, kind=int) for result in results]
    return [number for number in numbers if number is not None]


def clean(text: str | None) -> str:
    """Return text that is safe to print: on one line, without control characters or the key."""
    safe = UNSAFE.sub("", " ".join((text or "").split()))
    if API_KEY:
        safe = safe.replace(API_KEY, "[API key]")
    return safe or "n/a"


def cut(text: str, width: int) -> str:
    """Return text or, if it is wider than width cells, its start and "..."."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 3).rstrip() + "..."


def cut_at_word(text: str, width: int) -> str:
    """Like cut, but at the end of a word if there is one to cut at."""
    if cell_len(text) <= width:
        return text
    # One cell more than there is room for: a blank there ends a word that is whole.
    words = set_cell_size(text, width - 2).rpartition(" ")[0]
    return f"{words}..." if words else cut(text, width)


# The command line, checks before a run starts, and what is said however it ends


def guarded_main() -> int:
    """Run main, and say what there is to say however it ends. Return the exit status."""
    group = parse_command_line()
    check_settings()
    if hasattr(sys.stdout, "reconfigure"):  # A notebook's stdout has no such method.
        sys.stdout.reconfigure(errors="replace")  # For a console without "✓"
    console.width = report_width()
    try:
        client = open_client()
    except Exception as error:  # A bad URL, proxy or certificate: many exception types
        fail(str(error), CHECK_NETWORK)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    complete = False
    try:
        with client:
            main(client, group)
        complete = True
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        if group.id is None:
            print(MAY_EXIST, file=sys.stderr)
        console.show_cursor()  # The signal may have come in the middle of rich's code.
        return 130
    except httpx.HTTPError as error:
        fail(*explain(error, group))
    finally:  # Whatever ends the run: fail, for one, raises SystemExit.
        if group.id and not complete:
            print_pick_up_command(clean(group.id), group.size)
    return int(count(group.results, "Failed") > 0)


def stop(*_: object) -> None:
    """End the run at the first signal; later ones must not interrupt its final output."""
    # SIG_IGN would make Python complain of a second signal that has already arrived.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise KeyboardInterrupt


def parse_command_line() -> Group:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("GROUP_ID", nargs="?", help="the group to pick up")
    parser.add_argument(
        "SIZE",
        nargs="?",
        type=int,
        choices=range(1, 51),
        metavar="SIZE",
        help="its requests, 1 to 50; if not given, those listed",
    )
    arguments = parser.parse_args()
    if arguments.GROUP_ID == "":  # Probably an unset shell variable
        parser.error("GROUP_ID is empty")
    return Group(arguments.GROUP_ID, arguments.SIZE or 0, [])


def check_settings() -> None:
    """End the run if a setting cannot be used."""
    if not API_KEY:
        fail("No API key. Set it with: export INFERENCE_API_KEY=your-api-key-here")
    if re.search(r"[^!-~]|[\"']", API_KEY):  # An HTTP header takes only "!" to "~".
        fail("INFERENCE_API_KEY is set, but cannot be a key: check for quotes or blanks.")
    if not MODEL_ID.strip():
        fail("MODEL_ID must be the name of a model.")
    if isinstance(QUESTIONS, str) or not QUESTIONS:
        fail("QUESTIONS must be a list of at least one question.")
    if POLL_INTERVAL_SECONDS <= 0:
        fail("POLL_INTERVAL_SECONDS must be a number above 0.")
    if int(MAX_POLL_ATTEMPTS) < 1:
        fail("MAX_POLL_ATTEMPTS must be at least 1.")


def fail(message: str, advice: str = "") -> NoReturn:
    """Print an error, and what to do about it; end the run with exit status 1."""
    text = f"{cut(clean(message), 240)}\n  {advice}".rstrip()
    Console(stderr=True, soft_wrap=True).print("\n[red]Error:[/]", Text(text))
    sys.exit(1)


def explain(error: httpx.HTTPError, group: Group) -> tuple[str, str]:
    """Return what went wrong, and what to do about it."""
    if isinstance(error, NEVER_SENT):
        return f"No connection to {BASE_URL}: {error}", CHECK_NETWORK
    if not isinstance(error, httpx.HTTPStatusError):  # Only a submission fails so: polls go on.
        return f"The submission failed: {str(error) or type(error).__name__}", MAY_EXIST
    status = error.response.status_code
    advice = "Check MODEL_ID and INFERENCE_BASE_URL."
    if group.id:
        advice = "Check the id of the group, and INFERENCE_BASE_URL."
    elif status >= 500:
        advice = MAY_EXIST
    return api_message(error.response), ADVICE.get(status, advice)


def api_message(response: httpx.Response) -> str:
    """Return the status and the API's own message; the docs do not say where in the body it is."""
    status = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    body = parse_json(response)
    message = read(body, "error", "message", kind=str) or read(body, "message", kind=str)
    if "Location" in response.headers:
        message = response.headers["Location"]
    elif not message and not response.text.lstrip().startswith("<"):  # An HTML page has none.
        message = response.text
    return f"{status}: {message}" if message else status


def print_pick_up_command(group_id: str, group_size: int) -> None:
    command = f"uv run {shlex.quote(sys.argv[0])} "
    if group_id.startswith("-"):
        command += "-- "  # Otherwise the id would be taken for an option.
    command += shlex.quote(group_id)
    if group_size:
        command += f" {group_size}"
    print("\nTo poll it again, run this (with the same uv options):", file=sys.stderr)
    print(f"  {command}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(guarded_main())
