"""Turns: a chain, one a lineage, retained and made head in one transaction."""

from dataclasses import replace

import pytest

from rlm_agent.errors import HomeError, LeaseLost, StateVersionError
from rlm_agent.store.fence import Fence
from rlm_agent.store.home import Home
from rlm_agent.store.turns import turn_id


@pytest.fixture(autouse=True)
async def run(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run(path="parent:child"), make_question())


async def test_a_turn_comes_back_equal_under_its_digest(home: Home, make_turn) -> None:
    turn = await home.turns.add(make_turn())
    assert turn.id == turn_id(turn.plain())
    assert home.turns.get(turn.id) == turn == home.turns.head("run")


def test_the_id_depends_on_all_but_itself(make_turn) -> None:
    turn = make_turn()
    assert turn_id(turn.plain()) == turn_id(replace(turn, id="x").plain())
    assert turn_id(turn.plain()) != turn_id(replace(turn, output="나").plain())
    shuffled = dict(reversed(turn.plain().items()))
    assert turn_id(shuffled) == turn_id(turn.plain())


async def test_one_turn_a_lineage(home: Home, make_turn) -> None:
    ran: list[str] = []
    first = await home.turns.add(make_turn(output="first"), also=lambda c: ran.append("first"))
    again = await home.turns.add(make_turn(output="second"), also=lambda c: ran.append("second"))
    assert again == first
    assert ran == ["first"]
    assert len(home.turns.list("run")) == 1


async def test_turns_are_listed_by_number_and_chained_by_parent(home: Home, make_turn) -> None:
    first = await home.turns.add(make_turn())
    second = await home.turns.add(make_turn(2, parent=first.id, lineage_before="l1", lineage="l2"))
    branch = await home.turns.add(make_turn(2, parent=first.id, lineage_before="l1", lineage="l2b"))
    third = await home.turns.add(make_turn(3, parent=branch.id, lineage_before="l2b", lineage="l3"))
    assert home.turns.list("run") == [first, second, branch, third]
    assert home.turns.list("run", after=2) == [third]
    assert home.turns.chain(third.id) == [first, branch, third]
    assert home.turns.by_lineage("run", "l1") == branch
    assert home.turns.by_lineage("run", "nowhere") is None
    assert home.turns.head("run") == third
    assert home.turns.head("other") is None


async def test_turn_ref_head_and_also_are_one_transaction(home: Home, make_turn) -> None:
    def fail(connection: object) -> None:
        raise RuntimeError("also failed")

    with pytest.raises(RuntimeError):
        await home.turns.add(make_turn(), also=fail)
    assert (home.turns.head("run"), home.turns.list("run"), refs(home)) == (None, [], [])
    turn = await home.turns.add(
        make_turn(), also=home.runs.question_op("run", 1, status="answered", stopped_by="ready", result={"text": "x"})
    )
    assert home.runs.question("run").status == "answered"
    assert refs(home) == [("run", "parent:child", turn.id)]


async def test_a_stale_fence_adds_nothing(home: Home, make_turn) -> None:
    with pytest.raises(LeaseLost):
        await home.turns.add(make_turn(), Fence("run", 1))
    assert home.turns.list("run") == []


async def test_missing_and_newer_turns_are_named(home: Home, make_turn) -> None:
    with pytest.raises(HomeError, match="'nope'"):
        home.turns.get("nope")
    turn = await home.turns.add(make_turn(version=2))
    with pytest.raises(StateVersionError, match=turn.id):
        home.turns.get(turn.id)


def refs(home: Home) -> list[tuple[str, str, str]]:
    return home.write(lambda c: c.execute("SELECT run, path, turn FROM refs").fetchall()).result(5)
