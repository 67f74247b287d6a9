"""Settings of a plugin, which are texts, as values. Pure."""

from collections.abc import Mapping, Sequence

from rlm_agent.errors import ConfigError

__all__ = ["flag", "known", "number", "words"]


def known(plugin: str, settings: Mapping[str, str], names: Sequence[str]) -> None:
    """Refuses settings that the plugin does not have.

    Raises:
        ConfigError: naming the setting and those that there are.
    """
    for name in settings:
        if name not in names:
            raise ConfigError(f"The tool {plugin!r} has no setting {name!r}; it has {', '.join(names)}.")


def flag(plugin: str, settings: Mapping[str, str], name: str) -> bool:
    """A setting that is true or false; false where it is not given."""
    value = settings.get(name, "false").lower()
    if value not in ("true", "false", "1", "0", "yes", "no"):
        raise ConfigError(f"{plugin}:{name}={value}: give true or false.")
    return value in ("true", "1", "yes")


def number(plugin: str, settings: Mapping[str, str], name: str, default: int) -> int:
    """A setting that is a whole number of 1 or more."""
    value = settings.get(name, str(default))
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"{plugin}:{name}={value}: give a whole number of 1 or more.")
    return int(value)


def words(settings: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A setting that holds several words, separated by spaces or semicolons."""
    return tuple(settings.get(name, "").replace(";", " ").split())
