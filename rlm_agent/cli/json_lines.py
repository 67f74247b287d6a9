"""`--jsonl`: the events of the contract, section 11, on stdout, one JSON object a line, each as soon as it is there.

Invariant: a run that came to its end closes with `run.finished`, which holds the result as `--json` gives it.
"""

from collections.abc import Mapping
from typing import Any

from rlm_agent.cli.outcome import plain_result
from rlm_agent.cli.terminal import json_text, show

__all__ = ["JsonLines"]


class JsonLines:
    """Writes the events of one entry into a thread."""

    def __init__(self, thread: str) -> None:
        self._thread = thread
        self._last: dict[str, Any] | None = None

    def event(self, event: Mapping[str, Any]) -> None:
        """Writes an event; the run's last one waits for the result."""
        if event["type"] == "run.finished" and not event["depth"]:
            self._last = dict(event)
        else:
            show(json_text(dict(event)))

    def end(self, rlm: Mapping[str, Any]) -> None:
        """Writes the last event with the result, `out["rlm"]`; the only one where the answer was recorded earlier."""
        if self._last is None:
            from rlm_agent.events import Events

            Events(rlm["run"]).emit(self.event, "run.finished", stopped_by=rlm["stopped_by"], ready=rlm["ready"])
        show(json_text({**(self._last or {}), **plain_result(self._thread, rlm)}))
