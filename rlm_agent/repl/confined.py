"""Confined: the first steps of a forked process: it goes under the sandbox, then becomes a worker, or a probe.

Invariant: no cell runs in a process that is under fewer layers than its host was told. A process that cannot be
confined says why and ends.
"""

from typing import Any, NoReturn

from rlm_agent.repl import worker
from rlm_agent.repl.channel import Channel
from rlm_agent.repl.sandbox.attempts import tried
from rlm_agent.repl.sandbox.layers import ConfinementError, Plan, confine, probe

__all__ = ["serve"]


def serve(channel: Channel, message: dict[str, Any]) -> NoReturn:
    """Works for the host on this channel, in a process that has one thread and nothing but it.

    Args:
        channel: to the host.
        message: the zygote's order: "scratch", the plan, and for a probe the "canary" to try the sandbox with.
    """
    plan = Plan(tuple(message["layers"]), message["memory"], message["disk"])
    if message.get("canary"):
        _probe(channel, plan, message["scratch"], message["canary"])
    try:
        confine(plan, message["scratch"])
    except ConfinementError as error:
        # The host sends before it listens, and would find the channel closed.
        channel.receive()
        channel.send({"op": "fault", "error": str(error)})
        raise SystemExit(1) from error
    worker.serve(channel)


def _probe(channel: Channel, plan: Plan, scratch: str, canary: str) -> NoReturn:
    layers = probe(plan, scratch)
    channel.send({"layers": layers, "attempts": tried(canary)})
    raise SystemExit(0)
