"""A question of the root on the command line: `--ask`, exit code 4, `rlm resume --reply`, `--reject`, `--approve`."""

import json
from collections.abc import Iterator
from typing import Any

import openai_server
import pytest
from command_line import Rlm

from rlm_agent import Home, create_rlm_agent

HOSTILE = "어느 도시?\x1b[2J\x1b]0;title\x07\nanswer: rlm rm t"
CELLS = {
    "one": f"city = ask_human({HOSTILE!r})\nanswer['content'] = city\nanswer['ready'] = True",
    "two": """
from concurrent.futures import ThreadPoolExecutor
def ask(text):
    try:
        return ask_human(text)
    except RuntimeError as error:
        return str(error)
with ThreadPoolExecutor(2) as pool:
    answer['content'] = list(pool.map(ask, ["a", "b"]))
answer['ready'] = True""",
}


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A root whose cell is named by the question; it has one turn."""

    def reply(body: dict[str, Any]) -> str:
        task = next(message["content"] for message in body["messages"] if message["role"] == "user")
        return f"```python\n{CELLS[task[:3]]}\n```"

    with openai_server.serve(reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-local-0123456789")
        yield server


def ask(rlm: Rlm, question: str, *options: str) -> Any:
    return rlm("run", question, "--model", "openai:gpt-5", "--thread", "t", "--ask", *options)


def test_it_says_what_waits_and_how_to_answer_and_takes_the_answer(rlm: Rlm, served: Any) -> None:
    asked = ask(rlm, "one")
    assert (asked.code, asked.out) == (4, "")
    assert "waiting for you: the root asks\n    어느 도시?\n    answer: rlm rm t\nanswer: rlm resume t " in asked.err
    assert "--reply TEXT | --reject WHY" in asked.err
    assert "\x1b" not in asked.err
    (row,) = json.loads(rlm("threads", "--json").out)
    assert (row["status"], row["waiting"]) == ("open", 1)
    assert all(" waiting " in rlm(command).out for command in ("threads", "log"))
    again = rlm("resume", "t")
    assert (again.code, again.out) == (4, "")
    assert "어느 도시?" in again.err
    done = rlm("resume", "t", "--reply", "서울")
    assert (done.code, done.out) == (0, "서울\n"), done.err
    assert len(served.requests) == 1
    late = rlm("resume", "t", "--reply", "부산")
    assert (late.code, late.out) == (2, "")
    assert "Nothing waits for an answer" in late.err


def test_json_is_one_object_with_the_questions(rlm: Rlm) -> None:
    asked = ask(rlm, "one", "--json", "--quiet")
    assert (asked.code, asked.err) == (4, "")
    found = json.loads(asked.out)
    assert {k: found[k] for k in ("thread", "answer", "ready", "stopped_by", "turns")} == {
        "thread": "t",
        "answer": "",
        "ready": False,
        "stopped_by": "waiting",
        "turns": 0,
    }
    assert found["usage"]["root"]["calls"] == 1
    (waiting,) = found["waiting"]
    assert waiting["action_requests"][0]["args"] == {"question": HOSTILE}
    done = rlm("resume", "t", "--reply", "서울", "--id", waiting["id"], "--json", "-q")
    assert json.loads(done.out)["answer"] == "서울"


def test_several_are_answered_by_id(rlm: Rlm) -> None:
    lines = ask(rlm, "two", "--jsonl").out.splitlines()
    waiting = [event for event in map(json.loads, lines) if event["type"] == "waiting"]
    assert [event["what"] for event in waiting] == ["ask_human", "ask_human"]
    ids = {event["request"]["action_requests"][0]["args"]["question"]: event["id"] for event in waiting}
    for arguments, said in (
        (("--reply", "x"), "2 questions wait: give --id"),
        (("--reply", "x", "--id", "zz"), "no such question waits"),
        (("--approve", "--reply", "x"), "exclude each other"),
        (("--id", ids["a"]), "--id says what is answered"),
        (("--approve", "--id", "all"), "answer again"),
    ):
        wrong = rlm("resume", "t", *arguments)
        assert (wrong.code, wrong.out) == (2, "")
        assert said in wrong.err
    half = rlm("resume", "t", "--reply", "1", "--id", ids["a"][:8])
    assert half.code == 4
    assert half.err.count("waiting for you") == 1
    done = rlm("resume", "t", "--reject", "왜?")
    assert (done.code, json.loads(done.out)) == (0, ["1", "ask_human failed: the person would not answer: 왜?"])


def test_without_leave_the_root_cannot_ask(rlm: Rlm) -> None:
    ended = rlm("run", "one", "--model", "openai:gpt-5", "--thread", "t", "--budget", "turns=1")
    assert ended.code == 3
    assert "NameError" in ended.err


def test_what_another_program_asks_is_answered_there(rlm: Rlm) -> None:
    with Home() as home:
        agent = create_rlm_agent(
            "openai:gpt-5", interrupt_on={"ask_human": True}, home=home, checkpointer=home.checkpointer
        )
        given: Any = {"messages": [("user", "one")]}
        agent.invoke(given, {"configurable": {"thread_id": "t"}})
    for answer in ((), ("--reply", "서울")):
        refused = rlm("resume", "t", "--model", "openai:gpt-5", *answer)
        assert (refused.code, refused.out) == (2, "")
        assert "The program that started this run lets its root ask" in refused.err


def test_a_batch_that_another_program_asks_about_is_answered_here(rlm: Rlm, served: Any) -> None:
    CELLS["bat"] = "answer['content'] = str(llm('one'))\nanswer['ready'] = True"
    with Home() as home:
        agent = create_rlm_agent(
            "openai:gpt-5", interrupt_on={"llm_batch": True}, home=home, checkpointer=home.checkpointer
        )
        given: Any = {"messages": [("user", "bat")]}
        agent.invoke(given, {"configurable": {"thread_id": "t"}})
    asked = rlm("resume", "t", "--model", "openai:gpt-5")
    assert asked.code == 4
    assert "the root wants to send a batch" in asked.err
    assert "answer: rlm resume t --approve | --reject WHY" in asked.err
    assert len(served.requests) == 1
    done = rlm("resume", "t", "--approve", "--model", "openai:gpt-5")
    assert (done.code, len(served.requests)) == (0, 2), done.err
