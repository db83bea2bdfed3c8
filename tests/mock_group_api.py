"""A stand-in for inference.net's Group API: a real HTTP server on a free loopback port.

As a program it needs no API key and no network. It runs the sample against itself and ends with
the sample's exit status:

    uv run tests/mock_group_api.py

It checks what it is sent as the API does, and can be told to misbehave: see MockGroupApi.
"""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SAMPLE = Path(__file__).parent.parent / "async_polling_example.py"
API_KEY = "mock-api-key"
GROUP_ID = "6Z6oLaIo0PFleu2Wc1LIg"
MAX_GROUP_SIZE = 50


class Stage(NamedTuple):
    """How far a group has come when it is polled, in tenths of its requests."""

    listed: int = 10
    succeeded: int = 0
    running: int = 0


QUEUED = Stage()
DONE = Stage(succeeded=10)
STORY = (Stage(listed=5), Stage(succeeded=8, running=2), DONE)

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


def generation(request: Any, index: int, state: str, reason: str | None = None) -> dict[str, Any]:
    """Return the generation that the API lists for the request of that index, in that state."""
    finished = state in {"Success", "Failed"}
    dispatched_at = datetime(2025, 1, 15, 12, 0, 0, tzinfo=timezone.utc) + timedelta(seconds=index)
    finished_at = dispatched_at + timedelta(milliseconds=GENERATION_MS[index % 10])
    return {
        "id": f"gen-{index + 1:03}",
        "state": state,
        "stateMessage": reason,
        "request": request,
        "response": chat_completion(request, index) if state == "Success" else None,
        "dispatchedAt": None if state == "Queued" else timestamp(dispatched_at),
        "finishedAt": timestamp(finished_at) if finished else None,
    }


def chat_completion(request: Any, index: int) -> dict[str, Any]:
    question = request["messages"][-1]["content"]
    prompt_tokens = PROMPT_TOKENS[index % 10]
    return {
        "id": f"chatcmpl-{index + 1:03}",
        "object": "chat.completion",
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": ANSWERS.get(question, f"You asked: {question}"),
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": prompt_tokens + COMPLETION_TOKENS,
        },
    }


def timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, status)


async def stall(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing for as long as the client waits."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end_early(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce a longer body than comes, and close the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"generations": [', "more_body": True})
    connection_of(scope).transport.close()


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """Reset the connection in the middle of the body, as a crashed machine's kernel does."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"generations": [', "more_body": True})
    transport = connection_of(scope).transport
    linger_not = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    transport.abort()


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection and listen no more, as a server that is switched off."""
    for server in scope["app"].state.server.servers:
        server.close()
    connection_of(scope).transport.abort()


def connection_of(scope: Scope) -> Any:
    """Return uvicorn's protocol object for the connection that a request came in on."""
    connections = scope["app"].state.server.server_state.connections
    return next(each for each in connections if each.client == scope["client"])


class MockGroupApi:
    """The server, started by `with`.

    polls: what the polls get, in turn, the last of them ever after: a Stage of the group, or any
        ASGI application, such as a Starlette response, to answer something else.
    submission: an ASGI application that answers the submission in the API's place.
    failures: by custom_id, the reasons for which requests fail instead of succeeding.
    requests: those of a group that was submitted before.

    Afterwards, submissions holds the bodies that were sent, poll_paths the paths that were polled,
    headers those of every call, and connections the clients' addresses: one a TCP connection.
    """

    def __init__(
        self,
        polls: Sequence[Stage | ASGIApp] = STORY,
        submission: ASGIApp | None = None,
        failures: Mapping[str, str] | None = None,
        requests: Sequence[Any] = (),
        group_id: str = GROUP_ID,
    ) -> None:
        self.polls = polls
        self.submission = submission
        self.failures = failures or {}
        self.requests = list(requests)
        self.group_id = group_id
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
        app = Starlette(routes=routes)
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_keep_alive=60)
        self.server = app.state.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> "MockGroupApi":
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # It takes 0.2 s to close, for which nobody needs to wait.
        self.server.should_exit = self.server.force_exit = True

    def note_call(self, request: Request) -> Response | None:
        """Write down who calls and how; return the error for a caller without the key."""
        assert request.client
        self.connections.add((request.client.host, request.client.port))
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return error(401, "Invalid API key.")
        return None

    async def submit(self, request: Request) -> ASGIApp:
        if refusal := self.note_call(request):
            return refusal
        body = await request.json()
        self.submissions.append(body)
        if self.submission:
            return self.submission
        if problem := problem_in(body):
            return error(400, problem)
        self.requests = body["requests"]
        return JSONResponse({"groupId": self.group_id, "groupSize": len(self.requests)})

    async def poll(self, request: Request) -> ASGIApp:
        if refusal := self.note_call(request):
            return refusal
        answer = self.polls[min(len(self.poll_paths), len(self.polls) - 1)]
        self.poll_paths.append(request.scope["raw_path"].decode())
        if not isinstance(answer, Stage):
            return answer
        if request.path_params["group_id"] != self.group_id or not self.requests:
            return error(404, "Group not found.")
        return JSONResponse({"generations": self.generations(answer)})

    def generations(self, stage: Stage) -> list[dict[str, Any]]:
        listed, succeeded, running = (len(self.requests) * tenths // 10 for tenths in stage)
        if stage.succeeded + stage.running == 10:
            running = len(self.requests) - succeeded
        generations = []
        for index, request in enumerate(self.requests[:listed]):
            reason = self.failures.get(request.get("metadata", {}).get("custom_id", ""))
            state = "Queued"
            if index < succeeded:
                state = "Failed" if reason else "Success"
            elif index < succeeded + running:
                state = "In Progress"
            shown_reason = reason if state == "Failed" else None
            generations.append(generation(request, index, state, shown_reason))
        return generations


def problem_in(body: Any) -> str | None:
    """Return why the API would refuse body as a submission, or None if it would not."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not 1 <= len(requests) <= MAX_GROUP_SIZE:
        return f"requests must be a list of 1 to {MAX_GROUP_SIZE} requests."
    for request in requests:
        if not request.get("model") or not request.get("messages"):
            return "Each request needs a model and messages."
        if not request.get("metadata", {}).get("custom_id"):
            return "Each request needs a metadata.custom_id."
    return None


def main(sample_path: Path = SAMPLE) -> int:
    """Run the sample against the seed's story; return its exit status."""
    with MockGroupApi() as api:
        settings = {"INFERENCE_API_KEY": API_KEY, "INFERENCE_BASE_URL": api.url, "NO_PROXY": "*"}
        command = [sys.executable, os.path.relpath(sample_path)]
        sample = subprocess.Popen(command, env=os.environ | settings)
        while True:
            try:
                return sample.wait()
            except KeyboardInterrupt:
                continue  # The terminal told the sample too: let it say its last words.


if __name__ == "__main__":
    sys.exit(main())
