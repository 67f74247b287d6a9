"""A small real server that speaks OpenAI's chat completions, plain and streamed, for tests over real HTTP.

Replies come from a function of the request's body: a text, a whole message as a dict, a `Completion`, or one of the
faults: `Refusal`, `Raw`, `Broken`, `HANG_UP`, `STALL`.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_UP = object()
"""The connection is closed without a word."""

STALL = object()
"""Nothing is said, and the connection stays open until the server ends."""


@dataclass(frozen=True)
class Refusal:
    """An error status with a message in OpenAI's shape."""

    status: int
    message: str = "refused"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Completion:
    """A reply with its reason for ending. A stream without one ends early, in good order, as if it were whole."""

    message: str | dict[str, Any]
    finish_reason: str | None = "stop"


@dataclass(frozen=True)
class Raw:
    """A body as it is, with status 200; to a request for a stream it is what the stream holds."""

    data: bytes
    kind: str = "application/json"


@dataclass(frozen=True)
class Broken:
    """A reply whose connection is closed when half of its bytes are sent."""

    message: str | dict[str, Any]


@dataclass
class OpenAIServer:
    """A running server: its address, what it was asked, and what it answers from now on."""

    answer: Callable[[dict[str, Any]], Any]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    with_usage: bool = True
    closing: threading.Event = field(default_factory=threading.Event)

    def usage_of(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        """Tokens as the server reports them: one a word, unless `usage` is set."""
        sent = len(json.dumps(body["messages"]).split())
        received = max(1, len(text.split()))
        counted = {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}
        return self.usage or counted


@contextmanager
def serve(answer: Callable[[dict[str, Any]], Any] = lambda body: "pong") -> Iterator[OpenAIServer]:
    """Serves on a free port of 127.0.0.1 until the block ends."""
    state = OpenAIServer(answer)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = state
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    state: OpenAIServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    @property
    def state(self) -> OpenAIServer:
        return self.server.state

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append(body)
        self.state.authorizations.append(self.headers.get("Authorization", ""))
        with suppress(ConnectionError):  # a client that timed out is gone
            self.reply(body)

    def reply(self, body: dict[str, Any]) -> None:
        reply = Refusal(404, f"no such path: {self.path}")
        if self.path == "/v1/chat/completions":
            reply = self.state.answer(body)
        if reply is HANG_UP or reply is STALL:
            self.close_connection = True
            if reply is STALL:
                self.state.closing.wait()
        elif isinstance(reply, Refusal):
            error = {"message": reply.message, "type": "error", "code": None}
            data = json.dumps({"error": error}).encode()
            self.send(reply.status, "application/json", data, headers=reply.headers)
        elif isinstance(reply, Raw):
            self.send(200, "text/event-stream" if body.get("stream") else reply.kind, reply.data)
        else:
            self.complete(body, reply)

    def complete(self, body: dict[str, Any], reply: Any) -> None:
        """Sends a text, a message, a `Completion` or a `Broken`, in the form that was asked for."""
        message = getattr(reply, "message", reply)
        message = {"role": "assistant", "content": message} if isinstance(message, str) else message
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        reason = reply.finish_reason if isinstance(reply, Completion) else reason
        form = self.stream if body.get("stream") else self.whole
        kind, data = form(body, message, reason)
        self.send(200, kind, data, broken=isinstance(reply, Broken))

    def whole(self, body: dict[str, Any], message: dict[str, Any], reason: str | None) -> tuple[str, bytes]:
        choice = {"index": 0, "message": message, "finish_reason": reason}
        data = {**self.head(body, "chat.completion"), "choices": [choice]}
        if self.state.with_usage:
            data["usage"] = self.state.usage_of(body, str(message.get("content")))
        return "application/json", json.dumps(data).encode()

    def stream(self, body: dict[str, Any], message: dict[str, Any], reason: str | None) -> tuple[str, bytes]:
        text = str(message.get("content") or "")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word} for word in re.findall(r"\S+\s*|\s+", text)]
        if message.get("tool_calls"):
            deltas.append({"tool_calls": [{"index": i, **call} for i, call in enumerate(message["tool_calls"])]})
        head = self.head(body, "chat.completion.chunk")
        events = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        if reason is None:
            return "text/event-stream", _events(events)
        events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if self.state.with_usage and (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": self.state.usage_of(body, text)})
        return "text/event-stream", _events(events) + b"data: [DONE]\n\n"

    def head(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        return {"id": f"chat-{len(self.state.requests)}", "object": kind, "created": 1, "model": body["model"]}

    def send(
        self, status: int, kind: str, data: bytes, *, headers: tuple[tuple[str, str], ...] = (), broken: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if broken else data)
        self.close_connection = self.close_connection or broken


def _events(events: list[dict[str, Any]]) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
