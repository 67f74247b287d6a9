"""Calls that need a person: tools of sub-agents, batches, `ask_human`; through LangGraph's own interrupts."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command

from rlm_agent import BatchView, Budget, ConfigError, create_rlm_agent, open_run, over
from rlm_agent.testing import ScriptedModel

CONFIG: Any = {"configurable": {"thread_id": "t"}}
ASKED: Any = {"messages": [("user", "q")]}
APPROVE, REJECT = {"type": "approve"}, {"type": "reject", "message": "안 됩니다"}
TWO = "r = llm_batch(['x', 'y'])\nanswer['content'] = [str(each) for each in r]"


class Desk:
    """An agent whose sub-agents call the tools `send` and `look` in one turn, and what was called and asked."""

    def __init__(self, cell: str = TWO, *, plain: bool = False, **options: Any) -> None:
        self.sent: list[str] = []
        self.looked: list[str] = []
        self.root = ScriptedModel(replies=lambda _: f"```python\n{cell}\nanswer['ready'] = True\n```")
        self.sub = ScriptedModel(replies=(lambda m: f"re {m[-1].text}") if plain else self._sub)
        given = {"interrupt_on": {"send": True}, "checkpointer": InMemorySaver(), "sub_model": self.sub, **options}
        self.agent = create_rlm_agent(self.root, [self.send, self.look], **given)

    def send(self, what: str) -> str:
        """Sends."""
        self.sent.append(what)
        return f"sent {what}"

    def look(self, what: str) -> str:
        """Looks."""
        time.sleep(0.05)
        self.looked.append(what)
        return f"seen {what}"

    def _sub(self, messages: list[Any]) -> Any:
        if messages[-1].type == "tool":
            return " / ".join(str(message.content) for message in messages if message.type == "tool")
        word = messages[-1].text
        calls = [{"name": name, "args": {"what": word}, "id": f"{name}-{word}"} for name in ("send", "look")]
        return AIMessage("", tool_calls=calls)

    def ask(self, given: Any = ASKED) -> Any:
        return self.agent.invoke(given, CONFIG)

    def answer(self, value: Any) -> Any:
        return self.agent.invoke(Command(resume=value), CONFIG)

    @property
    def paid(self) -> tuple[int, int]:
        return self.root.calls, self.sub.calls


def ids(out: Any) -> dict[str, str]:
    """Interrupt ids, by what the waiting call is about."""
    return {each.value["action_requests"][0]["args"]["what"]: each.id for each in out["__interrupt__"]}


def test_calls_that_need_nobody_run_to_their_end_and_each_other_one_is_an_interrupt() -> None:
    desk = Desk()
    out = desk.ask()
    assert sorted(ids(out)) == ["x", "y"]
    assert (desk.sent, sorted(desk.looked), desk.paid) == ([], ["x", "y"], (1, 2))
    value = out["__interrupt__"][0].value
    assert value["review_configs"] == [
        {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject", "respond"]}
    ]
    assert value["what"] == "tool"
    assert open_run("t").status == "open"
    assert [(each["what"], each["name"]) for each in open_run("t").waiting] == [("tool", "send")] * 2
    assert {each.id for each in desk.agent.get_state(CONFIG).interrupts} == set(ids(out).values())


@pytest.mark.parametrize(
    ("answer", "result", "sent"),
    [
        (APPROVE, "sent x", ["x"]),
        ({"decisions": [APPROVE]}, "sent x", ["x"]),
        (REJECT, "Error: a person rejected this call, and it was not run: 안 됩니다", []),
        ({"type": "respond", "message": "이미 보냄"}, "이미 보냄", []),
        (
            {"type": "edit", "edited_action": {"name": "send", "args": {"what": "글"}}},
            '(A person changed the arguments of this call before it ran, to {"what": "글"}.)\nsent 글',
            ["글"],
        ),
    ],
)
def test_each_decision(answer: Any, result: str, sent: list[str]) -> None:
    desk = Desk("answer['content'] = str(llm('x'))")
    desk.ask()
    out = desk.answer(answer)
    assert out["rlm"]["content"] == f"{result} / seen x"
    assert (desk.sent, desk.looked, desk.paid) == (sent, ["x"], (1, 2))
    assert open_run("t").waiting == []


@pytest.mark.parametrize("durability", ["sync", "exit"])
def test_until_all_are_answered_the_same_interrupts_come_again(durability: Any) -> None:
    desk = Desk()
    first = ids(desk.agent.invoke(ASKED, CONFIG, durability=durability))
    assert ids(desk.ask(None)) == first
    assert ids(desk.ask()) == first
    answered = desk.agent.invoke(Command(resume={first["x"]: APPROVE}), CONFIG, durability=durability)
    assert ids(answered) == {"y": first["y"]}
    assert ids(desk.ask(None)) == {"y": first["y"]}
    assert desk.sent == [], "the sub-agents go on together"
    out = desk.answer(REJECT)
    assert out["rlm"]["content"][0] == "sent x / seen x"
    assert "rejected" in out["rlm"]["content"][1]
    assert (desk.sent, sorted(desk.looked), desk.paid) == (["x"], ["x", "y"], (1, 4))
    assert desk.ask(None)["rlm"]["content"] == out["rlm"]["content"]


async def test_the_same_through_the_async_entry() -> None:
    desk = Desk()
    out = await desk.agent.ainvoke(ASKED, CONFIG)
    again = await desk.agent.ainvoke(None, CONFIG)
    assert ids(again) == ids(out)
    answers = {ids(out)["x"]: APPROVE, ids(out)["y"]: REJECT}
    done = await desk.agent.ainvoke(Command(resume=answers), CONFIG)
    assert done["rlm"]["ready"]
    assert (desk.sent, desk.paid) == (["x"], (1, 4))


def test_a_wrong_answer_loses_nothing() -> None:
    desk = Desk()
    first = ids(desk.ask())
    for wrong in ({first["x"]: "yes", first["y"]: APPROVE}, {"0" * 32: APPROVE}):
        with pytest.raises(ConfigError, match=r"Nothing was"):
            desk.answer(wrong)
    assert ids(desk.ask(None)) == first
    assert desk.answer({first["x"]: APPROVE, first["y"]: APPROVE})["rlm"]["ready"]
    single = Desk("answer['content'] = str(llm('x'))")
    assert single.agent.invoke(ASKED, {"configurable": {"thread_id": "s"}})["__interrupt__"]
    with pytest.raises(ConfigError, match="answer again"):
        single.agent.invoke(Command(resume={"type": "maybe"}), {"configurable": {"thread_id": "s"}})
    assert single.agent.invoke(Command(resume=APPROVE), {"configurable": {"thread_id": "s"}})["rlm"]["ready"]
    assert single.sent == ["x"]


def test_when_and_description_are_called_once_and_off_the_loop() -> None:
    seen: list[tuple[str, str]] = []

    def when(request: Any) -> bool:
        seen.append(("when", threading.current_thread().name))
        return bool(request.tool_call["args"]["what"] == "x")

    def description(call: Any, state: Any, runtime: Any) -> str:
        seen.append(("description", threading.current_thread().name))
        return f"보낼까요: {call['args']['what']} ({len(state['messages'])})"

    desk = Desk(interrupt_on={"send": {"allowed_decisions": ["approve"], "when": when, "description": description}})
    out = desk.ask()
    assert [each.value["action_requests"][0]["description"] for each in out["__interrupt__"]] == ["보낼까요: x (3)"]
    assert desk.sent == ["y"]
    assert desk.ask(None)["__interrupt__"] == out["__interrupt__"]
    assert len(desk.ask({"messages": [("user", "all is run again for a note")]})["__interrupt__"]) == 1
    assert desk.answer(APPROVE)["rlm"]["ready"]
    assert sorted(name for name, _ in seen) == ["description", "when", "when"]
    assert not any(thread == "rlm-loop" for _, thread in seen)
    assert sorted(desk.sent) == ["x", "y"]


@pytest.mark.parametrize("later", [{}, {"interrupt_on": None}])
def test_a_rejection_stands_where_the_agent_is_made_anew_without_the_gate(later: Any) -> None:
    saver = InMemorySaver()
    first = Desk("answer['content'] = str(llm('x'))", checkpointer=saver)
    (waiting,) = first.ask()["__interrupt__"]
    desk = Desk("answer['content'] = str(llm('x'))", checkpointer=saver, **later)
    (again,) = desk.ask({"messages": [("user", "a note")]})["__interrupt__"]
    assert again.value == waiting.value
    assert "rejected" in desk.answer(REJECT)["rlm"]["content"]
    assert (first.sent, desk.sent, first.sub.calls + desk.sub.calls) == ([], [], 2)


def test_an_agent_made_anew_without_the_gate_asks_under_the_same_ids() -> None:
    saver = InMemorySaver()
    first = ids(Desk(checkpointer=saver).ask())
    desk = Desk(checkpointer=saver, interrupt_on=None)
    assert ids(desk.ask(None)) == ids(desk.ask()) == first
    with pytest.raises(ConfigError, match=r"Nothing was changed"):
        desk.answer({"0" * 32: APPROVE})
    out = desk.answer({first["x"]: REJECT, first["y"]: APPROVE})
    assert (out["rlm"]["ready"], desk.sent, desk.paid) == (True, ["y"], (0, 2))


def test_a_batch_that_was_asked_about_waits_without_the_gate_too() -> None:
    saver = InMemorySaver()
    batch_desk(5, over(calls=3), checkpointer=saver).ask()
    desk = Desk(BATCH % 5, plain=True, checkpointer=saver, interrupt_on=None)
    assert desk.ask({"messages": [("user", "a note")]})["__interrupt__"]
    assert desk.paid == (0, 0)


def test_a_batch_that_was_admitted_is_not_refused_when_the_person_has_spoken() -> None:
    def dear(messages: list[Any]) -> AIMessage:
        usage = UsageMetadata(input_tokens=10, output_tokens=5000, total_tokens=5010)
        call = {"name": "send", "args": {"what": "x"}, "id": "1"}
        return AIMessage("", tool_calls=[call], usage_metadata=usage)

    desk = Desk(
        "r = llm('x')\nanswer['content'] = r.error", budget=Budget(sub_tokens=4000), sub_model=ScriptedModel(dear)
    )
    desk.ask()
    assert "sub_tokens" in desk.answer(APPROVE)["rlm"]["content"], "the slot fails for want of tokens"
    assert desk.sent == ["x"], "but what was approved has been done"


def test_a_broken_when_lets_nothing_pass() -> None:
    def when(request: Any) -> bool:
        raise KeyError("nonesuch")

    desk = Desk("answer['content'] = str(llm('x'))", interrupt_on={"send": {"when": when}})
    (waiting,) = desk.ask()["__interrupt__"]
    assert "`when` failed, so you are asked: KeyError: 'nonesuch'" in waiting.value["action_requests"][0]["description"]
    assert desk.sent == []


def test_another_message_is_a_note_and_the_call_goes_on_waiting() -> None:
    desk = Desk()
    desk.ask()
    out = desk.ask({"messages": [("user", "빨리")]})
    assert sorted(ids(out)) == ["x", "y"]
    assert [note.text for note in open_run("t").home.notes.list(open_run("t").id)] == ["빨리"]
    assert desk.answer({id_: APPROVE for id_ in ids(out).values()})["rlm"]["ready"]
    assert desk.paid == (1, 4)


def test_the_time_of_waiting_is_not_counted() -> None:
    desk, began = Desk("answer['content'] = str(llm('x'))", budget=Budget(seconds=60)), time.monotonic()
    desk.ask()
    time.sleep(1.5)
    out = desk.answer(APPROVE)
    assert out["rlm"]["usage"]["seconds"] < time.monotonic() - began - 1.4


def test_waiting_is_an_event() -> None:
    desk = Desk("answer['content'] = str(llm('x'))")
    events = list(desk.agent.stream(ASKED, CONFIG, stream_mode="custom"))
    (event,) = [event for event in events if event["type"] == "waiting"]
    (interrupt,) = desk.agent.get_state(CONFIG).interrupts
    assert (event["who"], event["what"], event["id"]) == ("human", "tool", interrupt.id)
    assert event["request"] == interrupt.value


# Batches

BATCH = "r = llm_batch([f'p{i}' for i in range(%d)])\nanswer['content'] = [str(each) for each in r]"


def batch_desk(calls: int, when: Any, cell: str = BATCH, **options: Any) -> Desk:
    return Desk(cell % calls, plain=True, interrupt_on={"llm_batch": {"when": when}}, **options)


def test_a_batch_is_one_interrupt_before_any_call_is_sent_and_decided_once() -> None:
    views: list[BatchView] = []

    def when(batch: BatchView) -> bool:
        views.append(batch)
        assert threading.current_thread().name != "rlm-loop"
        return over(calls=3)(batch)

    desk = batch_desk(70, when)
    (waiting,) = desk.ask()["__interrupt__"]
    action = waiting.value["action_requests"][0]
    assert (action["name"], action["args"]["calls"], action["args"]["usd"]) == ("llm_batch", 70, None)
    assert action["args"]["prompts"] == ["p0", "p1", "p2"]
    assert desk.paid == (1, 0)
    assert desk.ask(None)["__interrupt__"][0].id == waiting.id
    desk.ask({"messages": [("user", "all is run again for a note")]})
    out = desk.answer(APPROVE)
    assert out["rlm"]["content"][69] == "re p69"
    assert desk.paid == (1, 70)
    assert views == [BatchView(70, 70 * 500, None)], "what replies are usually long is counted, too"


def test_a_batch_within_the_bound_asks_nobody() -> None:
    assert batch_desk(3, over(calls=3)).ask()["rlm"]["content"] == ["re p0", "re p1", "re p2"]


def test_a_rejected_batch_is_a_refusal_that_the_cell_reads() -> None:
    cell = "try:\n    llm_batch([f'p{i}' for i in range(%d)])\nexcept RuntimeError as error:\n    why = str(error)\n"
    desk = batch_desk(5, over(calls=3), cell + "answer['content'] = why")
    desk.ask()
    out = desk.answer(REJECT)
    assert out["rlm"]["content"] == "a person refused this batch, and nothing was sent: 안 됩니다"
    assert desk.paid == (1, 0)


def test_a_batch_and_a_tool_in_it_wait_one_after_the_other() -> None:
    desk = Desk(interrupt_on={"llm_batch": True, "send": {"allowed_decisions": ["approve"]}})
    (waiting,) = desk.ask()["__interrupt__"]
    assert waiting.value["what"] == "llm_batch"
    assert desk.paid == (1, 0)
    out = desk.answer(APPROVE)
    assert sorted(ids(out)) == ["x", "y"]
    assert desk.answer({id_: APPROVE for id_ in ids(out).values()})["rlm"]["ready"]
    assert (sorted(desk.sent), desk.paid) == (["x", "y"], (1, 4))


# Questions of the root

QUESTION = "city = ask_human('어느 도시?')\nanswer['content'] = city"


def test_ask_human() -> None:
    desk = Desk(QUESTION, interrupt_on={"ask_human": True})
    (waiting,) = desk.ask()["__interrupt__"]
    assert waiting.value["action_requests"][0]["args"] == {"question": "어느 도시?"}
    assert desk.answer("서울")["rlm"]["content"] == "서울"
    assert desk.paid == (1, 0)


def test_a_question_is_a_short_text_that_any_saver_can_store() -> None:
    cell = """
