"""Models: made by name, asked over real HTTP, their errors as one line, their cost."""

import asyncio
import contextvars
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai_server
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from rlm_agent.errors import ConfigError, ModelError
from rlm_agent.models.chat import ask, is_sync_only, model_name, resolve_model, text_of, usage_of
from rlm_agent.testing import ScriptedModel

KEY = "sk-live-0123456789abcdefghij"
HELLO = [HumanMessage("ping 안녕")]


def chat(server: Any, model: str = "gpt-5", **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=server.url, api_key=KEY, max_retries=0, timeout=5, **options)


class SyncOnly(BaseChatModel):
    """A model with `_generate` alone, as many wrappers of local models are."""

    seconds: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "sync-only"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        time.sleep(self.seconds)
        text = f"{threading.current_thread().name} {_marker.get()}"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


_marker: contextvars.ContextVar[str] = contextvars.ContextVar("marker", default="unset")


def test_importing_models_imports_no_provider() -> None:
    code = (
        "import sys; import rlm_agent.models.chat; "
        "print([m for m in ('langchain_openai', 'openai', 'genai_prices.data', 'bm25s') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_stays_as_it_is_and_offline_has_two_parts() -> None:
    model = ScriptedModel(["x"])
    assert resolve_model(model, role="root") is model
    assert type(resolve_model("offline", role="root")).__name__ == "OfflineRoot"
    assert type(resolve_model("offline", role="sub")).__name__ == "OfflineSub"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nonsense", "provider:model"),
        ("foo:bar", "provider:model"),
        ("groq:llama-3.3-70b-versatile", "pip install langchain-groq"),
        ("openai:gpt-5", "set OPENAI_API_KEY"),
        ("", "names no model"),
        ("openai:", "names no model"),
        (ScriptedModel(["x"]).bind_tools([]), "code_via='tool'"),
        (42, "not int"),
        (None, "not NoneType"),
    ],
)
def test_a_name_that_cannot_work_is_one_line_that_says_what_to_do(
    spec: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError) as caught:
        resolve_model(spec, role="root")
    assert says in str(caught.value)
    assert "offline" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_known_name_with_a_key_makes_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model = resolve_model("openai:gpt-5", role="root")
    assert isinstance(model, ChatOpenAI)
    assert model_name(model) == "gpt-5"


async def test_a_call_through_the_real_client_and_its_usage() -> None:
    with openai_server.serve() as server:
        server.usage = {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "total_tokens": 1100,
            "prompt_tokens_details": {"cached_tokens": 400},
        }
        model = chat(server)
        reply = await ask(model, HELLO)
        use = usage_of(reply, model)
    assert text_of(reply) == "pong"
    assert server.requests[0]["messages"] == [{"role": "user", "content": "ping 안녕"}]
    assert "tools" not in server.requests[0]
    assert server.authorizations == [f"Bearer {KEY}"]
    assert (use.input_tokens, use.output_tokens, use.cached_tokens) == (1000, 100, 400)
    assert use.usd == pytest.approx((600 * 1.25 + 400 * 0.125 + 100 * 10) / 1e6)


async def test_a_streamed_call_gives_the_same_reply() -> None:
    with openai_server.serve(lambda body: "one two three") as server:
        model = chat(server, streaming=True, stream_usage=True)
        reply = await ask(model, HELLO)
    assert server.requests[0]["stream"] is True
    assert text_of(reply) == "one two three"
    assert usage_of(reply, model).output_tokens == 3


async def test_tools_are_bound_for_this_call_only() -> None:
    @tool
    def look(place: str) -> str:
        """Looks."""
        return place

    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"place": "서울"}'}}
    with openai_server.serve(lambda body: {"role": "assistant", "content": None, "tool_calls": [call]}) as server:
        reply = await ask(chat(server), HELLO, tools=[look])
        await ask(chat(server), HELLO)
    assert reply.tool_calls[0]["args"] == {"place": "서울"}
    assert [t["function"]["name"] for t in server.requests[0]["tools"]] == ["look"]
    assert "tools" not in server.requests[1]


