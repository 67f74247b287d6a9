"""The home's checkpointer: one file for sync and async entry, several loops and threads, and forked children."""

import asyncio
import operator
import os
import threading
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from rlm_agent.checkpointer import HomeCheckpointer
from rlm_agent.errors import HomeError
from rlm_agent.store.home import Home


class State(TypedDict):
    steps: Annotated[list[str], operator.add]


def build(saver: HomeCheckpointer) -> Any:
    graph = StateGraph(State)
    graph.add_node("first", lambda state: {"steps": ["first"]})
    graph.add_node("ask", lambda state: {"steps": [interrupt("계속?")]})
    graph.add_edge(START, "first")
    graph.add_edge("first", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=saver)


def at(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


@pytest.fixture
def saver(tmp_path: Path):
    made = HomeCheckpointer(tmp_path / "checkpoints.db")
    yield made
    made.close()


def test_what_one_entry_began_the_other_ends(saver: HomeCheckpointer) -> None:
    graph = build(saver)
    graph.invoke({"steps": []}, at("a"))
    assert asyncio.run(graph.ainvoke(Command(resume="네"), at("a"))) == {"steps": ["first", "네"]}
    asyncio.run(graph.ainvoke({"steps": []}, at("b")))
    assert graph.invoke(Command(resume="yes"), at("b")) == {"steps": ["first", "yes"]}


def test_two_loops_in_two_threads_share_one_saver(saver: HomeCheckpointer) -> None:
    graph, outputs = build(saver), []

    async def both(names: list[str]) -> None:
        await asyncio.gather(*(graph.ainvoke({"steps": []}, at(name)) for name in names))
        outputs.extend(await asyncio.gather(*(graph.ainvoke(Command(resume=name), at(name)) for name in names)))

    threads = [threading.Thread(target=asyncio.run, args=(both([f"{n}{i}" for i in range(5)]),)) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(output["steps"][1] for output in outputs) == [f"{n}{i}" for n in "ab" for i in range(5)]


async def test_history_and_deletion_in_async_form(saver: HomeCheckpointer) -> None:
    graph = build(saver)
    await graph.ainvoke({"steps": []}, at("t"), durability="sync")
    assert len([s async for s in graph.aget_state_history(at("t"))]) == len(list(graph.get_state_history(at("t")))) == 3
    assert len([c async for c in saver.alist(at("t"), limit=2)]) == 2
    await saver.adelete_thread("t")
    assert await saver.aget_tuple(at("t")) is None


def test_it_survives_being_closed_and_another_saver_sees_it(saver: HomeCheckpointer, tmp_path: Path) -> None:
    build(saver).invoke({"steps": []}, at("t"))
    saver.close()
    saver.close()
    other = HomeCheckpointer(tmp_path / "checkpoints.db")
    assert other.get_tuple(at("t")) is not None
    assert saver.get_tuple(at("t")) is not None
    other.close()


def test_a_copy_with_an_allowlist_shares_the_connection(saver: HomeCheckpointer) -> None:
    copy = saver.with_allowlist([("collections", "OrderedDict")])
    build(saver).invoke({"steps": []}, at("t"))
    assert copy.get_tuple(at("t")) is not None
    saver.close()
    assert copy.get_tuple(at("t")) is not None


def test_a_failed_write_leaves_nothing_behind(saver: HomeCheckpointer) -> None:
    def fail() -> None:
        with saver.cursor() as cursor:
            cursor.execute("INSERT INTO writes VALUES ('t', '', 'c', 'x', '', 0, 'ch', '', x'')")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    with saver.cursor(transaction=False) as cursor:
        assert cursor.execute("SELECT COUNT(*) FROM writes").fetchone() == (0,)


def test_a_forked_child_has_its_own_connection(saver: HomeCheckpointer) -> None:
    graph = build(saver)
    graph.invoke({"steps": []}, at("t"))
    child = os.fork()
    if not child:
        try:
            inherited = saver.conn
            found = saver.get_tuple(at("t")) is not None and saver.conn is not inherited
            os._exit(0 if found else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert graph.invoke(Command(resume="x"), at("t"))["steps"] == ["first", "x"]


def test_the_home_makes_one_and_closes_it(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        saver = home.checkpointer
        assert saver is home.checkpointer
        build(saver).invoke({"steps": []}, at("t"))
        assert (home.path / "checkpoints.db").stat().st_mode & 0o777 == 0o600
    assert build(home.checkpointer).invoke(Command(resume="x"), at("t"))["steps"] == ["first", "x"]
    home.close()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HomeError, match="file"):
        HomeCheckpointer(tmp_path / "file" / "checkpoints.db")
