"""Strategies: which names there are, how a misspelt one is told from a text, where they stand in the prompt.

`RLM_UPDATE_SNAPSHOTS=1 pytest tests/unit/test_tips.py` writes the snapshots anew; read the difference then.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import ConfigError, create_rlm_agent
from rlm_agent.root.prompt import system_prompt
from rlm_agent.root.tips import tip, tip_names, tip_texts

SNAPSHOTS = Path(__file__).parent.parent / "snapshots" / "tips"
NAMES = [
    "chunk-and-map",
    "classify-once-then-count-in-code",
    "draft-check-fix",
    "research-with-cited-sources",
    "search-then-read",
]


def prompt(**options: Any) -> str:
    return system_prompt(create_rlm_agent("offline", **options).spec, None)


def test_the_names() -> None:
    assert tip_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_wording_is_the_one_that_was_reviewed(name: str) -> None:
    file, text = SNAPSHOTS / f"{name}.txt", tip(name) + "\n"
    if os.environ.get("RLM_UPDATE_SNAPSHOTS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")
    assert len(text) < 2300
    assert text.startswith("# Strategy: ")


def test_none_is_on_by_default() -> None:
    assert "Strategy" not in prompt()


def test_tips_stand_in_their_order_before_the_system_prompt() -> None:
    text = prompt(
        tips=["search-then-read", "먼저 목차를 보십시오.", "chunk-and-map"], system_prompt="Answer in Korean."
    )
    places = [text.index(part) for part in ("search, then read", "먼저 목차를", "chunk and map", "Answer in Korean.")]
    assert places == sorted(places)
    assert text.startswith(prompt())


def test_the_general_prompt_tells_packages_limits_and_budget() -> None:
    from rlm_agent import Budget, Limits

    text = prompt(budget=Budget(usd=2.5, tokens=70_000), limits=Limits(cell_seconds=77, output_chars=4321))
    for told in ("`np` (`numpy`), `scipy`, `sympy`", "77 seconds", "4321 characters", "tokens 70000", "usd 2.5"):
        assert told in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["chunk_and_map"], "Did you mean 'chunk-and-map'?"),
        (["chunk-and-mop"], "Names: chunk-and-map, classify-once"),
        (["한국어로"], "system_prompt"),
        ("chunk-and-map", "give a list"),
        ([3], "neither a name nor a text"),
        ([" "], "neither a name nor a text"),
        (["chunk-and-map", "chunk-and-map"], "twice"),
        (["../system"], "no strategy is named"),
    ],
)
def test_what_is_no_tip_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tip_texts(given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tip_that_asks_sub_agents_needs_them() -> None:
    with pytest.raises(ConfigError, match="max_depth=0"):
        create_rlm_agent("offline", tips=["chunk-and-map"], max_depth=0)
    assert "Look twice." in prompt(tips=["Look twice."], max_depth=0)
