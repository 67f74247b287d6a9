"""The answer: formats, checks, partial answers, and the final message."""

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from rlm_agent import Budget, create_rlm_agent
from rlm_agent.testing import ScriptedModel


class City(BaseModel):
    name: str
    people: int


class CityDict(TypedDict):
    name: str
    people: int


SCHEMA = City.model_json_schema()
GOOD = {"name": "서울", "people": 9}


def cells(*codes: str) -> list[str]:
    return [f"```python\n{code}\n```" for code in codes]


def ready(content: Any) -> str:
    return f'answer["content"] = {content!r}\nanswer["ready"] = True'


def ask(replies: list[Any], **options: Any) -> Any:
    seen: list[Any] = []
    script = iter(replies)

    def root(messages: list[Any]) -> Any:
        seen.append(messages)
        return next(script)

    agent = create_rlm_agent(ScriptedModel(replies=root), sub_model=ScriptedModel(replies=[]), **options)
    return agent.invoke({"messages": [("user", "q")]}), seen


@pytest.mark.parametrize("shape", [City, CityDict, SCHEMA], ids=["pydantic", "typeddict", "schema"])
def test_response_format(shape: Any) -> None:
    out, seen = ask(cells(ready({"name": "서울"}), ready(GOOD)), response_format=shape)
    assert "people" in seen[1][-1].content, "the root reads what is missing"
    expected = City(**GOOD) if shape is City else GOOD  # type: ignore[arg-type]
    assert out["structured_response"] == expected
    assert out["rlm"]["content"] == GOOD
    assert "서울" in out["messages"][-1].content


def test_response_format_as_json_text() -> None:
    out, _ = ask(cells(ready('{"name": "Ulm", "people": 1}')), response_format=City)
    assert out["structured_response"] == City(name="Ulm", people=1)


def test_a_check_complains_until_it_is_content() -> None:
    def check(content: Any) -> str | None:
        return None if content == 42 else f"{content} is not the answer"

    out, seen = ask(cells(ready(41), "x = answer['ready']\nprint('still ready', x)", ready(42)), check=check)
    assert "41 is not the answer" in seen[1][-1].content
    assert "still ready False" in seen[2][-1].content, "a complaint takes ready back"
    assert "41 is not the answer" in "".join(m.content for m in seen[2]), "and stays in the window"
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == (42, 3)


def test_ready_in_a_cell_that_fails_does_not_end_the_run() -> None:
    out, _ = ask(cells(ready("early") + "\nraise ValueError('no')", ready("late")))
    assert (out["rlm"]["content"], out["rlm"]["turns"]) == ("late", 2)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("'text'", "text"),
        ("[1, {'a': None}]", [1, {"a": None}]),
        ("3.5", 3.5),
        ("{1, 2}", "{1, 2}"),
        ("2 ** 80", 2**80),
    ],
)
def test_what_json_can_hold_is_kept_anything_else_is_text(content: str, kept: Any) -> None:
    out, _ = ask(cells(f'answer["content"] = {content}\nanswer["ready"] = True'))
    assert out["rlm"]["content"] == kept


def test_large_content_survives() -> None:
    out, _ = ask(cells('answer["content"] = "가" * 1_000_000\nanswer["ready"] = True'))
    assert out["rlm"]["content"] == "가" * 1_000_000


def test_ready_without_content_is_complained_of() -> None:
    out, seen = ask(cells('answer["ready"] = True', ready("x")))
    assert "is empty" in seen[1][-1].content
    assert out["rlm"]["content"] == "x"


def test_partial_answer_when_turns_run_out() -> None:
    out, _ = ask(cells('answer["content"] = "half"', "x = 1"), budget=Budget(turns=2))
    assert (out["rlm"]["content"], out["rlm"]["ready"], out["rlm"]["stopped_by"]) == ("half", False, "turns")
    assert out["structured_response"] is None


@pytest.mark.parametrize("bound", ["tokens", "root_tokens", "seconds"])
def test_partial_answer_when_the_budget_runs_out(bound: str) -> None:
    limit = {"tokens": 10, "root_tokens": 10, "seconds": 0.001}[bound]
    out, _ = ask(cells('answer["content"] = "half"', "x = 1") * 9, budget=Budget(**{bound: limit}))  # type: ignore[arg-type]
    assert out["rlm"]["stopped_by"] == "budget"
    assert bound in out["rlm"]["raise"]
    assert out["messages"][-1].content


def test_final_message() -> None:
    out, _ = ask(cells(ready("done")), name="scout")
    message = out["messages"][-1]
    assert isinstance(message, AIMessage)
    assert (message.name, message.content) == ("scout", "done")
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] > 0
    assert message.id
