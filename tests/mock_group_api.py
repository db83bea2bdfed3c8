"""A stand-in for inference.net's Group API, to try scripts on: nothing is charged.

  uv run tests/mock_group_api.py                      runs this project's sample
  uv run tests/mock_group_api.py my_script.py --fast  runs a script of your own
  uv run tests/mock_group_api.py --fail req-002       lets a request fail

It is a server on a free port of this machine. SCRIPT finds its address in
INFERENCE_BASE_URL and its key in INFERENCE_API_KEY; its exit status is that of
SCRIPT. A group of ten requests is there from the start. To pick it up:

  uv run tests/mock_group_api.py my_script.py 6Z6oLaIo0PFleu2Wc1LIg

Of ten requests the first poll lists five, queued; at the second eight are done
and two running; at the third all are done. The newest comes first, so answers
find their questions by custom_id and not by position. What the API would refuse
is refused, and the message names the field.

SCRIPT runs in this project's environment. To add a package that it imports:

  uv run --with PACKAGE tests/mock_group_api.py my_script.py

Tests start the server from Python and tell it what to play: see MockGroupApi.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SAMPLE = Path(__file__).parent.parent / "async_polling_example.py"
API_KEY = "mock-api-key"
GROUP_ID = "6Z6oLaIo0PFleu2Wc1LIg"
MAX_GROUP_SIZE = 50
MAX_NESTING = 100

# Of the first ten requests; the next ten have the same again. The milliseconds are 2803.1 on
# average, 955.0 at least and 4556.0 at most, and the prompt tokens add up to 186.
GENERATION_MS = (2344, 955, 1912, 2671, 4556, 1480, 3310, 2988, 4100, 3715)
PROMPT_TOKENS = (18, 17, 19, 21, 19, 19, 18, 20, 18, 17)
COMPLETION_TOKENS = 100
ANSWERS = {
    "What is the capital of France?": "The capital of France is Paris.",
    "What is 2 + 2?": "2 + 2 equals 4.",
    "Name one planet in our solar system.": "Mars is a planet in our solar system.",
    "What color is the sky on a clear day?": "On a clear day the sky is blue.",
    "How many legs does a spider have?": "A spider has eight legs.",
    "What is the chemical symbol for water?": "H2O.",
    "Who wrote Romeo and Juliet?": "William Shakespeare wrote it.",
    "How many days are there in a week?": "Seven.",
    "What is the largest ocean on Earth?": "The Pacific Ocean is the largest.",
    "What is the opposite of hot?": "Cold.",
}
PLAIN_VALUES: Mapping[str, object] = {
    "integer": 1,
    "number": 1,
    "boolean": True,
    "null": None,
    "object": {},
}
# Those of the group that is there from the start.
REQUESTS = [
    {
        "model": "inference-net/load-test",
        "messages": [{"role": "user", "content": question}],
        "metadata": {"custom_id": f"req-{number:03}"},
    }
    for number, question in enumerate(ANSWERS, start=1)
]

States = Sequence[str]  # Of a group's requests, in the order in which they were sent
Poll = States | ASGIApp  # What a poll gets: the requests in these states, or something else
Polls = Sequence[Poll] | Callable[[int], Sequence[Poll]]

QUEUED = ["Queued"] * MAX_GROUP_SIZE
DONE = ["Success"] * MAX_GROUP_SIZE


def story(size: int) -> list[States]:
    """Return the states that the three polls of a group of that size get."""
    done = size * 8 // 10
    return [
        ["Queued"] * ((size + 1) // 2),
        ["Success"] * done + ["In Progress"] * (size - done),
        ["Success"] * size,
    ]


@dataclass
class Group:
    requests: Sequence[Any]
    number: int  # No other group of the server has it.
    polls: int = 0  # How often it was polled


class MockGroupApi:
    """The server, started by `with`.

    polls: what the polls of each group get in turn, the last ever after: a list, or a function
        from the group's size to one. A test may replace it at any time. Each item is a list of
        states, one for each request in the order in which they were sent; requests beyond them are
        not listed yet, and states beyond the requests are ignored. Or it is an ASGI application
        that answers something else: a Starlette response, or a function of network_faults.
    submission: an ASGI application that answers the submission in the API's place.
    failures: by custom_id, the reasons for which requests fail where they would succeed.
    answers: by custom_id, the texts of answers.
    requests: those of the group that is there from the start, until a submission takes its id.

    Afterwards, submissions holds the bodies that were sent, poll_paths the paths that were polled,
    headers those of every call, and connections the clients' addresses: one a TCP connection.
    """

    def __init__(
        self,
        polls: Polls = story,
        *,
        submission: ASGIApp | None = None,
        failures: Mapping[str, str] | None = None,
        answers: Mapping[str, str] | None = None,
        requests: Sequence[Any] | None = None,
    ) -> None:
        self.polls = polls
        self.submission = submission
        self.failures = failures or {}
        self.answers = answers or {}
        self.groups = {GROUP_ID: Group(REQUESTS if requests is None else requests, number=0)}
        self.groups_submitted = 0
        self.submissions: list[Any] = []
        self.poll_paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[tuple[str, int]] = set()

        self.socket = socket.create_server(("127.0.0.1", 0))
        # Or each answer waits 40 ms for the client's kernel to acknowledge the one before.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        routes = [
            Route("/v1/async/group/chat/completions", self.submit, methods=["POST"]),
            Route("/v1/async/group/{group_id:path}/generations", self.poll, methods=["GET"]),
        ]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: refusal})
        self.app.router.redirect_slashes = False
        config = uvicorn.Config(
            self.check_key,
            interface="asgi3",
            lifespan="off",
            log_level="critical",
            timeout_keep_alive=60,
        )
        self.server = self.app.state.server = uvicorn.Server(config)

    def __enter__(self) -> "MockGroupApi":
        self.thread = threading.Thread(target=asyncio.run, args=[self.serve()], daemon=True)
        self.thread.start()
        while not self.server.started:
            if not self.thread.is_alive():
                raise RuntimeError("The mock's server did not start.")
            time.sleep(0.001)
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.serving.cancel)
        self.thread.join(timeout=10)
        if self.thread.is_alive():
            raise RuntimeError("The mock's server did not stop.")

    async def serve(self) -> None:
        """Serve until cancelled. uvicorn's own way to stop takes 0.2 s, and waits for clients."""
        self.loop = asyncio.get_running_loop()
        self.serving = asyncio.create_task(self.server.serve([self.socket]))
        with self.socket:
            with contextlib.suppress(asyncio.CancelledError):
                await self.serving
            # Accept no more, and give the loop the three turns that it needs to hand what it has
            # accepted to uvicorn. Else such a connection stays open, and its client waits.
            for server in self.server.servers:
                for listener in server.sockets:  # None, if a fault has closed them.
                    self.loop.remove_reader(listener)
            for _ in range(3):
                await asyncio.sleep(0)
            for server in self.server.servers:
                server.close()
            for connection in self.server.server_state.connections:
                connection.transport.abort()

    async def check_key(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write down who calls and how; let those with the key pass."""
        self.connections.add(scope["client"])
        headers = dict(Request(scope).headers)
        self.headers.append(headers)
        knows_key = headers.get("authorization") == f"Bearer {API_KEY}"
        answer = self.app if knows_key else error(401, "the API key is missing or wrong")
        await answer(scope, receive, send)

    async def submit(self, request: Request) -> ASGIApp:
        try:
            body = json.loads(await request.body(), parse_constant=int)  # int refuses NaN.
        except (ValueError, RecursionError):
            raise HTTPException(400, "the body must be JSON") from None
        self.submissions.append(body)
        if self.submission:
            return self.submission
        check_submission(body)
        self.groups_submitted += 1
        number = self.groups_submitted
        group_id = GROUP_ID if number == 1 else f"mock-group-{number}"
        self.groups[group_id] = Group(body["requests"], number)
        return json_response({"groupId": group_id, "groupSize": len(body["requests"])})

    async def poll(self, request: Request) -> ASGIApp:
        self.poll_paths.append(request.scope["raw_path"].decode())
        # A group that nobody submitted is one without requests.
        group = self.groups.setdefault(request.path_params["group_id"], Group([], number=0))
        polls = self.polls  # Read once, as a test may replace it meanwhile.
        in_turn = polls if isinstance(polls, Sequence) else polls(len(group.requests))
        poll = in_turn[min(group.polls, len(in_turn) - 1)]
        group.polls += 1
        if not isinstance(poll, Sequence):
            return poll
        if not group.requests:
            raise HTTPException(404, "there is no such group")
        return json_response({"generations": self.generations(group, poll)})

    def generations(self, group: Group, states: States) -> list[dict[str, Any]]:
        """Return those of the group that have a state, newest first."""
        generations = []
        for index, (request, state) in enumerate(zip(group.requests, states)):
            custom_id = custom_id_of(request)
            if state == "Success" and custom_id in self.failures:
                state = "Failed"
            reason = self.failures.get(custom_id) if state == "Failed" else None
            answer = self.answers.get(custom_id)
            generations.append(generation(request, index, state, reason, answer, group.number))
        return generations[::-1]


def json_response(value: Any, status: int = 200) -> Response:
    # Starlette's own JSONResponse cannot send the lone surrogates that JSON may hold.
    return Response(json.dumps(value), status, media_type="application/json")


def error(status: int, message: str) -> Response:
    return json_response({"error": {"message": message}}, status)


async def refusal(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    return error(problem.status_code, problem.detail)


def check_submission(body: Any) -> None:
    """Raise HTTPException, and name the field, if body is none that the API would take."""
    require(isinstance(body, dict), "the body must be an object")
    require(not is_deeper(body, MAX_NESTING), f"the body has more than {MAX_NESTING} levels")
    requests = body.get("requests")
    is_group = isinstance(requests, list) and 1 <= len(requests) <= MAX_GROUP_SIZE
    require(is_group, f"requests must be a list of 1 to {MAX_GROUP_SIZE} requests")
    for index, request in enumerate(requests):
        check_request(request, f"requests[{index}]")


def check_request(request: Any, name: str) -> None:
    require(isinstance(request, dict), f"{name} must be an object")
    model, messages = request.get("model"), request.get("messages")
    require(isinstance(model, str) and model.strip(), f"{name}.model must be the name of a model")
    is_list = isinstance(messages, list) and messages
    require(is_list, f"{name}.messages must be a list of messages, and not empty")
    for index, message in enumerate(messages):
        check_message(message, f"{name}.messages[{index}]")
    require(isinstance(request.get("metadata", {}), dict), f"{name}.metadata must be an object")
    name = f"{name}.response_format"
    match request.get("response_format"):
        case None | {"type": "text" | "json_object"}:
            return
        case {"type": "json_schema", "json_schema": {"schema": {}}}:
            return
        case {"type": "json_schema"}:
            raise HTTPException(400, f"{name}.json_schema.schema must be an object")
    raise HTTPException(400, f"{name}.type must be text, json_object or json_schema")


def check_message(message: Any, name: str) -> None:
    require(isinstance(message, dict), f"{name} must be an object")
    require(isinstance(message.get("role"), str), f"{name}.role must be text")
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    calls_tool = content is None and message.get("tool_calls")
    is_content = isinstance(content, str) or parts or calls_tool
    require(is_content, f"{name}.content must be text or a list of parts")
    for index, part in enumerate(parts):
        is_part = isinstance(part, dict) and isinstance(part.get("type"), str)
        require(is_part, f"{name}.content[{index}] must be an object with a type")


def require(condition: object, problem: str) -> None:
    if not condition:
        raise HTTPException(400, problem)


def is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(is_deeper(child, levels - 1) for child in children)


def generation(
    request: Any,
    index: int,
    state: str,
    reason: str | None = None,
    answer: str | None = None,
    group_number: int = 0,
) -> dict[str, Any]:
    """Return the generation that the API lists for the request of that index, in that state."""
    number = 100 * group_number + index + 1
    finished = state in {"Success", "Failed"}
    dispatched_at = datetime(2025, 1, 15, 12, 0, 0, tzinfo=timezone.utc) + timedelta(seconds=index)
    finished_at = dispatched_at + timedelta(milliseconds=GENERATION_MS[index % 10])
    return {
        "id": f"gen-{number:03}",
        "state": state,
        "stateMessage": reason,
        "request": request,
        "response": chat_completion(request, index, answer) if state == "Success" else None,
        "dispatchedAt": None if state == "Queued" else timestamp(dispatched_at),
        "finishedAt": timestamp(finished_at) if finished else None,
    }


def chat_completion(request: Any, index: int, answer: str | None) -> dict[str, Any]:
    content = content_of_answer(request) if answer is None else answer
    message = {"role": "assistant", "content": content}
    prompt_tokens = PROMPT_TOKENS[index % 10]
    return {
        "id": f"chatcmpl-{index + 1:03}",
        "object": "chat.completion",
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": prompt_tokens + COMPLETION_TOKENS,
        },
    }


def content_of_answer(request: Any) -> str:
    """Return text, or the JSON that response_format asks for with the text in it."""
    question = question_of(request)
    text = ANSWERS.get(question, f"You asked: {question}")
    match request.get("response_format"):
        case {"type": "json_object"}:
            return json.dumps({"answer": text}, ensure_ascii=False)
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return json.dumps(value_of(schema, text), ensure_ascii=False)
    return text


def question_of(request: Any) -> str:
    match request["messages"][-1].get("content"):
        case str(text):
            return text
        case list(parts):
            texts = [part.get("text") for part in parts]
            return " ".join(text for text in texts if isinstance(text, str))
    return ""


def value_of(schema: Any, text: str) -> Any:
    """Return a value that satisfies a simple JSON schema, with text as its strings."""
    match schema:
        case {"const": value} | {"enum": [value, *_]}:
            return value
        case {"anyOf": [first, *_]}:
            return value_of(first, text)
        case {"type": [kind, *_]}:
            return value_of({**schema, "type": kind}, text)
        case {"properties": dict(properties)}:
            return {name: value_of(each, text) for name, each in properties.items()}
        case {"type": "array"}:
            return [value_of(schema.get("items"), text)]
        case {"type": str(kind)}:
            return PLAIN_VALUES.get(kind, text)
    return text


def custom_id_of(request: Any) -> str:
    match request:
        case {"metadata": {"custom_id": str(custom_id)}}:
            return custom_id
    return ""


def timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="uv run tests/mock_group_api.py [--fail CUSTOM_ID] [SCRIPT [ARGUMENT ...]]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fail_help = "let the request of that custom_id fail; may be repeated"
    script_help = "the script to run, if not async_polling_example.py"
    arguments_help = "all that follows is handed on to SCRIPT, options too"
    parser.add_argument("--fail", metavar="CUSTOM_ID", action="append", default=[], help=fail_help)
    parser.add_argument("SCRIPT", nargs="?", type=Path, default=SAMPLE, help=script_help)
    parser.add_argument("ARGUMENT", nargs=argparse.REMAINDER, help=arguments_help)
    options = parser.parse_args()
    if not options.SCRIPT.is_file():
        parser.error(f"there is no script {options.SCRIPT}")
    return options


def relative_path(path: Path) -> str:
    """Return path as a user would type it here, for the commands that a script prints."""
    try:
        return os.path.relpath(path)
    except ValueError:  # It is on another drive of Windows.
        return str(path)


def run_script(command: list[str], environment: dict[str, str]) -> int:
    """Return its exit status. Whoever stops this process, the script has the last word."""
    script: subprocess.Popen[bytes] | None = None

    def pass_on(*_: object) -> None:
        if script:
            script.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: None)  # The terminal tells the script too.
    script = subprocess.Popen(command, env=environment)
    status = script.wait()
    return status if status >= 0 else 128 - status


def main() -> int:
    options = parse_arguments()
    command = [sys.executable, relative_path(options.SCRIPT), *options.ARGUMENT]
    failures = dict.fromkeys(options.fail, "The model did not answer in time.")
    with MockGroupApi(failures=failures) as api:
        settings = {"INFERENCE_API_KEY": API_KEY, "INFERENCE_BASE_URL": api.url}
        no_proxies = {"NO_PROXY": "*", "no_proxy": "*"}
        print("This is a stand-in for the API: nothing is charged.", file=sys.stderr, flush=True)
        status = run_script(command, os.environ | settings | no_proxies)
    print("The stand-in has stopped, and its groups are gone with it.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
