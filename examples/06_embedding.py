"""The agent inside an app that was there before: its own state, its own saver, its own keys of the same names.

Run `python examples/06_embedding.py`: a ticket comes in, is looked into by the agent where it needs the handbook,
and is answered. A person approves each batch of sub-calls, through the app's own interrupts. RLM_MODEL names a model.
"""

import os
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command

from rlm_agent import Budget, Corpus, create_rlm_agent

MODEL = os.environ.get("RLM_MODEL", "offline")
HANDBOOK = "\n".join(f"Section {n}. Part {n * 7} is changed after {n} months of use." for n in range(1, 4000))
AGENT = {"input_key": "handbook", "name": "look_up", "budget": Budget(usd=1), "interrupt_on": {"llm_batch": True}}


class Ticket(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    context: str  # the app's own, as is `answer`: the agent leaves them alone
    answer: str
    handbook: dict[str, Any]
    rlm: dict[str, Any]


def sort(ticket: Ticket) -> Ticket:
    return {"context": "handbook" if "part" in ticket["messages"][-1].text.lower() else "small talk"}


def reply(ticket: Ticket) -> Ticket:
    found = ticket.get("rlm")
    return {"answer": f"From the handbook: {found['content']}" if found else "Thank you for writing."}


def build(saver: Any) -> Any:
    app = StateGraph(Ticket)
    app.add_node("sort", sort)
    app.add_node("look_up", create_rlm_agent(MODEL, **AGENT))
    app.add_node("reply", reply)
    app.add_edge(START, "sort")
    app.add_conditional_edges("sort", lambda t: "look_up" if t["context"] == "handbook" else "reply")
    app.add_edge("look_up", "reply")
    app.add_edge("reply", END)
    return app.compile(checkpointer=saver)


if __name__ == "__main__":
    app, handbook = build(InMemorySaver()), Corpus.load(HANDBOOK)
    for thread, text in {"ticket-1": "Which section mentions 'Part 16807'?", "ticket-2": "Hello!"}.items():
        config = {"configurable": {"thread_id": thread}}
        ticket = app.invoke({"messages": [("user", text)], "handbook": handbook}, config)
        while waiting := ticket.get("__interrupt__"):  # the answer may come days later, in another process
            print(f"{thread}: approved: {waiting[0].value['action_requests'][0]['description']}")
            ticket = app.invoke(Command(resume={"type": "approve"}), config)
        print(f"{thread}: {ticket['context']}: {ticket['answer']}")
