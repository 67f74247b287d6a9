"""The prompts: strict rendering, and their wording held by snapshots.

`RLM_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_prompts.py` writes the snapshots anew; read the difference then.
"""

import os
from importlib import resources
from pathlib import Path

import pytest

from rlm_agent.prompts import render
from rlm_agent.root.window import estimate_tokens

SNAPSHOTS = Path(__file__).parent / "snapshots"
ROOT: dict[str, object] = {
    "output_chars": 8192,
    "cell_seconds": 120,
    "context_line": "a str of 17600000 characters",
    "budget_line": "turns 50, sub_calls 2000",
    "format_section": "",
    "functions_section": "",
    "guidance": "",
    "reply_form": render("reply_fences"),
}
SUB_AGENTS: dict[str, object] = {
    "concurrency": 32,
    "tools_line": "none",
    "children_line": "",
    "children_section": "",
}
CHILDREN = {name: render(name) for name in ("children_line", "children_section")}
FULL = {
    "format_section": 'answer["content"] must match this JSON schema:\n{"type": "object"}',
    "functions_section": "Host functions bound in the REPL:\n- `lookup(name: str) -> str` Finds a customer.",
    "guidance": "답은 한국어로. Costs are in $, never in ${currency}.",
}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "system": ("system", ROOT | SUB_AGENTS),
    "system_full": ("system", ROOT | SUB_AGENTS | FULL),
    "system_children": ("system", ROOT | SUB_AGENTS | CHILDREN),
    "children_line": ("children_line", {}),
    "children_section": ("children_section", {}),
    "system_no_sub_calls": ("system_no_sub_calls", ROOT),
    "complaint": ("complaint", {"complaint": "한 줄만\nonly one line"}),
    "repair": ("repair", {"problem": "$.n: '셋' is not of type 'integer'"}),
    "schema": ("schema", {"schema": '{"type": "string"}'}),
    "sub_agent": ("sub_agent", {"sub_turns": 8}),
    "system_tool": ("system", ROOT | SUB_AGENTS | {"reply_form": render("reply_tool")}),
    "reminder": ("reminder", {}),
    "reminder_cut": ("reminder_cut", {}),
    "reply_fences": ("reply_fences", {}),
    "reply_tool": ("reply_tool", {}),
    "last_turn": ("last_turn", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_wording_is_the_one_that_was_reviewed(case: str) -> None:
    name, values = CASES[case]
    text = render(name, **values) + "\n"
    file = SNAPSHOTS / f"{case}.md"
    if os.environ.get("RLM_UPDATE_SNAPSHOTS"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")


def test_every_prompt_has_a_snapshot() -> None:
    files = {Path(f.name).stem for f in resources.files("rlm_agent.prompts").iterdir() if f.name.endswith(".md")}
    assert {name for name in files if not name.startswith("part_")} == {name for name, _ in CASES.values()}


def test_the_root_prompt_is_short() -> None:
    text = render("system", **ROOT, **SUB_AGENTS)
    assert len(text.split()) <= 900
    assert estimate_tokens(text) <= 1800


def test_values_are_plain_text_and_empty_ones_leave_no_gap() -> None:
    full, bare = render("system", **(ROOT | SUB_AGENTS | FULL)), render("system", **ROOT, **SUB_AGENTS)
    assert full.endswith("답은 한국어로. Costs are in $, never in ${currency}.")
    assert "\n\n\n" not in bare
    assert not bare.endswith("\n")


def test_a_missing_or_unused_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'complaint': missing values \['complaint'\], unused values \[\]"):
        render("complaint")
    with pytest.raises(ValueError, match=r"missing values \[\], unused values \['extra'\]"):
        render("reminder", extra=1)
    with pytest.raises(FileNotFoundError):
        render("nonesuch")


def test_without_sub_calls_no_sub_call_is_named() -> None:
    text = render("system_no_sub_calls", **ROOT)
    assert not [name for name in ("llm_batch", "llm(", "LLMResult", "sub-agents,") if name in text]
