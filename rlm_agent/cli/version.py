"""Which `langgraph-rlm` this is: an installed one, or a checkout of its source."""

from pathlib import Path

__all__ = ["own_version"]

DISTRIBUTION = "langgraph-rlm"


def own_version() -> str:
    """The installed version; of a plain checkout its version and where it is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return _checkout()


def _checkout() -> str:
    import tomllib

    root = Path(__file__).parents[2]
    try:
        number = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    except (OSError, ValueError, KeyError):
        return f"not installed, imported from {root}"
    return f"{number}, source checkout in {root}"
