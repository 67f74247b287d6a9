"""The stand-in that needs no key: it answers lookup questions by search, and says that it is no language model.

`OfflineRoot` plays `lookup_program.py` in the REPL, `OfflineSub` quotes the lines that match best.
"""

from rlm_agent.offline.models import NOTICE, OfflineRoot, OfflineSub

__all__ = ["NOTICE", "OfflineRoot", "OfflineSub", "root_model", "sub_model"]


def root_model() -> OfflineRoot:
    """The stand-in for a root model."""
    return OfflineRoot()


def sub_model() -> OfflineSub:
    """The stand-in for a sub-agent's model."""
    return OfflineSub()
