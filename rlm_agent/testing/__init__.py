"""Test doubles for code that uses `rlm_agent`: a model that follows a script, and its durable call log."""

from rlm_agent.testing.call_log import Call, read_calls
from rlm_agent.testing.scripted_model import Reply, ScriptedModel, ScriptExhausted

__all__ = ["Call", "Reply", "ScriptExhausted", "ScriptedModel", "read_calls"]
