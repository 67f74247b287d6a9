"""The stand-ins play their program for real: its cells are executed, its prompts answered, in this process."""

import ast
import contextlib
import io
import random
import re
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from rlm_agent import offline
from rlm_agent.models.chat import ask, text_of, usage_of
from rlm_agent.root.fences import parse_reply


class Repl:
    """A namespace as the kernel binds it, with the sub-agent called directly; feedback is what a cell printed."""

    def __init__(self, task: str, context: Any, llm_batch: Callable[[list[str]], list[Any]] | None) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "task": task, "context": context}
        self.names["answer"] = {"content": "", "ready": False}
        self.calls = 0
        if llm_batch is not None:
            self.names["llm_batch"] = self.counted(llm_batch)

    def counted(self, llm_batch: Callable[[list[str]], list[Any]]) -> Callable[[list[str]], list[Any]]:
        def call(prompts: list[str]) -> list[Any]:
            self.calls += len(prompts)
            return llm_batch(prompts)

        return call

    def run(self, reply: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            for block in parse_reply(reply).blocks:
                try:
                    exec(compile(block, "<cell>", "exec"), self.names)
                except RuntimeError as error:  # what the tests let a cell fail with; feedback, as in the kernel
                    return f"{printed.getvalue()}\nTraceback ...\n{type(error).__name__}: {error}"
        return printed.getvalue()


def quoted(prompts: list[str]) -> list[Any]:
    sub = offline.sub_model()
    return [text_of(sub.invoke(prompt)) for prompt in prompts]


def play(task: str, context: Any, llm_batch: Any = quoted, turns: int = 6) -> tuple[dict[str, Any], Repl, list[str]]:
    """The answer, the namespace and what the root read of each turn."""
    repl, root = Repl(task, context, llm_batch), offline.root_model()
    messages: list[BaseMessage] = [SystemMessage("system"), HumanMessage(task)]
    seen = []
    while not repl.names["answer"]["ready"] and len(seen) < turns:
        reply = text_of(root.invoke(messages))
        assert offline.NOTICE in reply
        seen.append(repl.run(reply))
        messages += [AIMessage(reply), HumanMessage(seen[-1])]
    return repl.names["answer"], repl, seen


@pytest.fixture(scope="module")
def library() -> dict[str, str]:
    """Python's own sources, without tests and installed packages: path -> text."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = re.compile(r"(^|/)(site-packages|tests?|idlelib|lib2to3)/")
    paths = [p for p in root.rglob("*.py") if not left_out.search(p.relative_to(root).as_posix())]
    return {p.relative_to(root).as_posix(): p.read_text(errors="replace") for p in sorted(paths)}


def test_a_class_is_located_in_three_turns_without_noise(library: dict[str, str]) -> None:
    answer, repl, seen = play("Which module defines the class ThreadPoolExecutor?", library)
    assert answer["content"].startswith("concurrent/futures/thread.py:")
    assert "class ThreadPoolExecutor(_base.Executor):" in answer["content"]
    assert offline.NOTICE in answer["content"]
    assert 1 <= repl.calls <= 6
    assert len(seen) == 3
    assert all("%|" not in text for text in seen)


@pytest.mark.slow
def test_thirty_drawn_definitions_are_located_in_little_time(library: dict[str, str]) -> None:
    modules: dict[tuple[str, str], set[str]] = {}
    for path, text in library.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                modules.setdefault((kind, node.name), set()).add(path)
    drawn = random.Random(7).sample(sorted(modules), 30)
    task = "\n".join(f"Which module defines the {kind} {name}?" for kind, name in drawn)
    started = time.monotonic()
    answer, repl, _ = play(task, library)
    assert time.monotonic() - started < 15
    lines = answer["content"].split("\n")
    paths = [re.sub(r"^\d+\. \w+: ", "", line).split(":")[0] for line in lines[:30]]
    located = sum(path in modules[key] for path, key in zip(paths, drawn, strict=True))
    assert located >= 27
    assert repl.calls <= 240


def test_one_text_that_joins_files_under_headers(library: dict[str, str]) -> None:
    text = "".join(f"=== {path} ===\n{source}\n" for path, source in library.items())
    answer, _, _ = play("Which module defines the class ThreadPoolExecutor?", text)
    line = library["concurrent/futures/thread.py"].split("\n").index("class ThreadPoolExecutor(_base.Executor):") + 1
    assert answer["content"].startswith(f"concurrent/futures/thread.py:{line}: ")


def test_korean_text_and_a_question_of_words() -> None:
    text = "잡담이 이어진다.\n" * 5000 + "울산은 마법 숫자가 4821이다.\n" + "잡담이 이어진다.\n" * 500
    answer, _, _ = play("울산의 마법 숫자는 무엇입니까?", text)
    assert answer["content"].startswith("context:5001: 울산은 마법 숫자가 4821이다.")


def test_a_list_and_values_that_are_no_text() -> None:
    answer, _, _ = play("Which record mentions zeta_9?", [{"id": 1}, {"id": "zeta_9", "말": "네"}, 3])
    assert answer["content"].startswith('context[1]:1: {"id": "zeta_9", "말": "네"}')


def test_one_line_without_breaks_is_cut_in_parts() -> None:
    text = "filler " * 50_000 + "the vault_code is 9917 " + "filler " * 50_000
    answer, repl, _ = play("What is the vault_code?", text)
    assert "vault_code" in answer["content"]
    assert repl.calls <= 2


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("How many functions are there?", "Not answered, since it is no lookup question: How many"),
        ("Hello", "nothing located for: Hello"),
        ("Which module defines the class NoSuchThingAnywhere?", "nothing located for: Which module"),
        ("", "names nothing that could be looked up"),
    ],
)
def test_what_it_cannot_do_is_said(task: str, says: str) -> None:
    answer, repl, _ = play(task, {"a.py": "class A:\n    pass\n"})
    assert says in answer["content"]
    assert offline.NOTICE in answer["content"]
    assert repl.calls == 0


def test_no_input_at_all() -> None:
    assert "nothing located" in play("Where is alpha_beta?", None)[0]["content"]


def test_a_mention_is_not_sold_as_a_definition() -> None:
    answer, _, _ = play("Which module defines the class Gone?", {"a.py": "x = 1\n# class Gone was here\n"})
    assert answer["content"].startswith("a.py:2: # class Gone was here (a mention; no definition was found)")


def test_tests_and_vendored_copies_come_after_the_real_one() -> None:
    paths = ("lib/tests/a.py", "site-packages/a.py", "test_a.py", "z.py")
    answer, _, _ = play("Which module defines the class Alpha?", dict.fromkeys(paths, "class Alpha:\n"))
    assert answer["content"].startswith("z.py:1: class Alpha: (also ")


def test_a_mention_is_found_among_many_longer_names() -> None:
    text = "".join(f"pooled_{i} = 1\n" for i in range(5000)) + "the pool is warm\n"
    assert play('Which line says "pool"?', {"a.py": text})[0]["content"].startswith("a.py:5001: the pool is warm")


def test_without_sub_agents_the_lines_are_picked_in_the_repl(library: dict[str, str]) -> None:
    answer, _, _ = play("Which module defines the class ThreadPoolExecutor?", library, llm_batch=None)
    assert answer["content"].startswith("concurrent/futures/thread.py:")


def test_a_quote_that_does_not_stand_in_its_source_is_dropped() -> None:
    def invents(prompts: list[str]) -> list[Any]:
        return ["a.py:1: class Alpha(Invented):" for _ in prompts]

    answer, _, _ = play("Which module defines the class Alpha?", {"a.py": "class Alpha:\n"}, invents)
    assert "nothing located" in answer["content"]


def test_failed_sub_calls_are_counted_in_the_answer() -> None:
    class Failed(str):
        ok = False

    answer, _, _ = play(
        "Which module defines the class Alpha?", {"a.py": "class Alpha:\n"}, lambda ps: [Failed() for _ in ps]
    )
    assert "1 sub-calls failed" in answer["content"]


def test_a_cell_that_fails_ends_the_run_honestly() -> None:
    def exceeds(prompts: list[str]) -> list[Any]:
        raise RuntimeError("the budget holds 0 of 6 calls")

    answer, _, seen = play("Which module defines the class Alpha?", {"a.py": "class Alpha:\n"}, exceeds)
    assert answer["content"].startswith("The program failed, so nothing was looked up: RuntimeError: the budget holds")
    assert len(seen) == 3


def test_a_complaint_about_the_answer_is_met_with_words_only() -> None:
    root, task = offline.root_model(), HumanMessage("Where is alpha_beta?")
    done = [AIMessage("```python\nx\n```"), HumanMessage("[offline 3/3] the answer is set\nComplaint: no JSON")]
    reply = root.invoke([task, *done])
    assert parse_reply(text_of(reply)).blocks == ()
    again = root.invoke([task, *done, reply, HumanMessage("No code was found.")])
    assert parse_reply(text_of(again)).blocks == ()


def test_only_small_values_stay_in_the_namespace(library: dict[str, str]) -> None:
    _, repl, _ = play("Which module defines the class ThreadPoolExecutor?", library)
    sizes = {name: len(repr(value)) for name, value in repl.names.items() if name not in ("context", "__builtins__")}
    assert max(sizes.values()) < 20_000


def test_the_sub_agent_quotes_lines_of_any_prompt() -> None:
    prompt = "Read this.\nAlice lives in Rome.\nBob lives in Paris.\nWhere does Bob live?"
    reply = text_of(offline.sub_model().invoke(prompt))
    assert reply == f"prompt:3: Bob lives in Paris.\n({offline.NOTICE})"
    assert text_of(offline.sub_model().invoke("hi")) == f"NONE\n({offline.NOTICE})"


async def test_usage_is_counted_and_costs_nothing() -> None:
    model = offline.sub_model()
    use = usage_of(await ask(model, [HumanMessage("Where is Bob?\nBob is here.")]), model)
    assert use.input_tokens > 0
    assert use.output_tokens > 0
    assert use.usd == 0.0
    assert text_of(await ask(model, [HumanMessage("x")], tools=[len])).startswith("NONE")
