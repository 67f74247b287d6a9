"""Tool plugins: entry points of the group `rlm_agent.tools`, found by name and loaded only when they are named.

Owns: how a reference (`files:roots=./docs`) is read, which distribution a name comes from, and what a plugin may be.
Invariant: no plugin's code runs before its name was asked for; what is wrong with one says its name and where it comes
from. Left to others: names of tools that clash (`sub_agents/toolbox.py`), what is shown of plugins (`cli/tools.py`).

A plugin is a `BaseTool`; a function, which becomes a tool as it stands; or a function of one parameter named
`settings`, which takes a mapping of str to str and returns the tools.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rlm_agent.errors import ConfigError, RLMError, ToolError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

__all__ = ["GROUP", "Plugin", "SettingsRefused", "installed", "named", "read_reference"]

GROUP = "rlm_agent.tools"
_SETTING = re.compile(r"(?:[^,]|,,)+")


class SettingsRefused(ToolError):
    """A plugin that works, but not with these settings; the message has the plugin's own words."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point.

    Attributes:
        name: what it is called by.
        distribution: the installed package that brings it.
        version: of that package.
    """

    name: str
    distribution: str
    version: str
    entry: EntryPoint

    @property
    def origin(self) -> str:
        """Where it comes from, for a message."""
        return f"{self.distribution} {self.version}".strip()

    def tools(self, settings: Mapping[str, str] | None = None) -> "tuple[BaseTool, ...]":
        """Loads it and makes its tools.

        Raises:
            ConfigError: settings were given to a plugin that takes none.
            ToolError: it cannot be imported or is no plugin; `SettingsRefused` where it refuses the settings.
        """
        from langchain_core.tools import BaseTool

        found = self._load()
        if isinstance(found, BaseTool) or (callable(found) and not _is_factory(found)):
            if settings:
                raise ConfigError(f"tools: the plugin {self.name!r} ({self.origin}) takes no settings.")
            return (self._as_tool(found),)
        if not callable(found):
            raise self._broken(f"its entry point {self.entry.value!r} is a {type(found).__name__}, not a tool")
        return self._made(found, MappingProxyType(dict(settings or {})))

    def _load(self) -> Any:
        try:
            found = self.entry.load()
        except (Exception, SystemExit) as error:  # importing a stranger's code can end in anything
            raise self._broken(f"it cannot be imported: {_words(error)}") from error
        if isinstance(found, type):
            raise self._broken(f"its entry point {self.entry.value!r} is a class; name an object or a function")
        return found

    def _as_tool(self, found: Any) -> "BaseTool":
        from rlm_agent.sub_agents.toolbox import as_tool

        try:
            return as_tool(found)
        except ConfigError as error:
            raise self._broken(str(error)) from error

    def _made(self, factory: Callable[..., Any], settings: Mapping[str, str]) -> "tuple[BaseTool, ...]":
        try:
            found = factory(settings)
            tools = tuple(found) if isinstance(found, Iterable) and not isinstance(found, str) else (found,)
        except (ValueError, RLMError) as error:
            raise SettingsRefused(f"tools: the plugin {self.name!r} ({self.origin}): {_words(error)}") from error
        except (Exception, SystemExit) as error:  # a plugin's code can end in anything
            raise self._broken(f"it gave no tools: {_words(error)}") from error
        return self._checked(tools)

    def _checked(self, tools: tuple[Any, ...]) -> "tuple[BaseTool, ...]":
        from langchain_core.tools import BaseTool

        wrong = [type(tool).__name__ for tool in tools if not isinstance(tool, BaseTool)]
        if wrong or not tools:
            raise self._broken(f"it must give BaseTools and gave {wrong[0] if wrong else 'none'}")
        return tools

    def _broken(self, why: str) -> ToolError:
        return ToolError(f"tools: the plugin {self.name!r} ({self.origin}) is broken: {why}.")


def read_reference(text: str) -> tuple[str, dict[str, str]]:
    """A plugin's name and settings out of `NAME` or `NAME:key=value,key=value`.

    The first colon ends the name; any other is part of a value. In a value, `,,` stands for a comma.

    Raises:
        ConfigError: it is not written so.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for item in _SETTING.findall(rest):
        key, equals, value = item.replace(",,", ",").partition("=")
        key = key.strip()
        if not equals or not key or key in settings:
            shown = f"the setting {key!r} twice" if key in settings else f"{item!r}"
            raise ConfigError(
                f"tools: {name!r} has {shown}: write NAME:key=value,key=value, and ,, for a comma in a value."
            )
        settings[key] = value
    return name.strip(), settings


def installed() -> list[Plugin]:
    """Every plugin that is installed, by name; none is loaded."""
    found = [Plugin(entry.name, *_distribution(entry), entry) for entry in entry_points(group=GROUP)]
    return sorted(found, key=lambda plugin: (plugin.name, plugin.origin))


def named(name: str) -> Plugin:
    """The one plugin of a name; it is not loaded.

    Raises:
        ConfigError: there is none, or more than one.
    """
    known = installed()
    found = [plugin for plugin in known if plugin.name == name]
    if len(found) > 1:
        origins = " and ".join(plugin.origin for plugin in found)
        raise ConfigError(f"tools: two plugins are named {name!r}, of {origins}: uninstall one of them.")
    if not found:
        names = ", ".join(dict.fromkeys(plugin.name for plugin in known)) or "none"
        raise ConfigError(
            f"tools: no plugin is named {name!r}. Installed: {names}. Another comes with the package that has it "
            f"(pip install PACKAGE), in the environment that runs this one; rlm tools lists them."
        )
    return found[0]


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    found = entry.dist
    return (found.name, found.version) if found is not None else ("an unknown package", "")


def _is_factory(found: Any) -> bool:
    """Whether it takes settings: its only parameter has that name."""
    try:
        return list(inspect.signature(found).parameters) == ["settings"]
    except (TypeError, ValueError):
        return False


def _words(error: BaseException) -> str:
    """What went wrong on one line; the kind of the error where that tells more than its words."""
    words = " ".join(str(error).split()).removesuffix(".")
    return words if words and isinstance(error, RLMError | ValueError) else f"{type(error).__name__}: {words}"