errors = []
for wrong in [lambda: ask_human(), lambda: ask_human(3), lambda: ask_human("x" * 8193), lambda: ask_human("a", "b")]:
    try:
        wrong()
    except RuntimeError as error:
        errors.append(str(error))
answer['content'] = [ask_human("\\ud800?"), errors]"""
    desk = Desk(cell, interrupt_on={"ask_human": True}, checkpointer=SqliteSaver(memory()))
    (waiting,) = desk.ask()["__interrupt__"]
    assert waiting.value["action_requests"][0]["args"] == {"question": "\\ud800?"}
    said, errors = desk.answer("네")["rlm"]["content"]
    assert said == "네"
    assert [error.split(": ")[1] for error in errors] == ["TypeError", "TypeError", "ValueError", "TypeError"]


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def test_nobody_need_answer() -> None:
    cell = f"try:\n    {QUESTION.splitlines()[0]}\nexcept RuntimeError as error:\n    answer['content'] = str(error)"
    desk = Desk(cell, interrupt_on={"ask_human": True})
    desk.ask()
    assert desk.answer(REJECT)["rlm"]["content"] == "ask_human failed: the person would not answer: 안 됩니다"


def test_questions_of_threads_wait_together_with_a_batch_that_is_answered_meanwhile() -> None:
    cell = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(3) as pool:
    a, b, c = pool.map(lambda f: f(), [lambda: ask_human("a"), lambda: str(llm("p")), lambda: ask_human("b")])
answer['content'] = [a, b, c]"""
    desk = Desk(cell, plain=True, interrupt_on={"ask_human": True})
    waiting = desk.ask()["__interrupt__"]
    asked = {each.value["action_requests"][0]["args"]["question"]: each.id for each in waiting}
    assert sorted(asked) == ["a", "b"]
    assert desk.paid == (1, 1)
    assert desk.answer({asked["b"]: "2"})["__interrupt__"][0].id == asked["a"]
    assert desk.answer("1")["rlm"]["content"] == ["1", "re p", "2"]
    assert desk.paid == (1, 1)


