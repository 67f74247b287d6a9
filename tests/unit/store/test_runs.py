"""Runs and questions: found by place, by find key, by activity."""

import pytest

from rlm_agent.errors import HomeError, LeaseLost, StateVersionError
from rlm_agent.store.fence import Fence
from rlm_agent.store.home import Home


async def test_what_was_created_comes_back_equal(home: Home, make_run, make_question) -> None:
    run, question = make_run(), make_question(context={"rlm_corpus": 1}, context_digest="c", result=None)
    await home.runs.create(run, question)
    assert home.runs.get("run") == run
    assert home.runs.question("run") == question == home.runs.question("run", 1)
    assert home.runs.newest("thread", "", "rlm") == (run, question) == home.runs.by_find_key("find")


async def test_the_newest_run_and_its_newest_question_are_found(home: Home, make_run, make_question) -> None:
    old, new = make_run("old"), make_run("new")
    await home.runs.create(old, make_question(run="old"))
    await home.runs.create(new, make_question(run="new", created=2.0))
    second = make_question(2, run="new", created=3.0)
    await home.runs.add_question(second)
    assert home.runs.newest("thread", "", "rlm") == (new, second)
    assert home.runs.by_find_key("find") == (new, second)
    assert [q.number for q in home.runs.questions("new")] == [1, 2]


async def test_other_places_and_runs_without_a_thread_are_not_found(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run(thread=None), make_question(find_key=None))
    for place in (("thread", "", "rlm"), (None, "", "rlm"), ("thread", "a", "rlm"), ("thread", "", "b")):
        assert home.runs.newest(*place) is None
    assert home.runs.by_find_key("find") is None


async def test_list_is_in_order_and_last_is_the_most_recently_active(
    home: Home, make_run, make_question, make_turn
) -> None:
    assert home.runs.last() is None
    for id, thread, created in (("a", "t1", 1.0), ("b", "t2", 2.0), ("c", "t1", 3.0)):
        await home.runs.create(make_run(id, thread=thread, created=created), make_question(run=id))
    assert [run.id for run in home.runs.list()] == ["a", "b", "c"]
    assert [run.id for run in home.runs.list("t1")] == ["a", "c"]
    assert home.runs.last().id == "c"
    await home.turns.add(make_turn(run="b"))
    assert home.runs.last().id == "b"
    await home.runs.set_question("a", 1, active_seconds=1)
    assert home.runs.last().id == "a"


async def test_a_question_changes_only_what_is_given(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run(), make_question())
    await home.runs.set_question("run", 1, active_seconds=2.5)
    await home.runs.set_question("run", 1, status="stopped", stopped_by="budget", result={"text": "부분"})
    question = home.runs.question("run")
    assert (question.status, question.stopped_by, question.result) == ("stopped", "budget", {"text": "부분"})
    assert question.active_seconds == 2.5
    await home.runs.set_question("run", 1, status="open")
    question = home.runs.question("run")
    assert (question.status, question.stopped_by, question.result) == ("open", None, None)
    assert question.active_seconds == 2.5


async def test_a_change_under_a_stale_fence_is_refused(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run(), make_question())
    with pytest.raises(LeaseLost):
        await home.runs.set_question("run", 1, Fence("run", 3), status="answered")
    assert home.runs.question("run").status == "open"


async def test_a_run_without_its_question_is_never_there(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run("a"), make_question(run="a"))
    with pytest.raises(HomeError):
        await home.runs.create(make_run("b"), make_question(run="a"))
    assert [run.id for run in home.runs.list()] == ["a"]


async def test_what_is_missing_is_named(home: Home, make_run, make_question) -> None:
    with pytest.raises(HomeError, match="'nope'"):
        home.runs.get("nope")
    await home.runs.create(make_run(), make_question())
    with pytest.raises(HomeError, match="no question 7"):
        home.runs.question("run", 7)


async def test_a_question_of_a_newer_version_is_refused(home: Home, make_run, make_question) -> None:
    await home.runs.create(make_run(), make_question(version=2))
    with pytest.raises(StateVersionError, match="Question 1 of run run"):
        home.runs.newest("thread", "", "rlm")
