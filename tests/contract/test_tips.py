"""The code of each strategy does what its text says: run in the REPL, with sub-agents that follow a script."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from rlm_agent import create_rlm_agent
from rlm_agent.repl.kernel import CellDone, CellPaused
from rlm_agent.root.tips import tip, tip_names
from rlm_agent.testing import ScriptedModel

Sub = Callable[[str], Any]


def code_of(name: str, **fill: str) -> str:
    """A strategy's code, with its gaps filled in: each key stands exactly once in it."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", tip(name), re.M | re.S)
    for gap, value in fill.items():
        assert code.count(gap) == 1, gap
        code = code.replace(gap, value)
    return str(code)


def outcome(code: str, result: str, sub: Sub, context: Any) -> tuple[Any, int]:
    """What the expression `result` is after the code ran, and how many sub-calls that took."""
    end = f'answer["content"] = [{result}]\nanswer["ready"] = True'
    cells = [f"```python\n{code}\n```", f"```python\n{end}\n```"]
    asked = ScriptedModel(replies=lambda messages: sub(messages[-1].text))
    agent = create_rlm_agent(ScriptedModel(replies=cells), sub_model=asked)
    out = agent.invoke({"messages": [("user", "누가 무엇을 합니까?")], "context": context})
    assert out["rlm"]["ready"] is True, out["rlm"]
    return out["rlm"]["content"][0], asked.calls


def test_every_strategy_has_one_block_of_code_that_parses() -> None:
    for name in tip_names():
        compile(code_of(name), name, "exec")


def test_chunk_and_map_reads_every_piece_and_asks_again_for_what_failed() -> None:
    paragraphs = [f"제 {n} 항. 공급자 S{n}." + " 채움" * 20 for n in range(40)]
    refused: set[str] = set()

    def sub(prompt: str) -> Any:
        piece = prompt.partition(":\n")[2]
        number = re.search(r"Part (\d+) of", prompt)
        assert number is not None
        if number[1] == "4" or (number[1] == "2" and not refused):
            refused.add(number[1])
            return RuntimeError("비었음")
        return "\n".join(re.findall(r"S\d+", piece)) or "NONE"

    code = code_of("chunk-and-map", **{"size=40_000": "size=500"})
    result = "[sorted(lines), failed, len(pieces), ''.join(pieces) == context]"
    found, calls = outcome(code, result, sub, "\n\n".join(paragraphs))
    lines, failed, pieces, whole = found
    lost = {f"S{n}" for n in range(40)} - set(lines)
    assert whole is True
    assert failed == [3]
    assert 0 < len(lost) < 10
    assert len(lines) + len(lost) == 40
    assert calls == pieces + len({"2", "4"})


def test_classify_counts_every_item_once() -> None:
    items = [f"item {n}: {('사과', '배', '???')[n % 3]}" for n in range(47)]

    def sub(prompt: str) -> Any:
        rows = [json.loads(line) for line in prompt.splitlines() if line.startswith("{")]
        numbers = [row["n"] for row in rows]
        if numbers == [*range(20, 40)]:
            return "no JSON"
        kinds = {"사과": "apple", "배": "pear"}
        labelled = [{"n": row["n"], "class": kinds.get(row["item"][-2:].strip(), "other")} for row in rows]
        return json.dumps([*labelled[1:], {"n": 10_000, "class": "apple"}] if numbers == [*range(20)] else labelled)

    code = code_of("classify-once-then-count-in-code", **{'["...", "...", "other"]': '["apple", "pear", "other"]'})
    found, calls = outcome(code, "[dict(counts), len(labels), sorted(labels)[-1]]", sub, "\n".join(items))
    assert found == [{"apple": 16, "pear": 16, "other": 15}, 47, 46]
    assert calls == 3 + 1 + 2  # one reply was repaired in vain; 21 items were left after the first round


