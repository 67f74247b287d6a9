"""What a provider's exception means to the person at the keyboard, in one line.

Owns: reading foreign exceptions by their shape (status code, class name), since no provider package may be imported for
it. Invariant: a line holds no key, however the provider's own message quotes it. Raises nothing.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

__all__ = ["base_url", "cannot_connect", "connection_trouble", "one_line", "redact", "setup_advice", "status_of"]

_STAND_IN = "or use 'offline', the stand-in that needs no key"
_KEY_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|API_BASE|ENDPOINT)\b")
_KEY_SHAPES = re.compile(r"\b(?:sk|pk|rk|gsk|xai|tvly|AIza|hf)[-_][\w*.-]{6,}|(?i:bearer\s+\S+)")
_PACKAGE = re.compile(r"pip install [`'\"]?([\w.-]+)")
_CUT = 240
_NO_CONNECTION = frozenset({"ConnectError", "ConnectionRefusedError", "gaierror"})
# What langchain-openai and langchain-core say of an answer without choices; they have no class for it.
_NO_COMPLETION = ("No generations found in stream", "Unexpected response type", "'choices'")

_ADVICE = {
    400: "the request was refused as malformed",
    401: "the key was refused: set the provider's API key to a valid one",
    402: "the account has no credit left: top it up at the provider",
    403: "the key may not use this model: ask the provider for access or name another model",
    404: "no such model there: check the model's name and the base URL",
    408: "the server timed out: resume the run",
    413: "the prompt is too large for this model",
    429: "the rate limit or quota is used up: wait and resume, or lower Limits(concurrency)",
}


def setup_advice(spec: str, error: Exception) -> str:
    """Why no model could be made of a name, and what to do.

    Args:
        spec: as the caller wrote it, for example "openai:gpt-5".
        error: what `init_chat_model` raised.
    """
    message = " ".join(str(error).split())
    if isinstance(error, ImportError):
        found = _PACKAGE.search(message)
        package = found.group(1) if found else (error.name or "the provider's LangChain package")
        return f"Model {spec!r} needs a package: pip install {package}, {_STAND_IN}."
    if "model provider" in message or "model_provider" in message:
        return (
            f"No model provider is known for {spec!r}: write 'provider:model', for example 'openai:gpt-5', {_STAND_IN}."
        )
    if variable := _KEY_VARIABLE.search(message):
        return f"Model {spec!r} has no key: set {variable.group(0)}, {_STAND_IN}."
    why = f"{type(error).__name__}: {_short(message)}"
    return f"Model {spec!r} could not be set up ({why}): check its name and key, {_STAND_IN}."


def one_line(error: BaseException, name: str, model: Any) -> str:
    """A failed call: what failed, of which model, and what to do.

    Args:
        name: the model's name.
        model: the model, for its address and its secrets.
    """
    status, url = status_of(error), base_url(model)
    at = f" at {url}" if url else ""
    if _too_long(error):
        return f"Model {name}{at} answered {status or 400}: {_ADVICE[413]}{_said(error, model)}."
    if status is not None:
        advice = _ADVICE.get(
            status, "the server failed: resume the run later" if status >= 500 else "the call was refused"
        )
        # A provider quotes part of a refused key, so nothing of such a message is repeated.
        said = "" if status in (401, 403) else _said(error, model)
        return f"Model {name}{at} answered {status}: {advice}{said}."
    if _no_completion(error):
        whole = " and that its base URL is whole (most end in /v1)" if url else ""
        return (
            f"Model {name}{at} sent no chat completion{_sent(error, model)}: "
            f"check that the server is well{whole}, then resume the run."
        )
    kind = connection_trouble(error)
    if kind:
        return f"Model {name}{at or ' (default address)'}: {kind}."
    if isinstance(error, NotImplementedError):
        return f"Model {name} cannot be bound to tools or cannot be called this way: use another model."
    return f"Model {name}{at} failed: {type(error).__name__}{_said(error, model)}."


def base_url(model: Any) -> str:
    """The address a model talks to, without credentials and query; "" where the model does not tell."""
    given = (getattr(model, name, None) for name in ("openai_api_base", "base_url", "azure_endpoint", "endpoint_url"))
    for value in (*given, getattr(getattr(model, "root_client", None), "base_url", None)):
        parts = urlsplit(str(value or ""))
        host = parts.netloc.rpartition("@")[2]
        if host:
            return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    return ""


def redact(text: str, model: Any) -> str:
    """The text without the model's secrets and without anything that has the shape of a key."""
    for secret in _secrets(model):
        text = text.replace(secret, "***")
    return _KEY_SHAPES.sub("***", text)


def _secrets(model: Any) -> Iterator[str]:
    for value in list(getattr(model, "__dict__", {}).values()):
        if isinstance(value, SecretStr) and len(value.get_secret_value()) >= 4:
            yield value.get_secret_value()


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _too_long(error: BaseException) -> bool:
    """Whether the prompt is longer than the model's context; providers answer it with 400, not 413."""
    named = any("ContextOverflow" in cls.__name__ for cls in type(error).__mro__)
    return named or getattr(error, "code", None) == "context_length_exceeded"


def _no_completion(error: BaseException) -> bool:
    """Whether an answer came, as if all were well, that is no JSON or holds no choices."""
    if any(type(link).__name__ == "JSONDecodeError" for link in _chain(error)):
        return True
    if isinstance(error, IndexError):
        return _raised_in(error) == "langchain_core.language_models.chat_models"
    return isinstance(error, ValueError | TypeError | KeyError) and any(said in str(error) for said in _NO_COMPLETION)


def _raised_in(error: BaseException) -> str:
    """The module that raised."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return str(place.tb_frame.f_globals.get("__name__", "")) if place is not None else ""


def status_of(error: BaseException) -> int | None:
    """The HTTP status of 400 or more that an exception carries, or None."""
    for value in (getattr(error, "status_code", None), getattr(getattr(error, "response", None), "status_code", None)):
        if isinstance(value, int) and not isinstance(value, bool) and value >= 400:
            return value
    return None


def connection_trouble(error: BaseException) -> str:
    """What is wrong with the connection and what to do, or "" where it is something else."""
    names = _names(error)
    if any("Timeout" in name for name in names):
        return "no answer in time: check that the server is well, then resume the run"
    if names & _NO_CONNECTION:
        return "cannot connect: check that the server is up, its base URL and your network, then resume the run"
    if any("ConnectionError" in name or "NetworkError" in name or "ProtocolError" in name for name in names):
        return "the connection broke: check the server and your network, then resume the run"
    return ""


def cannot_connect(error: BaseException) -> bool:
    """Whether no connection was made at all, and not for want of time."""
    names = _names(error)
    return bool(names & _NO_CONNECTION) and not any("Timeout" in name for name in names)


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}


def _sent(error: BaseException, model: Any) -> str:
    """What came instead, where langchain-openai quotes it."""
    came = " ".join(str(error).partition(", got ")[2].split())
    return f" but {_short(redact(came, model))}" if came else ""


def _said(error: BaseException, model: Any) -> str:
    bodies = (getattr(error, "body", None), *error.args[:1])
    message = next((body["message"] for body in bodies if isinstance(body, dict) and body.get("message")), None)
    text = _short(redact(" ".join(str(message or error).split()), model)).rstrip(".")
    return f" ({text})" if text else ""


def _short(text: str) -> str:
    text = _KEY_SHAPES.sub("***", text)
    return text if len(text) <= _CUT else text[: _CUT - 3] + "..."
