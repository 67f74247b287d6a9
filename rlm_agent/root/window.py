"""The root's window: which of the run the root reads again at each turn, and what is folded away.

Owns the shape of the root's prompt (contract, section 4): system prompt, task, older turns folded to a line each and
then to ranges, newest turns in full. Invariant: the estimate of what `build_messages` returns is never above the
window, roles alternate, and no message is empty. Nothing is summarised: a folded turn is whole in `history`.

Which turns are folded is worked out anew from the run's first turn each time, from the sizes of the turns alone. It
happens in steps (when the prompt is full, until half of it is free), so that between two folds each prompt extends the
one before byte for byte and the provider's prompt cache works. Pure; counting real tokens is the provider's business.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rlm_agent.errors import ConfigError

__all__ = ["Role", "WindowTurn", "build_messages", "cut_middle", "estimate_tokens", "fold_line"]

Role = Literal["system", "human", "ai"]
Message = tuple[Role, str]

MESSAGE_TOKENS = 4
"""What a provider adds to each message."""
LEAST_ROOM = 600
"""Tokens beside the system prompt without which no turn can be shown."""
RANGE_TOKENS = 24
"""What the line for a range of folded turns costs at most."""
LINE_CHARS = 160

_FOLDED = "Earlier turns, a line each; turn n is whole in history[n-1]:"
_NO_TEXT = "(no text)"
_IMPORT = re.compile(r"(?:import|from)\s")


@dataclass(frozen=True, slots=True)
class WindowTurn:
    """A turn as the root reads it.

    Attributes:
        number: from 1, through the run.
        reply: the root's reply.
        shown: what the root read of the turn's cells.
        line: the turn folded, see `fold_line`.
        false_starts: replies without code before `reply`, each with the reminder that answered it.
    """

    number: int
    reply: str
    shown: str
    line: str
    false_starts: tuple[tuple[str, str], ...] = ()


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is, rather too many than too few: 3.5 ASCII characters or one other a token."""
    plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return len(text) - plain + -(-plain * 2 // 7)


def cut_middle(text: str, limit_chars: int, where: str) -> str:
    """Cuts a text in its middle, where a marker tells how much is left out and where the whole is.

    Args:
        limit_chars: characters of the text that stay; the marker comes on top.
        where: what the marker names, such as `history[-1]["output"]`.
    """
    if len(text) <= limit_chars:
        return text
    head = limit_chars - limit_chars // 2
    return text[:head] + _marker(len(text) - limit_chars, where) + text[len(text) - limit_chars // 2 :]


def _marker(missing: int, where: str) -> str:
    return f"\n[... {missing} characters left out; the whole is in {where} ...]\n"


def fold_line(number: int, code: str, output: str, error: str | None) -> str:
    """One line that recalls a turn: its first code line that does something, and what came of it."""
    lines = [line.strip() for line in code.split("\n")]
    telling = [line for line in lines if line and not line.startswith("#")]
    done = next((line for line in telling if not _IMPORT.match(line)), telling[0] if telling else "(no code)")
    result = "failed: " + _first_line(reversed(error.split("\n"))) if error else _first_line(output.split("\n"))
    half = LINE_CHARS // 2 - 8
    return f"{number}. {_shorten(done, half)} -> {_shorten(result, half)}"


def _first_line(lines: Iterable[str]) -> str:
    return next((line.strip() for line in lines if line.strip()), "(no output)")


def _shorten(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: limit - 3] + "..."


def build_messages(
    system: str,
    task: str,
    turns: Sequence[WindowTurn],
    window_tokens: int,
    pending: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> list[Message]:
    """The messages of the next root request.

    Args:
        system: the system prompt; never cut.
        task: the task, cut to a quarter of the window.
        turns: all turns of the question, oldest first; the newest is never folded, and is cut only if too large alone.
        window_tokens: what the estimate of all messages stays within.
        pending: replies of the turn to come that held no code, with their reminders.
        notes: from the user, put at the end of the last human message.

    Raises:
        ConfigError: the system prompt leaves no room to work in.
    """
    room = _Room.beside(system, window_tokens)
    task = _cut_tokens(task, room.quarter, "the variable `task`")
    tail = _Tail(turns[-1] if turns else None, tuple(pending), "\n\n".join(notes))
    free = room.tokens - estimate_tokens(task)
    folded = _folded([*map(_turn_tokens, turns[:-1]), tail.tokens], [_line_tokens(t) for t in turns], room, free)
    full = turns[folded:-1]
    section = _folded_section(turns[:folded], room.quarter)
    tail = tail.fitted(free - estimate_tokens(section) - sum(map(_turn_tokens, full)))
    messages: list[Message] = [("system", system), ("human", _say(task + section))]
    for turn in full:
        messages += _turn_messages(turn)
    return tail.appended(messages)


@dataclass(frozen=True, slots=True)
class _Room:
    """What is left of the window beside the system prompt: all of it, and the share that the task or the lines get."""

    window: int
    tokens: int
    quarter: int

    @classmethod
    def beside(cls, system: str, window: int) -> "_Room":
        taken = estimate_tokens(system) + estimate_tokens(_FOLDED) + 2 * MESSAGE_TOKENS
        tokens = window - taken
        if tokens < LEAST_ROOM:
            raise ConfigError(
                f"Limits(window_tokens={window}): the system prompt alone takes about {taken} tokens; "
                f"give at least {taken + LEAST_ROOM}, or shorten system_prompt, response_format or repl_functions."
            )
        return cls(window, tokens, min(window // 4, tokens // 3))


def _folded(costs: Sequence[int], lines: Sequence[int], room: _Room, free: int) -> int:
    """How many of the oldest turns are folded once the last of these turns has been added.

    Args:
        costs: tokens of each turn in full; all but the last may be folded.
        lines: tokens of each turn as a line.
        free: tokens for turns and lines.
    """
    folded = full = 0
    folds = RANGE_TOKENS
    for newest, cost in enumerate(costs):
        full += cost
        if full + min(folds, room.quarter) <= free:
            continue
        while folded < newest and full + min(folds, room.quarter) > free - room.window // 2:
            full -= costs[folded]
            folds += lines[folded]
            folded += 1
    return folded


def _folded_section(turns: Sequence[WindowTurn], limit: int) -> str:
    """The folded turns: as many of the newest lines as fit, one range for those before."""
    if not turns:
        return ""
    kept: list[str] = []
    left = limit - RANGE_TOKENS
    for turn in reversed(turns):
        left -= _line_tokens(turn)
        if left < 0:
            break
        kept.append(turn.line)
    older = turns[: len(turns) - len(kept)]
    return "\n".join(["\n", _FOLDED, *([_range(older)] if older else []), *reversed(kept)])


def _range(turns: Sequence[WindowTurn]) -> str:
    first, last = turns[0].number, turns[-1].number
    return f"turns {first}-{last}: see history[{first - 1}:{last}]"


def _line_tokens(turn: WindowTurn) -> int:
    return estimate_tokens(turn.line) + 1


def _turn_messages(turn: WindowTurn) -> list[Message]:
    return _exchanges((*turn.false_starts, (turn.reply, turn.shown)))


def _exchanges(pairs: Iterable[tuple[str, str]]) -> list[Message]:
    messages: list[Message] = []
    for reply, answer in pairs:
        messages += [("ai", _say(reply)), ("human", _say(answer))]
    return messages


def _say(text: str) -> str:
    """Providers refuse empty messages."""
    return text if text.strip() else _NO_TEXT


def _turn_tokens(turn: WindowTurn) -> int:
    return _tokens(_turn_messages(turn))


def _tokens(messages: Sequence[Message]) -> int:
    return sum(estimate_tokens(text) + MESSAGE_TOKENS for _, text in messages)


@dataclass(frozen=True, slots=True)
class _Tail:
    """What comes last and is never folded: the newest turn, the turn to come so far, and the user's notes."""

    newest: WindowTurn | None
    pending: tuple[tuple[str, str], ...]
    notes: str

    @property
    def messages(self) -> list[Message]:
        """Its messages without the notes."""
        return (_turn_messages(self.newest) if self.newest else []) + _exchanges(self.pending)

    @property
    def tokens(self) -> int:
        """What all of it costs."""
        return _tokens(self.messages) + (estimate_tokens(self.notes) + 1 if self.notes else 0)

    def appended(self, messages: list[Message]) -> list[Message]:
        """These messages with the tail behind them."""
        messages = messages + self.messages
        if self.notes:
            role, text = messages[-1]
            messages[-1] = (role, f"{text}\n\n{self.notes}")
        return messages

    def fitted(self, room: int) -> "_Tail":
        """Itself, or, where that is too much, without all false starts but the last, its texts cut to fit."""
        if self.tokens <= room:
            return self
        newest = replace(self.newest, false_starts=()) if self.newest else None
        tail = replace(self, newest=newest, pending=self.pending[-1:])
        texts = [text for _, text in tail.messages] + [self.notes]
        cap = _even_cap([estimate_tokens(text) for text in texts], room - len(texts) * MESSAGE_TOKENS)
        return tail._capped(cap)

    def _capped(self, cap: int) -> "_Tail":
        def cut(text: str, where: str) -> str:
            return _cut_tokens(_say(text), cap, where)

        newest = self.newest
        if newest is not None:
            at = f"history[{newest.number - 1}]"
            newest = replace(
                newest, reply=cut(newest.reply, f'{at}["code"]'), shown=cut(newest.shown, f'{at}["output"]')
            )
        pending = tuple((cut(reply, "the run's log"), cut(answer, "the run's log")) for reply, answer in self.pending)
        return _Tail(newest, pending, _cut_tokens(self.notes, cap, "`messages`"))


def _even_cap(sizes: Sequence[int], room: int) -> int:
    """The largest cap under which the sizes add up to no more than the room."""
    left = len(sizes)
    for size in sorted(sizes):
        if size > room // left:
            return room // left
        room, left = room - size, left - 1
    return max(sizes)


def _cut_tokens(text: str, limit: int, where: str) -> str:
    """Cuts a text in its middle so that, marker included, its estimate is within `limit` tokens."""
    size = estimate_tokens(text)
    if size <= limit:
        return text
    keep = len(text) * max(0, limit - estimate_tokens(_marker(len(text), where))) // size
    while keep > 0:
        shorter = cut_middle(text, keep, where)
        if estimate_tokens(shorter) <= limit:
            return shorter
        keep = keep * 9 // 10
    return text[:limit]
