"""What the demo's scripted root writes: each `# %%` begins the cell of one turn. No language model wrote it.

It counts things in every part of an input that it never reads: sub-agents read, the cells only cut and add up. This
head is for the type checker and is not sent.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    context: str = ""
    answer: dict[str, Any] = {}
    llm_batch: "Callable[..., list[Any]]" = list

# %%
import re

HEADER = re.compile(r"^=== (\S+) ===\n", re.M)
CHUNK = 60_000  # characters of one sub-agent's part, unless one file alone is longer

chunks: list[tuple[str, int, int]] = []  # places in `context`, not copies: the saved namespace stays small
begins = [(header.start(), header.group(1)) for header in HEADER.finditer(context)]
ends = [begin for begin, _ in begins[1:]] + [len(context)]
for (begin, path), end in zip(begins, ends, strict=True):
    package = path.split("/")[0] if "/" in path else "(modules)"
    if chunks and chunks[-1][0] == package and end - chunks[-1][1] <= CHUNK:
        chunks[-1] = (package, chunks[-1][1], end)
    else:
        chunks.append((package, begin, end))
print(f"{len(begins)} files in {len(chunks)} chunks of at most {max(e - b for _, b, e in chunks)} characters")

# %%
COUNTED = ["files", "lines", "classes", "functions", "imports"]
TASK = "Count what these Python files hold, as JSON with the keys " + ", ".join(COUNTED) + "."
NUMBERS = {"type": "object", "properties": {key: {"type": "integer"} for key in COUNTED}, "required": COUNTED}

replies = llm_batch([f"{TASK}\n\n{context[begin:end]}" for _, begin, end in chunks], schema=NUMBERS)
failed = [reply.error for reply in replies if not reply.ok]
print(f"{len(replies)} sub-agents replied, {len(failed)} failed", *failed[:1])

# %%
totals: dict[str, dict[str, int]] = {}
for (package, _, _), reply in zip(chunks, replies, strict=True):
    counts = totals.setdefault(package, dict.fromkeys(COUNTED, 0))
    for key in COUNTED:
        counts[key] += reply.data[key]
answer["content"] = totals
answer["ready"] = not failed
