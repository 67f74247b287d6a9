"""What a caller gave, checked before anything is written: secrets in the config, the context, a person's answers."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import convert_to_messages
from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt

from rlm_agent import keys
from rlm_agent.entries.entry import Entry
from rlm_agent.errors import ConfigError
from rlm_agent.human.answers import read_decision
from rlm_agent.models.messages import last_human
from rlm_agent.spec import AgentSpec

if TYPE_CHECKING:
    from rlm_agent.store.home import Home
    from rlm_agent.store.records import QuestionRecord

__all__ = ["check_answer_shape", "check_secrets", "is_repeated", "read_input"]

_SECRET_ENDINGS = ("api_key", "secret", "password", "access_token")
_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")
_OWN_PREFIXES = ("langgraph_", "__", "x-")


def check_secrets(config: RunnableConfig, *, embedded: bool) -> None:
    """Refuses secrets in `configurable`, which LangGraph writes in clear into checkpoint metadata.

    Raises:
        ConfigError: standalone. Embedded, the parent has written already: a warning says to rotate the key.
    """
    names = [name for name in config.get("configurable") or {} if _is_secret(name)]
    if not names:
        return
    advice = "Give secrets to constructors, or to invoke(context=...), never in config['configurable']"
    if not embedded:
        raise ConfigError(f"{names[0]!r} in config['configurable'] would be stored in clear. {advice}.")
    warnings.warn(
        f"{names[0]!r} in config['configurable'] has been stored in clear by the parent graph's checkpointer: rotate "
        f"the key. {advice}.",
        stacklevel=2,
    )


def _is_secret(name: str) -> bool:
    return name.lower().endswith(_SECRET_ENDINGS) and not name.lower().startswith(_OWN_PREFIXES)


async def read_input(spec: AgentSpec, home: "Home", entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input as the graph takes it: the context as a handle, a repeated message not added again.

    Raises:
        ConfigError: the context is nothing that can be one.
    """
    key = spec.input_key
    names = {"messages", key} if key is not None else {"messages"}
    read = {name: value for name, value in given.items() if name in names and value is not None}
    if key is not None and key in read:
        await home.read(home.open)
        read[key] = await home.read(_handle, home, key, read[key])
    if not entry.embedded and entry.thread is not None:
        await _drop_repeated(spec, home, entry, read)
    return read


def _handle(home: "Home", key: str, value: Any) -> Any:
    if isinstance(value, Mapping) and home.corpora.is_handle(value):
        return home.corpora.adopt(value)
    if isinstance(value, str | list | dict):
        return home.corpora.put_value(value)
    raise ConfigError(
        f"The input key {key!r} holds a {type(value).__name__}; the large input is a str, list, dict or a handle of "
        f"Corpus.load. Where {key!r} means something else, give create_rlm_agent(input_key=...) another name, or None."
    )


async def _drop_repeated(spec: AgentSpec, home: "Home", entry: Entry, read: dict[str, Any]) -> None:
    """An unfinished question asked again in the same words resumes: its message takes the recorded id."""
    messages = convert_to_messages(read.get("messages") or [])
    at = last_human(messages)
    if at is None or messages[at].id is not None:
        return
    question = await _open_question(spec, home, entry)
    if question is not None and _is_equal(spec, read, messages[at], question):
        messages[at] = messages[at].model_copy(update={"id": question.message["id"]})
        read["messages"] = messages


async def is_repeated(spec: AgentSpec, home: "Home", entry: Entry, read: Mapping[str, Any]) -> bool:
    """Whether an input that was read is the thread's unfinished question again."""
    messages = convert_to_messages(read.get("messages") or [])
    at, question = last_human(messages), await _open_question(spec, home, entry)
    return at is not None and question is not None and _is_equal(spec, read, messages[at], question)


async def _open_question(spec: AgentSpec, home: "Home", entry: Entry) -> "QuestionRecord | None":
    await home.read(home.open)
    found = await home.read(home.runs.newest, entry.thread, "", spec.name)
    return found[1] if found is not None and found[1].status == "open" else None


def _is_equal(spec: AgentSpec, read: Mapping[str, Any], message: BaseMessage, question: "QuestionRecord") -> bool:
    context = read.get(spec.input_key) if spec.input_key is not None else None
    digest = question.context_digest if context is None else str(context["digest"])
    return keys.question_digest(message.content, digest) == question.digest


def check_answer_shape(resume: Any, waiting: Sequence[Interrupt]) -> None:
    """Checks what a person answered before any of it is written.

    Args:
        resume: of a `Command`: the answer to the one that waits, or interrupt id -> answer.
        waiting: the interrupts of the thread that have no answer.

    Raises:
        ConfigError: an answer fits none that waits, or is no decision that it allows.
    """
    known = {each.id: each.value for each in waiting}
    if isinstance(resume, Mapping) and resume and all(_INTERRUPT_ID.fullmatch(str(id_)) for id_ in resume):
        if unknown := [id_ for id_ in resume if id_ not in known]:
            raise ConfigError(
                f"No question {unknown[0]!r} waits on this thread; there is {', '.join(map(repr, known)) or 'none'}. "
                "Nothing was changed."
            )
        for id_, answer in resume.items():
            read_decision(answer, known[id_])
    elif len(waiting) == 1:
        read_decision(resume, waiting[0].value)
