"""Faults of a real network, for MockGroupApi to answer with: ASGI applications that misbehave."""

import socket
import struct
from typing import Any

from starlette.types import Receive, Scope, Send


async def stall(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing for as long as the client waits."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end_early(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection in the middle of the body."""
    await start_answer(send)
    connection_of(scope).transport.close()


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """Reset the connection in the middle of the body, as a crashed machine's kernel does."""
    await start_answer(send)
    transport = connection_of(scope).transport
    linger_not = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    transport.abort()


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Close the connection and listen no more, as a server that is switched off."""
    for server in scope["app"].state.server.servers:
        server.close()
    connection_of(scope).transport.abort()


async def start_answer(send: Send) -> None:
    """Send the start of a body that is announced to be longer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"generations": [', "more_body": True})


def connection_of(scope: Scope) -> Any:
    """Return uvicorn's protocol object for the connection that a request came in on."""
    connections = scope["app"].state.server.server_state.connections
    return next(each for each in connections if each.client == scope["client"])
