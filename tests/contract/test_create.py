"""`create_rlm_agent`: what an option that cannot work says, and that its defaults are always accepted."""

from pathlib import Path
from typing import Any

import pytest

from rlm_agent import Budget, ConfigError, Home, Limits, create_rlm_agent
from rlm_agent.testing import ScriptedModel

READY = '```python\nanswer["content"] = "ok"\nanswer["ready"] = True\n```'


def model() -> ScriptedModel:
    return ScriptedModel(replies=lambda _: READY)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tips": ["chunk-and-mop"]}, "'chunk-and-mop'"),
        ({"interrupt_on": {"nonesuch": True}}, "'nonesuch'"),
        ({"max_depth": True}, "max_depth=True"),
        ({"max_depth": "2"}, "max_depth='2'"),
        ({"max_depth": -1}, "max_depth=-1"),
        ({"code_via": "smoke"}, "code_via"),
        ({"kernel": "docker"}, "kernel='docker'"),
        ({"tools": ["nonesuch"]}, "'nonesuch'"),
        ({"tools": [3]}, "tools"),
        ({"name": "a|b"}, "name"),
        ({"input_key": "rlm_head"}, "input_key"),
        ({"repl_functions": [print, print]}, "'print'"),
        ({"response_format": 3}, "response_format"),
        ({"model": "nonesuch:model"}, "nonesuch"),
    ],
)
def test_an_option_that_cannot_work_names_itself(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_rlm_agent(options.pop("model", model()), **options)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_default_is_accepted() -> None:
    agent = create_rlm_agent(
        model(),
        (),
        sub_model=None,
        models=None,
        system_prompt=None,
        tips=(),
        repl_functions=(),
        sub_middleware=(),
        response_format=None,
        check=None,
        budget=None,
        limits=None,
        kernel="process",
        home=None,
        max_depth=1,
        interrupt_on=None,
        input_key="context",
        code_via="auto",
        checkpointer=None,
        store=None,
        cache=None,
        context_schema=None,
        name="rlm",
        debug=False,
    )
    assert agent.invoke({"messages": [("user", "q")]})["rlm"]["content"] == "ok"


@pytest.mark.parametrize("limits", [{"sandbox": "maybe"}, {"concurrency": 0}, {"window_tokens": 10}])
def test_limits_are_checked(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Limits(**limits)


def test_budget_is_checked() -> None:
    with pytest.raises(ConfigError, match="usd"):
        Budget(usd=-1)


@pytest.mark.parametrize("value", [7, 3.5, b"bytes", object()])
def test_a_context_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="input_key"):
        create_rlm_agent(model()).invoke({"messages": [("user", "q")], "context": value})


def test_a_large_raw_context_names_corpus_load() -> None:
    with pytest.raises(ConfigError, match=r"Corpus\.load"):
        create_rlm_agent(model()).invoke({"messages": [("user", "q")], "context": "x" * 1_000_001})


def test_nothing_asked_is_refused() -> None:
    with pytest.raises(ConfigError, match="human message"):
        create_rlm_agent(model()).invoke({"messages": []})


def test_a_secret_in_configurable_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    agent = create_rlm_agent(model(), home=home)
    config: Any = {"configurable": {"thread_id": "t", "openai_api_key": "sk"}}
    with pytest.raises(ConfigError, match="openai_api_key"):
        agent.invoke({"messages": [("user", "q")]}, config)
    assert not (tmp_path / "h").exists()


def test_a_sync_call_on_the_loop_thread_is_refused() -> None:
    inner = create_rlm_agent(model())

    async def nested() -> str:
        return str(inner.invoke({"messages": [("user", "q")]}))

    code = "try:\n    nested()\nexcept Exception as e:\n    answer['content'] = str(e)\nanswer['ready'] = True"
    cell = f"```python\n{code}\n```"
    agent = create_rlm_agent(ScriptedModel(replies=lambda _: cell), repl_functions=[nested])
    assert "ainvoke" in agent.invoke({"messages": [("user", "q")]})["rlm"]["content"]


def test_with_config_keeps_the_agent_whole() -> None:
    agent = create_rlm_agent(model()).with_config(tags=["mine"])
    assert agent.invoke({"messages": [("user", "q")]})["rlm"]["ready"] is True


def test_update_state_takes_messages_only(tmp_path: Path) -> None:
    with Home(tmp_path / "h") as home:
        agent = create_rlm_agent(model(), home=home, checkpointer=home.checkpointer)
        config: Any = {"configurable": {"thread_id": "t"}}
        agent.invoke({"messages": [("user", "q")]}, config)
        with pytest.raises(ConfigError, match="rlm_head"):
            agent.update_state(config, {"rlm_head": "x"})
        agent.update_state(config, {"messages": [("user", "more")]})
