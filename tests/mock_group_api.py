# /// script
# requires-python = ">=3.10"
# dependencies = ["httpx>=0.28,<1", "rich>=14.3,<16", "starlette>=0.40", "uvicorn>=0.30"]
# ///
"""A stand-in for inference.net's Group API, to try scripts on at no charge.

  uv run tests/mock_group_api.py                      runs this project's sample
  uv run tests/mock_group_api.py my_script.py --fast  runs a script of your own
  uv run tests/mock_group_api.py --fail req-002       makes a request fail
  uv run tests/mock_group_api.py --serve              stays until Ctrl-C

It is a server on a free port of this machine. The script finds its address in
INFERENCE_BASE_URL and its key in INFERENCE_API_KEY, and gives the exit status.
--serve runs no script: it prints both, to be pasted into another terminal.

Of ten requests the first poll lists five, queued; at the second eight are done
and two running; at the third all are done. The newest comes first, so match
answers by custom_id and not by position. --fail makes a request of the first
group that is polled fail, so that a retry succeeds; it may be repeated. A group
of ten requests is there from the start, finished. To pick it up:

  uv run tests/mock_group_api.py my_script.py Xq3vN8rTzK0LmWc5YbHd2

A body that is not JSON, or lacks what the API needs, is refused by a message
that names the field. For packages of your own, start with "uv run --with NAME".
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

SAMPLE = Path(__file__).parent.parent / "async_polling_example.py"
API_KEY = "mock-api-key"
GROUP_ID = "6Z6oLaIo0PFleu2Wc1LIg"  # Of the first group that is submitted
FINISHED_GROUP_ID = "Xq3vN8rTzK0LmWc5YbHd2"  # Of the one that is there from the start

# Of ten requests; the next ten have the same again. The milliseconds are 2803.1 on average, 955.0
# at least and 4556.0 at most, and the prompt tokens add up to 186.
GENERATION_MS = (2344, 955, 1912, 2671, 4556, 1480, 3310, 2988, 4100, 3715)
PROMPT_TOKENS = (18, 17, 19, 21, 19, 19, 18, 20, 18, 17)
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
STATE_MESSAGES = {
    "Queued": "Waiting for a free worker.",
    "In Progress": "The model is writing its answer.",
    "Success": "Completed.",
    "Failed": "The model did not answer in time.",
    "Expired": "The group expired before this request ran.",
}

States = Sequence[str]  # Of a group's requests, in the order in which they were sent
QUEUED, DONE = ["Queued"] * 50, ["Success"] * 50


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


def story(size: int) -> list[States]:
    """Return the states that the three polls of a group of that size get."""
    done = size * 8 // 10
    return [QUEUED[: (size + 1) // 2], DONE[:done] + ["In Progress"] * (size - done), DONE]


class MockGroupApi:
    """The server, started by `with`.

    polls: what the polls of each group get in turn, the last ever after; `story` if None. Each is
        the states of the requests, or an ASGI application that answers in the API's place.
    submission: an ASGI application that answers the submission in the API's place.
    failures: by custom_id, why requests of the first group that is polled fail, not succeed.
    """

    def __init__(
        self,
        polls: Sequence[States | ASGIApp] | None = None,
        submission: ASGIApp | None = None,
        failures: Mapping[str, str] | None = None,
    ) -> None:
        self.polls = polls
        self.submission = submission
        self.failures = failures or {}
        self.failing_group = ""  # The first that is polled
        self.groups = {FINISHED_GROUP_ID: requests_of(*ANSWERS)}
        self.polled = Counter[str]()  # How often, by the group's id
        self.calls: list[tuple[str, dict[str, str], Any]] = []  # Method, headers, body
        self.connections = set[Any]()  # Who called from where
        self.socket = socket.create_server(("127.0.0.1", 0))
        # Or each answer waits 40 ms for the client's kernel to acknowledge the one before.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        options: Any = {"interface": "asgi3", "lifespan": "off", "log_level": "critical"}
        # Whoever still waits for an answer at the end gets none.
        options |= {"timeout_keep_alive": 60, "timeout_graceful_shutdown": 0}
        self.server = uvicorn.Server(uvicorn.Config(self.serve, **options))
        self.thread = threading.Thread(target=self.server.run, args=[[self.socket]], daemon=True)

    def __enter__(self) -> "MockGroupApi":
        self.thread.start()  # The socket keeps those who call before it is ready.
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()

    @property
    def submissions(self) -> list[Any]:
        return [body for method, _, body in self.calls if method == "POST"]

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write a call down, and answer it."""
        request = Request(scope, receive)
        try:
            body = json.loads(await request.body(), parse_constant=int)  # int refuses NaN.
        except (ValueError, RecursionError):
            body = None
        self.calls.append((request.method, dict(request.headers), body))
        self.connections.add(request.client)
        call = f"{request.method} {scope['path']}"
        poll = re.fullmatch("GET /v1/async/group/(.+)/generations", call)
        answer: ASGIApp = error(404, "there is no such path, or no such group")
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            answer = error(401, "the API key is missing or wrong")
        elif call == "POST /v1/async/group/chat/completions":
            answer = self.submit(body)
        elif poll and poll[1] in self.groups:
            answer = self.poll(poll[1])
        await answer(scope, receive, send)

    def submit(self, body: Any) -> ASGIApp:
        """Answer a submission: each is a group with an id and a progress of its own."""
        if self.submission:
            return self.submission
        if mistake := find_mistake(body):
            return error(400, mistake)
        group_id = f"mock-group-{len(self.groups)}" if GROUP_ID in self.groups else GROUP_ID
        self.groups[group_id] = body["requests"]
        return json_response({"groupId": group_id, "groupSize": len(body["requests"])})

    def poll(self, group_id: str) -> ASGIApp:
        """Answer a poll: the newest generation is listed first."""
        self.failing_group = self.failing_group or group_id
        requests, polls = self.groups[group_id], self.polls
        if polls is None:
            polls = [DONE] if group_id == FINISHED_GROUP_ID else story(len(requests))
        poll = polls[min(self.polled[group_id], len(polls) - 1)]
        self.polled[group_id] += 1
        if not isinstance(poll, Sequence):
            return poll
        failures = self.failures if group_id == self.failing_group else {}
        generations = []
        for index, (request, state) in enumerate(zip(requests, poll)):
            reason = failures.get(custom_id_of(request)) if state == "Success" else None
            generations.append(generation(request, index, "Failed" if reason else state, reason))
        return json_response({"generations": generations[::-1]})


