"""A provider with two models on one server, `root` and `sub`, and agents that reach it through the real client.

The root writes the cells it is given, one a turn; the sub-agents' replies are a function of the prompt. Any request can
be given something else instead: what `openai_server` calls a fault.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_openai import ChatOpenAI
from openai_server import OpenAIServer, serve

from rlm_agent import Home, Limits, create_rlm_agent

KEY = "sk-live-0123456789abcdefghij"


class Provider:
    """What the two models say, and what they were asked.

    Attributes:
        cells: Python that the root writes, one a turn; the last one again where there is none.
        sub: prompt -> reply.
        instead: for each model, what its next requests get in place of a reply.
    """

    def __init__(self, server: OpenAIServer) -> None:
        self.server = server
        self.cells: tuple[str, ...] = ()
        self.sub: Callable[[str], Any] = str.upper
        self.instead: dict[str, deque[Any]] = {"root": deque(), "sub": deque()}
        self._lock = threading.Lock()
        server.answer = self._answer

    def _answer(self, body: dict[str, Any]) -> Any:
        with self._lock:
            waiting = self.instead[body["model"]]
            if waiting:
                return waiting.popleft()
        if body["model"] == "sub":
            return self.sub(_prompt(body))
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return self.root_reply(body, self.cells[min(turn, len(self.cells) - 1)])

    def root_reply(self, body: dict[str, Any], cell: str) -> Any:
        """The cell as a fenced block, or as a call of the tool where the request brings one."""
        return tool_call("python", {"code": cell}) if body.get("tools") else f"```python\n{cell}\n```"

    def requests(self, model: str) -> list[dict[str, Any]]:
        """The bodies of all requests to a model."""
        return [body for body in self.server.requests if body["model"] == model]

    def asked(self) -> tuple[int, int]:
        """How many requests the root and the sub-agents' model got."""
        return len(self.requests("root")), len(self.requests("sub"))

    def chat(self, model: str, **options: Any) -> ChatOpenAI:
        """A model of this provider; without retries, unless asked for."""
        given = {"max_retries": 0, "timeout": 10, "stream_usage": True, **options}
        return ChatOpenAI(model=model, base_url=self.server.url, api_key=KEY, **given)

    def agent(self, home: Home, tools: Any = (), *, client: dict[str, Any] | None = None, **options: Any) -> Any:
        """An agent of the two models, its runs remembered in `home`; trying again is the client's, unless told so."""
        models = {"root": self.chat("root", **(client or {})), "sub": self.chat("sub", **(client or {}))}
        given = {"sub_model": models["sub"], "checkpointer": home.checkpointer, "limits": Limits(sub_tries=1)}
        options = {**given, **options}
        return create_rlm_agent(models["root"], tools, home=home, **options)


def tool_call(name: str, arguments: Any) -> dict[str, Any]:
    """An assistant message that calls one tool; arguments that are a str are sent as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _prompt(body: dict[str, Any]) -> str:
    return str(next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user"))


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider on a free port until the block ends."""
    with serve() as server:
        yield Provider(server)