def test_it_is_bound_where_it_is_allowed_only() -> None:
    cell = "answer['content'] = 'ask_human' in globals()"
    assert Desk(cell).ask()["rlm"]["content"] is False
    asks = Desk(cell, interrupt_on={"ask_human": True})
    assert asks.agent.invoke(ASKED, {"configurable": {"thread_id": "u"}})["rlm"]["content"] is True


# Where it cannot work


def test_without_a_checkpointer_it_is_an_error_before_anything_is_written(own_home: Path) -> None:
    agent = create_rlm_agent(ScriptedModel(), interrupt_on={"ask_human": True})
    for call in (lambda: agent.invoke(ASKED, CONFIG), lambda: asyncio.run(agent.ainvoke(ASKED, CONFIG))):
        with pytest.raises(ConfigError, match="interrupt_on needs a checkpointer"):
            call()
    assert not own_home.exists()


# In a host's graph, through its own interrupts


class Mail(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    answer: int  # the host's own
    rlm: dict[str, Any]


def host(desk: Desk, saver: Any) -> Any:
    """A graph that was there before: the agent is its node, the saver its own."""
    app = StateGraph(Mail)
    app.add_node("count", lambda mail: {"answer": mail.get("answer", 0) + 1})
    app.add_node("work", desk.agent)
    app.add_edge(START, "count")
    app.add_edge("count", "work")
    app.add_edge("work", END)
    return app.compile(checkpointer=saver)


@pytest.mark.parametrize("checkpointer", [None, True])
def test_a_host_answers_through_its_own_interrupts(checkpointer: Any) -> None:
    desk = Desk(checkpointer=checkpointer)
    app = host(desk, InMemorySaver())
    first = ids(app.invoke(ASKED, CONFIG))
    assert ids(app.invoke(None, CONFIG)) == first
    assert {each.id for each in app.get_state(CONFIG).interrupts} == set(first.values())
    with pytest.raises(ConfigError, match="answer again"):
        app.invoke(Command(resume={first["x"]: "yes"}), CONFIG)
    assert ids(app.invoke(Command(resume={first["x"]: APPROVE}), CONFIG)) == {"y": first["y"]}
    out = app.invoke(Command(resume={first["y"]: REJECT}), CONFIG)
    assert out["rlm"]["content"][0] == "sent x / seen x"
    assert (out["answer"], desk.sent, desk.paid) == (1, ["x"], (1, 4))


async def test_a_host_with_an_async_entry() -> None:
    desk = Desk("answer['content'] = str(llm('x'))", checkpointer=None)
    app = host(desk, InMemorySaver())
    events = [event async for _, event in app.astream(ASKED, CONFIG, stream_mode="custom", subgraphs=True)]
    assert [event["what"] for event in events if event["type"] == "waiting"] == ["tool"]
    with pytest.raises(ConfigError, match="answer again"):
        await app.ainvoke(Command(resume={"type": "maybe"}), CONFIG)
    out = await app.ainvoke(Command(resume=APPROVE), CONFIG)
    assert (out["rlm"]["content"], desk.paid) == ("sent x / seen x", (1, 2))


def test_a_host_without_a_saver_is_told() -> None:
    desk = Desk(checkpointer=None)
    with pytest.raises(ConfigError, match="interrupt_on needs a checkpointer"):
        host(desk, None).invoke(ASKED)
    assert desk.paid == (0, 0)


def test_inside_a_tool_of_another_agent() -> None:
    desk = Desk("answer['content'] = str(llm('x'))", checkpointer=None)

    def research(task: str) -> str:
        """Looks into it."""
        given: Any = {"messages": [("user", task)]}
        return str(desk.agent.invoke(given)["rlm"]["content"])

    def outer(messages: list[Any]) -> Any:
        if messages[-1].type == "tool":
            return messages[-1].content
        return AIMessage("", tool_calls=[{"name": "research", "args": {"task": "q"}, "id": "1"}])

    app = create_agent(ScriptedModel(replies=outer), [research], checkpointer=InMemorySaver())
    (waiting,) = app.invoke(ASKED, CONFIG)["__interrupt__"]
    assert waiting.value["what"] == "tool"
    out = app.invoke(Command(resume=APPROVE), CONFIG)
    assert (out["messages"][-1].content, desk.sent, desk.paid) == ("sent x / seen x", ["x"], (1, 2))


@pytest.mark.slow
def test_many_wait_at_once() -> None:
    desk = Desk("r = llm_batch([f'p{i}' for i in range(100)])\nanswer['content'] = sum(each.ok for each in r)")
    waiting = desk.ask()["__interrupt__"]
    assert len(waiting) == 100
    assert desk.answer({each.id: APPROVE for each in waiting})["rlm"]["content"] == 100
    assert (len(desk.sent), desk.paid) == (100, (1, 200))
