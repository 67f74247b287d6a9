"""What model calls will take, before they are made: approximate tokens and their price. Pure but for the price list.

Two figures: what is expected, by which batches are judged; and what is set aside for a request, which counts the most
that the model may write where it has such a setting. Neither is recorded: what is used is the provider's own count.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from rlm_agent.budget import Estimate
from rlm_agent.models.chat import model_name, price
from rlm_agent.models.errors import base_url

__all__ = ["expected", "set_aside"]

CHARS_A_TOKEN = 4
_UNIT = 1000
_MOST = ("max_completion_tokens", "max_tokens", "max_output_tokens", "num_predict")


class Means(Protocol):
    """What is known of the replies so far."""

    def mean_output(self, role: str, model: str) -> int:
        """Output tokens of a usual reply."""


def set_aside(
    means: Means, role: Literal["root", "sub"], model: BaseChatModel, messages: Sequence[BaseMessage], tools: Any = None
) -> Estimate:
    """What is reserved for one request, its tools' descriptions included."""
    sent = count_tokens_approximately(messages, tools=list(tools) if tools else None)
    return _estimate(model, sent, _most(model) or means.mean_output(role, model_name(model)))


def expected(
    means: Means, specs: Iterable[Mapping[str, Any]], models: Mapping[str, BaseChatModel], default: BaseChatModel
) -> Estimate:
    """What a batch should take, one reply a call.

    Args:
        specs: the calls as the cell asked for them.
        models: those that a call may name.
        default: the model of a call that names none.
    """
    total = Estimate(0, 0.0)
    for spec in specs:
        model = models.get(spec.get("model") or "", default)
        chars = len(spec["prompt"]) + len(spec.get("system") or "") + len(str(spec.get("schema") or ""))
        total += _estimate(model, chars // CHARS_A_TOKEN, means.mean_output("sub", model_name(model)))
    return total


def _most(model: BaseChatModel) -> int | None:
    """The most tokens that the model was told to write."""
    values = (getattr(model, name, None) for name in _MOST)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)


def _estimate(model: BaseChatModel, sent: int, received: int) -> Estimate:
    prices = (0.0, 0.0) if model._llm_type == "offline" else _unit_prices(model_name(model), base_url(model))
    return Estimate(sent + received, None if prices is None else sent * prices[0] + received * prices[1])


@functools.lru_cache(maxsize=256)
def _unit_prices(name: str, url: str) -> tuple[float, float] | None:
    """Dollars of an input and an output token. Looking a price up takes 2 ms, too long for each of many calls."""
    sent, received = price((name,), url, (_UNIT, 0, 0)), price((name,), url, (0, _UNIT, 0))
    return None if sent is None or received is None else (sent / _UNIT, received / _UNIT)