def json_response(value: Any, status: int = 200) -> Response:
    # Starlette's own JSONResponse cannot send the lone surrogates that JSON may hold.
    return Response(json.dumps(value), status, media_type="application/json")


def error(status: int, message: str) -> Response:
    return json_response({"error": {"message": message}}, status)


def find_mistake(body: Any) -> str | None:
    """Return what the API would refuse a submission for, by the name of the field, or None."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not 1 <= len(requests) <= 50:
        return "the body must be JSON, and its requests a list of 1 to 50 requests"
    for index, request in enumerate(requests):
        if not isinstance(request, dict):
            return f"requests[{index}] must be an object"
        if not request.get("model"):
            return f"requests[{index}].model must be the name of a model"
        if not isinstance(request.get("messages"), list) or not request["messages"]:
            return f"requests[{index}].messages must be a list of messages, and not empty"
        for field in ("metadata", "response_format"):
            if not isinstance(request.get(field, {}), dict):
                return f"requests[{index}].{field} must be an object"
    return None


def custom_id_of(request: Any) -> str:
    return str(request.get("metadata", {}).get("custom_id"))


def generation(request: Any, index: int, state: str, reason: str | None = None) -> dict[str, Any]:
    """Return the generation that the API lists for the request of that index, in that state."""
    dispatched_at = datetime(2025, 1, 15, 12) + timedelta(seconds=index)
    finished_at = dispatched_at + timedelta(milliseconds=GENERATION_MS[index % 10])
    times = [f"{each.isoformat(timespec='milliseconds')}Z" for each in (dispatched_at, finished_at)]
    message = {"role": "assistant", "content": answer_to(request)}
    tokens = PROMPT_TOKENS[index % 10]
    response = {
        "object": "chat.completion",
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 100, "total_tokens": tokens + 100},
    }
    return {
        "id": f"gen-{index + 1:03}",
        "state": state,
        "stateMessage": reason or STATE_MESSAGES.get(state),
        "request": request,
        "response": response if state == "Success" else None,
        "dispatchedAt": times[0] if state != "Queued" else None,
        "finishedAt": times[1] if state in {"Success", "Failed"} else None,
    }


def answer_to(request: Any) -> str:
    """Return text, or a JSON object with the text in it if response_format asks for JSON."""
    question = text_of(request["messages"][-1])
    text = ANSWERS.get(question, f"You asked: {question}")
    wants_json = "json" in str(request.get("response_format", {}).get("type"))
    return json.dumps({"answer": text}, ensure_ascii=False) if wants_json else text


def text_of(value: Any) -> str:
    """Return the text of a message, or of its parts; of one that has none, an empty text."""
    match value:
        case str():
            return value
        case list():
            return "".join(text_of(part) for part in value)
        case {"content": inner} | {"text": inner}:
            return text_of(inner)
    return ""


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--fail", action="append", default=[], metavar="ID", help="may be repeated")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--serve", action="store_true", help="run no script")
    either.add_argument("SCRIPT", nargs="?", default=str(SAMPLE), help="the sample, if not given")
    parser.add_argument("ARGUMENT", nargs=argparse.REMAINDER, help="of the script")
    options = parser.parse_args()
    failures = dict.fromkeys(options.fail, STATE_MESSAGES["Failed"])
    with MockGroupApi(failures=failures) as api:
        print("This is a stand-in for the API: nothing is charged.", file=sys.stderr, flush=True)
        settings = {"INFERENCE_API_KEY": API_KEY, "INFERENCE_BASE_URL": api.url}
        command = [sys.executable, options.SCRIPT, *options.ARGUMENT]
        status = wait_to_be_stopped(settings) if options.serve else run_script(command, settings)
    custom_ids = [custom_id_of(request) for request in api.groups.get(api.failing_group, [])]
    for custom_id in sorted(failures.keys() - custom_ids):
        print(f"No request had the custom_id {custom_id}: none failed.", file=sys.stderr)
    print("The stand-in has stopped, and its groups are gone with it.", file=sys.stderr)
    return status


def wait_to_be_stopped(settings: Mapping[str, str]) -> int:
    """Print the settings as commands to paste, and wait for Ctrl-C or SIGTERM."""
    signals = list[int]()
    handle_signals(lambda number, _: signals.append(number))
    for name, value in settings.items():
        command = f'$env:{name} = "{value}"' if os.name == "nt" else f"export {name}={value}"
        print(command, flush=True)
    while not signals:
        time.sleep(0.05)
    return 0


def run_script(command: list[str], settings: Mapping[str, str]) -> int:
    """Return its exit status. Whoever stops this process, the script has the last word."""
    env = {**os.environ, **settings, "NO_PROXY": "*", "no_proxy": "*"}
    script = subprocess.Popen(command, env=env)

    def pass_on(number: int, _: object) -> None:
        if number == signal.SIGTERM:  # The terminal tells the script of Ctrl-C itself.
            script.terminate()

    handle_signals(pass_on)
    status = script.wait()
    return status if status >= 0 else 128 - status


def handle_signals(handler: Callable[[int, Any], None]) -> None:
    signal.signal(signal.SIGTERM, handler)
    # A shell has what it starts in the background ignore Ctrl-C, and it is to stay so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


if __name__ == "__main__":
    sys.exit(main())