async def test_a_provider_without_usage_gets_an_approximate_one() -> None:
    with openai_server.serve(lambda body: "word " * 400) as server:
        server.with_usage = False
        known, unknown = chat(server), chat(server, model="house-model")
        use = usage_of(await ask(known, HELLO), known)
        assert 400 < use.output_tokens < 600
        assert use.input_tokens > 0
        assert use.usd
        assert usage_of(await ask(unknown, HELLO), unknown).usd is None


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (openai_server.Refusal(401, f"Incorrect API key provided: {KEY}"), "key was refused"),
        (openai_server.Refusal(403, f"Key {KEY} may not"), "key may not use"),
        (openai_server.Refusal(404, "The model `gpt-5` does not exist"), "check the model's name and the base URL"),
        (openai_server.Refusal(429, "slow down"), "rate limit"),
        (openai_server.Refusal(500, f"boom with {KEY}\nand more"), "resume the run later"),
        (openai_server.Refusal(418, "teapot"), "refused (teapot)"),
    ],
)
async def test_a_refusal_is_one_line_with_model_status_address_and_advice(refusal: Any, says: str) -> None:
    with openai_server.serve(lambda body: refusal) as server:
        with pytest.raises(ModelError) as caught:
            await ask(chat(server), HELLO)
        line = str(caught.value)
    assert says in line
    assert str(refusal.status) in line
    assert "gpt-5" in line
    assert server.url in line
    assert "\n" not in line
    assert KEY not in line
    assert KEY[:12] not in line


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_a_key_of_no_known_shape_is_not_repeated_whole_or_in_part(status: int) -> None:
    key = "house.pass-phrase.99"
    said = f"refused: {key}" if status == 500 else f"refused: {key[:9]}******.99"
    with openai_server.serve(lambda body: openai_server.Refusal(status, said)) as server:
        model = ChatOpenAI(model="gpt-5", base_url=server.url, api_key=key, max_retries=0)
        with pytest.raises(ModelError, match=str(status)) as caught:
            await ask(model, HELLO)
    assert key[:9] not in str(caught.value)


async def test_a_server_that_is_down_is_named_by_its_address() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        model = ChatOpenAI(model="gpt-5", base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(ModelError, match="cannot connect: check that the server is up") as caught:
            await ask(model, HELLO)
    assert url in str(caught.value)
    assert KEY not in str(caught.value)


async def test_a_connection_that_breaks_and_a_server_that_stalls() -> None:
    with openai_server.serve(lambda body: openai_server.HANG_UP) as server:
        with pytest.raises(ModelError, match="the connection broke"):
            await ask(chat(server), HELLO)
        server.answer = lambda body: time.sleep(1) or "late"
        stalled = ChatOpenAI(model="gpt-5", base_url=server.url, api_key=KEY, max_retries=0, timeout=0.2)
        with pytest.raises(ModelError, match="no answer in time"):
            await ask(stalled, HELLO)


async def test_any_exception_of_a_model_is_a_model_error_and_cancelling_is_not() -> None:
    with pytest.raises(ModelError, match=r"scripted.*ZeroDivisionError \(by nothing\)"):
        await ask(ScriptedModel([ZeroDivisionError("by nothing")]), HELLO)
    waiting = asyncio.create_task(ask(ScriptedModel(["late"], delay=30), HELLO))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_model_that_is_only_sync_runs_in_the_given_executor_with_the_callers_context() -> None:
    assert is_sync_only(SyncOnly())
    assert not is_sync_only(ScriptedModel())
    assert not is_sync_only(ChatOpenAI(model="gpt-5", api_key=KEY))
    _marker.set("given")
    model = SyncOnly(seconds=0.2)
    with ThreadPoolExecutor(32, thread_name_prefix="ours") as pool:
        started = time.monotonic()
        replies = await asyncio.gather(*(ask(model, HELLO, executor=pool) for _ in range(32)))
    assert time.monotonic() - started < 2
    assert all(text_of(reply).startswith("ours") and text_of(reply).endswith("given") for reply in replies)
    assert all(reply.usage_metadata for reply in replies)


def test_prices_follow_the_name_and_are_none_where_unknown() -> None:
    usage: Any = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}
    message = AIMessage("x", usage_metadata=usage)
    assert usage_of(message, ScriptedModel(model_name="gpt-5")).usd == pytest.approx(1.25)
    assert usage_of(message, ScriptedModel(model_name="gpt-5-2025-08-07")).usd == pytest.approx(1.25)
    assert usage_of(message, ScriptedModel()).usd is None
    assert usage_of(message, resolve_model("offline", role="sub")).usd == 0.0


def test_usage_of_a_bare_message_is_approximate_with_its_prompt() -> None:
    use = usage_of(AIMessage("답 " * 100), ScriptedModel(), prompt=[HumanMessage("word " * 100)])
    assert use.input_tokens > 100
    assert use.output_tokens > 20


def test_the_text_of_blocks_is_joined() -> None:
    blocks: Any = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "가"},
        {"type": "text", "text": "b"},
    ]
    assert text_of(AIMessage(blocks)) == "가b"
    assert type(text_of(AIMessage("x"))) is str
