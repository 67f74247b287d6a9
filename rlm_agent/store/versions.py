"""The one check that every record passes when it is read."""

from rlm_agent.errors import StateVersionError
from rlm_agent.store.records import RECORD_VERSION

__all__ = ["check_version"]


def check_version(version: int, what: str) -> None:
    """Raises StateVersionError when a record was written by a newer version of this package."""
    if version > RECORD_VERSION:
        raise StateVersionError(
            f"{what} was written as version {version}, this version of langgraph-rlm reads up to {RECORD_VERSION}: "
            "upgrade langgraph-rlm (pip install -U langgraph-rlm)."
        )
