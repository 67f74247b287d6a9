"""The environment is read when asked, in one place."""

from pathlib import Path

import pytest

from rlm_agent import environment


def test_home_is_the_variable_or_the_platforms_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_HOME", "~/mine")
    assert environment.rlm_home() == Path.home() / "mine"
    for unset in (lambda: monkeypatch.setenv("RLM_HOME", ""), lambda: monkeypatch.delenv("RLM_HOME")):
        unset()
        assert environment.rlm_home().name == "rlm"
        assert environment.rlm_home().is_absolute()


def test_model_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert (environment.rlm_model(), environment.no_color()) == (None, False)
    monkeypatch.setenv("RLM_MODEL", "openai:gpt-5")
    monkeypatch.setenv("NO_COLOR", "1")
    assert (environment.rlm_model(), environment.no_color()) == ("openai:gpt-5", True)
    monkeypatch.setenv("NO_COLOR", "")
    assert not environment.no_color()


@pytest.mark.parametrize(("value", "allowed"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_leave_to_run_without_a_sandbox(monkeypatch: pytest.MonkeyPatch, value: str | None, allowed: bool) -> None:
    monkeypatch.delenv("RLM_ALLOW_UNSANDBOXED", raising=False)
    if value is not None:
        monkeypatch.setenv("RLM_ALLOW_UNSANDBOXED", value)
    assert environment.allow_unsandboxed() is allowed
