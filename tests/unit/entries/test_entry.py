"""Who entered, read from LangGraph's config."""

from typing import Any

import pytest

from rlm_agent.entries.admission import check_secrets
from rlm_agent.entries.entry import agent_path, read_entry
from rlm_agent.errors import ConfigError


def test_standalone() -> None:
    entry = read_entry({"configurable": {"thread_id": 7}}, None, object())
    assert (entry.thread, entry.embedded, entry.durable, entry.checkpoint, entry.task) == ("7", False, True, False, "")


def test_without_anything() -> None:
    entry = read_entry(None, None, None)
    assert (entry.thread, entry.embedded, entry.durable) == (None, False, False)


def test_an_older_checkpoint() -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_id": "c"}}
    assert read_entry(config, None, object()).checkpoint is True


def test_as_a_task_of_a_parent() -> None:
    config: Any = {
        "configurable": {"thread_id": "t", "__pregel_task_id": "x", "checkpoint_ns": "a:1", "checkpoint_id": "c"},
        "metadata": {"langgraph_step": 3, "langgraph_path": ("__pregel_pull", "research")},
    }
    entry = read_entry(config, None, True)
    assert (entry.embedded, entry.persistent, entry.checkpoint) == (True, True, False)
    assert entry.task == "3:__pregel_pull/research"


def test_an_own_config_is_under_the_callers() -> None:
    entry = read_entry({"configurable": {}}, {"configurable": {"thread_id": "bound"}}, None)
    assert entry.thread == "bound"


def test_the_agent_path_has_no_task_ids_but_keeps_numbers() -> None:
    assert agent_path("prepare:1-2-3") == ""
    assert agent_path("outer:aa|rlm:bb|prepare:cc") == "outer|rlm"
    assert agent_path("tools:aa|1|prepare:cc") == "tools|1"


@pytest.mark.parametrize("name", ["openai_api_key", "CLIENT_SECRET", "db_password", "access_token"])
def test_secrets_are_refused_standalone_and_warned_of_embedded(name: str) -> None:
    config: Any = {"configurable": {name: "s"}}
    with pytest.raises(ConfigError, match=name):
        check_secrets(config, embedded=False)
    with pytest.warns(UserWarning, match="rotate"):
        check_secrets(config, embedded=True)


@pytest.mark.parametrize("name", ["thread_id", "langgraph_auth_api_key", "__secret", "x-api_key", "model"])
def test_other_names_pass(name: str) -> None:
    check_secrets({"configurable": {name: "s"}}, embedded=False)
