"""A run in which two calls need a person, as `python approval_run.py HOME LOGS PLACE STEP`.

PLACE is "alone", or "host": the agent is a node of a graph with a state and a saver of its own. STEP is "ask", which
prints what waits and then waits to be killed; "approve" answers the one that is approved; "again" prints how many wait;
"answer" approves one, rejects the other, and prints the end.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command
from payments import note_call

from rlm_agent import Home, create_rlm_agent
from rlm_agent.testing import ScriptedModel

CELL = "r = llm_batch(['글', 'y', 'plain'])\nanswer['content'] = [str(each) for each in r]\nanswer['ready'] = True"
CONFIG: Any = {"configurable": {"thread_id": "approval"}}


class Mail(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    answer: int
    rlm: dict[str, Any]


def sub(messages: list[Any]) -> Any:
    if messages[-1].type == "tool":
        return str(messages[-1].content)
    word = messages[-1].text
    if word == "plain":
        return word
    return AIMessage("", tool_calls=[{"name": "send", "args": {"what": word}, "id": f"call-{word}"}])


def agent_of(home: Home, logs: Path, checkpointer: Any) -> Any:
    def send(what: str) -> str:
        """Sends."""
        note_call(logs, "tool", what)
        return f"sent {what}"

    root = ScriptedModel(replies=lambda _: f"```python\n{CELL}\n```", log=logs / "models.jsonl", model_name="root")
    return create_rlm_agent(
        root,
        [send],
        sub_model=ScriptedModel(replies=sub, log=logs / "models.jsonl", model_name="sub"),
        interrupt_on={"send": {"allowed_decisions": ["approve", "reject"]}},
        home=home,
        checkpointer=checkpointer,
    )


def graph_of(place: str, home: Home, logs: Path) -> Any:
    if place == "alone":
        return agent_of(home, logs, home.checkpointer)
    app = StateGraph(Mail)
    app.add_node("count", lambda mail: {"answer": mail.get("answer", 0) + 1})
    app.add_node("work", agent_of(home, logs, None))
    app.add_edge(START, "count")
    app.add_edge("count", "work")
    app.add_edge("work", END)
    return app.compile(checkpointer=SqliteSaver(sqlite3.connect(logs / "host.db", check_same_thread=False)))


def main(home: str, logs: str, place: str, step: str) -> None:
    with Home(home) as opened:
        graph = graph_of(place, opened, Path(logs))
        if step == "ask":
            given: Any = {"messages": [("user", "q")]}
            out = graph.invoke(given, CONFIG)
            print(json.dumps({each.id: each.value for each in out["__interrupt__"]}), flush=True)
            time.sleep(120)
        if step == "again":
            print(json.dumps({"waiting": len(graph.invoke(None, CONFIG)["__interrupt__"])}), flush=True)
            return
        waiting = graph.get_state(CONFIG).interrupts
        answers = {each.id: _decision(each.value) for each in waiting}
        if step == "approve":
            answers = {id_: decision for id_, decision in answers.items() if decision["type"] == "approve"}
        # A run killed after its answers were recorded has nothing to answer, and is gone on with.
        out = graph.invoke(Command(resume=answers) if answers else None, CONFIG)
        print(json.dumps({"content": out["rlm"]["content"], "answer": out.get("answer")}), flush=True)


def _decision(value: Any) -> dict[str, str]:
    approved = value["action_requests"][0]["args"]["what"] == "글"
    return {"type": "approve"} if approved else {"type": "reject", "message": "아니오"}


if __name__ == "__main__":
    main(*sys.argv[1:])
