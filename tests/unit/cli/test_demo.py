"""The demo's parts: two ways to count agree, the script adds up, names are drawn by the seed."""

import io
import sysconfig
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlm_agent.cli.demo_corpus import Library, Truth, _Survey, draw
from rlm_agent.cli.demo_models import cells, count, root_reply, sub_reply
from rlm_agent.cli.demo_processes import child
from rlm_agent.errors import RLMError

NAMES = ["abc.py", "enum.py", "json/__init__.py", "json/decoder.py", "asyncio/locks.py", "asyncio/queues.py"]


@pytest.fixture(scope="module")
def surveyed() -> tuple[Library, Truth]:
    survey, root = _Survey(), Path(sysconfig.get_path("stdlib"))
    for name in NAMES:
        survey.add(name, root / name)
    return Library(survey.files, 0), survey.truth()


def test_the_tokenizer_and_the_parser_count_the_same(surveyed: tuple[Library, Truth]) -> None:
    library, truth = surveyed
    found = count("A task.\n\n" + library.text)
    assert found == {key: sum(counts[key] for counts in truth.counts.values()) for key in found}
    assert found["files"] == len(NAMES)
    assert min(found.values()) > 0


def test_the_script_adds_up_what_its_sub_agents_say(surveyed: tuple[Library, Truth]) -> None:
    library, truth = surveyed

    def llm_batch(prompts: list[str], schema: Any) -> list[Any]:
        return [SimpleNamespace(ok=True, error=None, data=count(prompt)) for prompt in prompts]

    names: dict[str, Any] = {"context": library.text, "answer": {}, "llm_batch": llm_batch}
    with redirect_stdout(io.StringIO()):
        for cell in cells():
            exec(cell, names)
    assert names["answer"] == {"content": dict(truth.counts), "ready": True}


def test_what_no_parser_reads_is_left_out(tmp_path: Path) -> None:
    survey = _Survey()
    for name, text in {
        "bad.py": "def (",
        "large.py": "x = 1\n" * 60_000,
        "marked.py": '"""\n=== a.py ===\n"""\n',
    }.items():
        (tmp_path / name).write_text(text)
        survey.add(name, tmp_path / name)
    (tmp_path / "good.py").write_text("class A: pass")
    survey.add("good.py", tmp_path / "good.py")
    assert survey.files == {"good.py": "class A: pass\n"}


def test_names_are_drawn_by_the_seed_from_those_defined_once(surveyed: tuple[Library, Truth]) -> None:
    truth = surveyed[1]
    assert draw(truth, 5, 1) == draw(truth, 5, 1) != draw(truth, 5, 2)
    once = {definition.name: definition for definition in truth.once}
    assert len(once) == len(truth.once)
    assert (once["JSONDecoder"].path, once["JSONDecoder"].kind) == ("json/decoder.py", "class")
    assert once["JSONDecoder"].question == "Which module defines the class `JSONDecoder`?"


def test_the_root_knows_its_turn_from_its_prompt() -> None:
    prompt = [SimpleNamespace(type="system"), SimpleNamespace(type="human")]
    assert cells()[0] in root_reply(prompt)
    assert cells()[1] in root_reply([*prompt, SimpleNamespace(type="ai"), SimpleNamespace(type="human")])
    assert sub_reply([SimpleNamespace(text="=== a.py ===\nclass A: pass\n")]).startswith('{"files": 1, "lines": 1')


def test_a_part_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    with (
        child("locate", tmp_path) as process,
        pytest.raises(RLMError, match=r"'locate' ended with code 1: .*task\.txt"),
    ):
        process.outcome()