def test_search_then_read_keeps_only_quotes_that_are_there() -> None:
    filler = "nothing of note here. " * 400
    context = {
        "a.txt": filler + "The harbour opened in 1911." + filler,
        "b.txt": filler + "HARBOUR: see the annex." + filler,
        "c.txt": filler,
    }

    def sub(prompt: str) -> Any:
        if "1911" in prompt:
            return json.dumps({"answer": "1911", "quote": "The harbour\nopened in 1911."})
        return json.dumps({"answer": "1999", "quote": "The harbour opened in 1999."})

    code = code_of("search-then-read", **{'words = ["...", "..."]': 'words = ["harbour", "opened"]'})
    found, calls = outcome(code, "[kept, [f[2] for f in ranked]]", sub, context)
    assert found == [[["1911", "The harbour\nopened in 1911.", "a.txt"]], ["a.txt", "b.txt"]]
    assert calls == 2


def test_draft_check_fix_mends_what_is_found_and_stops() -> None:
    def sub(prompt: str) -> Any:
        draft = prompt.partition("Draft:\n")[2].partition("\n\nMaterial:")[0]
        if prompt.startswith("Mend"):
            return draft.replace("1999", "1911")
        wrong = [{"wrong": "1999", "instead": "1911"}] if "1999" in draft and prompt.startswith("Which st") else []
        return json.dumps(wrong)

    fill = {'material = "..."': 'material = "항구는 1911년에 열렸다."', 'improve("..."': 'improve("Opened in 1999."'}
    found, calls = outcome(code_of("draft-check-fix", **fill), "[draft, left, failed]", sub, None)
    assert found == ["Opened in 1911.", [], []]
    assert calls == 2 + 1 + 2


def test_draft_check_fix_says_which_check_failed_and_what_is_left() -> None:
    def sub(prompt: str) -> Any:
        if prompt.startswith("Which part"):
            return RuntimeError("비었음")
        return "same" if prompt.startswith("Mend") else json.dumps([{"wrong": "same", "instead": "?"}])

    fill = {'material = "..."': 'material = "m"', 'improve("..."': 'improve("same"'}
    found, _ = outcome(code_of("draft-check-fix", **fill), "[draft, left, len(failed)]", sub, None)
    assert found == ["same", [{"wrong": "same", "instead": "?"}], 1]


def test_research_leaves_open_what_no_tool_has_opened() -> None:
    def sub(prompt: str) -> Any:
        return json.dumps([{"claim": "c", "source": "https://x.test/", "quote": "q"}])

    code = code_of("research-with-cited-sources", **{'research(["...", "..."])': 'research(["one", "two"])'})
    found, calls = outcome(code, "[confirmed, len(open_points)]", sub, None)
    assert found == [[], 2]
    assert calls == 2


async def test_research_cites_what_was_opened_by_number(repl: Any) -> None:
    code = code_of("research-with-cited-sources", **{'research(["...", "..."])': 'research(["하나", "둘", "셋"])'})
    paused = await repl.execute(code)
    assert isinstance(paused, CellPaused)
    (request,) = paused.requests
    page = {"url": "https://x.test/1", "title": "첫 쪽", "sha256": "0" * 64}
    rows = [
        {"claim": "A", "source": "https://x.test/1", "quote": "a"},
        {"claim": "B", "source": "https://x.test/2", "quote": "b"},
    ]
    slot = {"text": "", "ok": True, "error": None, "data": rows, "sources": [page], "usage": {}}
    file = {**slot, "data": [{"claim": "C", "source": "n.md", "quote": "c"}], "sources": [{"path": "n.md"}]}
    failed = {**slot, "ok": False, "error": "시간 초과", "data": None, "sources": []}
    done = await repl.answer({request.id: [slot, file, failed]})
    assert isinstance(done, CellDone)
    assert done.error is None
    assert "2 claims from 2 sources; open: [('셋', '시간 초과'), ('B', 'not read at https://x.test/2')]" in done.output
    shown = await repl.shown('print(answer["content"])')
    assert shown == "A [1]\nC [2]\n\n[1] 첫 쪽, https://x.test/1\n[2] n.md, n.md\n"


@pytest.mark.parametrize("name", tip_names())
def test_no_strategy_names_what_the_repl_does_not_have(name: str) -> None:
    assert set(re.findall(r"\b(llm_batch|llm|rlm_batch|rlm|ask_human)\(", code_of(name))) <= {"llm_batch", "llm"}
