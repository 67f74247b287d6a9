"""Which text of a root reply is run."""

import time
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlm_agent.root.fences import MAX_CHARS, ParsedReply, parse_reply, parses_as_python


def fenced(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}\n{mark}"


@pytest.mark.parametrize("tag", ["python", "py", "repl", "Python", "REPL", 'python title="a.py"', "python {.numbers}"])
@pytest.mark.parametrize("mark", ["```", "````", "~~~", "~~~~~"])
def test_a_tagged_fence_is_code(tag: str, mark: str) -> None:
    assert parse_reply(f"Plan.\n{fenced('x = 1', tag, mark)}\nDone.") == ParsedReply(("x = 1",), "Plan.\nDone.")


def test_blocks_come_in_order_and_reasoning_is_the_rest() -> None:
    reply = f"먼저\n{fenced('a = 1')}\n그리고\n\n{fenced('b = await f()', 'py')}\n끝"
    assert parse_reply(reply) == ParsedReply(("a = 1", "b = await f()"), "먼저\n그리고\n\n끝")


@pytest.mark.parametrize("tag", ["json", "bash", "text", "python3x", "pycon", "python-repl", "{python}", "한국어"])
def test_other_tags_are_never_code(tag: str) -> None:
    reply = fenced("1", tag)
    assert parse_reply(reply) == ParsedReply((), reply)


def test_an_untagged_fence_is_code_when_alone_and_python() -> None:
    assert parse_reply("So:\n" + fenced("print(len(context))", "")).blocks == ("print(len(context))",)
    assert parse_reply(fenced("await llm('x')", "")).blocks == ("await llm('x')",)


@pytest.mark.parametrize(
    "reply",
    [
        fenced("not python at all", ""),
        fenced("x = 1", "") + "\n" + fenced("y = 2", ""),
        fenced("x = 1", "") + "\n" + fenced("{}", "json"),
        fenced("", ""),
    ],
)
def test_an_untagged_fence_is_prose_otherwise(reply: str) -> None:
    assert parse_reply(reply) == ParsedReply((), reply)


def test_untagged_beside_tagged_is_prose() -> None:
    parsed = parse_reply(fenced("3 rows", "") + "\n" + fenced("x = 1"))
    assert parsed == ParsedReply(("x = 1",), "```\n3 rows\n```")


def test_a_stray_mark_does_not_swallow_the_code_after_it() -> None:
    assert parse_reply("```\nLet me look:\n```python\nx = 1\n```\n```").blocks == ("x = 1",)


@pytest.mark.parametrize("quote", ['"""', "'''"])
def test_a_closing_fence_inside_a_string_does_not_end_the_block(quote: str) -> None:
    code = f"doc = {quote}\n```\ncode\n```\n{quote}\nprint(doc)"
    assert parse_reply(f"{fenced(code)}\nafter") == ParsedReply((code,), "after")


def test_code_that_never_parses_ends_at_the_first_closing_fence() -> None:
    parsed = parse_reply(fenced("x = (") + "\nand\n" + fenced("y = 2"))
    assert parsed == ParsedReply(("x = (", "y = 2"), "and")


def test_a_python_fence_inside_another_fence_is_not_run() -> None:
    assert parse_reply("```markdown\nExample:\n```python\nbad()\n```").blocks == ()
    assert parse_reply("````text\n```python\nbad()\n```\n````").blocks == ()


def test_an_indented_fence_takes_its_indentation_from_the_code() -> None:
    reply = "1. first\n   ```python\n   if x:\n       y = 1\n\n   z = 2\n   ```"
    assert parse_reply(reply).blocks == ("if x:\n    y = 1\n\nz = 2",)


def test_an_unclosed_block_counts_only_when_it_is_whole() -> None:
    assert parse_reply("Go\n```python\nx = 1\n") == ParsedReply(("x = 1\n",), "Go")
    assert parse_reply("Go\n```python\nx = (1,") == ParsedReply((), "Go", cut=True)
    assert parse_reply("Go\n```python") == ParsedReply((), "Go", cut=True)
    assert parse_reply(fenced("a = 1") + "\n```py\nb = '") == ParsedReply(("a = 1",), "", cut=True)


@pytest.mark.parametrize("reply", ["", " \n", "no code", "a ```python b``` c", fenced(""), fenced("  \n")])
def test_a_reply_without_code_has_no_blocks(reply: str) -> None:
    assert parse_reply(reply).blocks == ()


def test_windows_line_ends() -> None:
    assert parse_reply("a\r\n```python\r\nx = 1\r\ny = 2\r\n```\r\nb").blocks == ("x = 1\ny = 2",)


@pytest.mark.parametrize(
    "code",
    ["a\0b", "s = '\ud800'", "(" * 50_000, "-" * 50_000 + "1", "x" + "[0]" * 50_000, "1+" * 50_000 + "1", "f'{" * 1000],
    ids=["null", "surrogate", "parens", "minus", "subscripts", "sum", "f-string"],
)
def test_hostile_code_is_handed_on_and_never_crashes_the_host(code: str) -> None:
    assert parse_reply(fenced(code)).blocks == (code,)
    assert not parses_as_python(code)


def test_parsing_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_reply(fenced(r"re.compile('\d') is 1; '\\'; '\''")).blocks
        assert parses_as_python(r"r = '\d\w' if x is 1 else b'\400'")


@pytest.mark.parametrize(
    "reply",
    [
        "```python\n" * 10_000,
        "```\n" * 30_000,
        "```python\nx=(\n```\n" * 5_000,
        "```python\ns='''\n" + "```\n" * 30_000,
        "```python\nz=(\n" + ("y,\n" * 2000 + "```\n") * 50,
        "```\nfoo bar\n```python\nx=1\n```\n" * 4_000,
        "````python\n(\n```\n````\n" * 5_000,
    ],
)
def test_the_time_taken_is_bounded(reply: str) -> None:
    start = time.perf_counter()
    parse_reply(reply)
    assert time.perf_counter() - start < 3


def test_what_is_beyond_a_megabyte_is_not_read() -> None:
    assert parse_reply("x" * MAX_CHARS + "\n" + fenced("x = 1")).blocks == ()


_PIECES = st.sampled_from(
    [
        "```",
        "~~~",
        "````",
        "```python",
        "~~~py",
        "```json",
        "  ```repl",
        '"""',
        "'''",
        "x = 1",
        "(",
        "한글",
        "",
        "\0",
        "\\d",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES | st.text(max_size=8), max_size=25).map("\n".join))
@example("```python\n```\n```")
def test_any_text_gives_a_reply_made_of_its_own_lines(text: str) -> None:
    parsed = parse_reply(text)
    assert all(block.strip() for block in parsed.blocks)
    given_lines = {line.strip() for line in text.replace("\r\n", "\n").split("\n")}
    for part in (*parsed.blocks, parsed.reasoning):
        assert {line.strip() for line in part.split("\n")} <= given_lines | {""}
