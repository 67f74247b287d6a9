"""The one place where environment variables are read; each at the moment it is asked for, none at import."""

import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs

__all__ = [
    "allow_unsandboxed",
    "crash_point",
    "debug",
    "known_keys",
    "no_color",
    "passed_on",
    "rlm_home",
    "rlm_key",
    "rlm_key_file",
    "rlm_model",
    "tavily_key",
]

_KEYS = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "GOOGLE_API_KEY",
    "MISTRAL_API_KEY",
    "GROQ_API_KEY",
    "OPENROUTER_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "TAVILY_API_KEY",
)


def rlm_home() -> Path:
    """Where the durable home is: `$RLM_HOME`, else the platform's user data directory."""
    named = os.environ.get("RLM_HOME")
    return Path(named).expanduser() if named else platformdirs.user_data_path("rlm", appauthor=False)


def rlm_key() -> bytes | None:
    """What snapshots are signed with: `$RLM_KEY`, any text."""
    given = os.environb.get(b"RLM_KEY")
    return given or None


def rlm_key_file() -> Path | None:
    """A file that holds what snapshots are signed with: `$RLM_KEY_FILE`."""
    named = os.environ.get("RLM_KEY_FILE")
    return Path(named).expanduser() if named else None


def rlm_model() -> str | None:
    """The model that the command line uses where none is named: `$RLM_MODEL`."""
    return os.environ.get("RLM_MODEL") or None


def allow_unsandboxed() -> bool:
    """Whether cells may run where no isolation is to be had: `$RLM_ALLOW_UNSANDBOXED` set and neither empty nor 0."""
    return os.environ.get("RLM_ALLOW_UNSANDBOXED", "") not in ("", "0")


def no_color() -> bool:
    """Whether output must be plain (https://no-color.org: set and not empty)."""
    return bool(os.environ.get("NO_COLOR"))


def debug() -> bool:
    """Whether the command line shows tracebacks: `$RLM_DEBUG` set and neither empty nor 0."""
    return os.environ.get("RLM_DEBUG", "") not in ("", "0")


def crash_point() -> str | None:
    """Where a test lets the process kill itself, see `crash_points.py`: `$RLM_CRASH_POINT`."""
    return os.environ.get("RLM_CRASH_POINT") or None


def known_keys() -> dict[str, bool]:
    """Which of the providers' variables are set; their values are not read out."""
    return {name: bool(os.environ.get(name)) for name in _KEYS}


def passed_on(names: Iterable[str]) -> dict[str, str]:
    """The variables of these names that a program we start is to have; those that are not set are left out."""
    return {name: os.environ[name] for name in names if name in os.environ}


def tavily_key() -> str | None:
    """The key with which web_search searches where it was given none: `$TAVILY_API_KEY`."""
    return os.environ.get("TAVILY_API_KEY") or None
