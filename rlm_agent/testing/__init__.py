"""For tests of code that uses `rlm_agent`: a model that follows a script, its durable call log, checks of tool plugins.

`ToolPluginTests` is loaded when it is first used: it needs the extra `test`, which the others do not.
"""

from typing import TYPE_CHECKING, Any

from rlm_agent.testing.call_log import Call, read_calls
from rlm_agent.testing.scripted_model import Reply, ScriptedModel, ScriptExhausted

if TYPE_CHECKING:
    from rlm_agent.testing.tool_plugin_tests import ToolPluginTests

__all__ = ["Call", "Reply", "ScriptExhausted", "ScriptedModel", "ToolPluginTests", "read_calls"]


def __getattr__(name: str) -> Any:
    if name != "ToolPluginTests":
        raise AttributeError(f"module 'rlm_agent.testing' has no attribute {name!r}")
    try:
        from rlm_agent.testing.tool_plugin_tests import ToolPluginTests
    except ModuleNotFoundError as error:
        raise ImportError(
            f"ToolPluginTests needs {error.name}, which is not installed: pip install 'langgraph-rlm[test]'"
        ) from error
    return ToolPluginTests
