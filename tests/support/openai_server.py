"""A small real server that speaks OpenAI's chat completions, plain and streamed, for tests over real HTTP.

Replies come from a function of the request's body: a text, a whole message as a dict, a `Refusal`, or `HANG_UP`.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_UP = object()


@dataclass(frozen=True)
class Refusal:
    """An error status with a message in OpenAI's shape."""

    status: int
    message: str = "refused"


@dataclass
class OpenAIServer:
    """A running server: its address, what it was asked, and what it answers from now on."""

    answer: Callable[[dict[str, Any]], Any]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    with_usage: bool = True

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
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: OpenAIServer


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
        if self.path != "/v1/chat/completions":
            return self.refuse(Refusal(404, f"no such path: {self.path}"))
        reply = self.state.answer(body)
        if reply is HANG_UP:
            self.close_connection = True
            return None
        if isinstance(reply, Refusal):
            return self.refuse(reply)
        message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
        return self.stream(body, message) if body.get("stream") else self.complete(body, message)

    def refuse(self, refusal: Refusal) -> None:
        error = {"message": refusal.message, "type": "error", "code": None}
        self.send(refusal.status, "application/json", json.dumps({"error": error}).encode())

    def complete(self, body: dict[str, Any], message: dict[str, Any]) -> None:
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        data = {
            **self.head(body, "chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        }
        if self.state.with_usage:
            data["usage"] = self.state.usage_of(body, str(message.get("content")))
        self.send(200, "application/json", json.dumps(data).encode())

    def stream(self, body: dict[str, Any], message: dict[str, Any]) -> None:
        text = str(message.get("content") or "")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word} for word in re.findall(r"\S+\s*|\s+", text)]
        if message.get("tool_calls"):
            deltas.append({"tool_calls": [{"index": i, **call} for i, call in enumerate(message["tool_calls"])]})
        head = self.head(body, "chat.completion.chunk")
        events = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
        events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if self.state.with_usage and (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": self.state.usage_of(body, text)})
        lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.send(200, "text/event-stream", lines.encode())

    def head(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        return {"id": f"chat-{len(self.state.requests)}", "object": kind, "created": 1, "model": body["model"]}

    def send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError):  # a client that timed out is gone
            self.wfile.write(data)
