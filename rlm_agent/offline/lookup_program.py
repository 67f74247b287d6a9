"""The program that the offline root plays: it looks names and words up in `context`. No language model is at work.

Each `# %%` begins a cell; `OfflineRoot` sends one a turn, after `terms.py`. A cell uses what the REPL binds and ends
with a line `[offline N/3]`, by which the root knows that it went through. Only small values are left in the
namespace, since that is saved after every turn. This head is for the type checker and is not sent.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_agent.offline.terms import Lookup, best_lines, definition_rank, has_name, line_score, read_task

    context: "Any" = None
    task: str = ""
    answer: "dict[str, Any]" = {}
    llm_batch: "Callable[[list[str]], list[Any]]" = list
    NOTICE: str = ""
    cited: "Callable[..., str]" = str

# %%
import heapq
import json
import re
from typing import Any

import bm25s

PROMPT = """Question: {question}
Below is a part of {path}, from line {line}. Quote the lines that answer the question, each as "{path}:LINE: TEXT".
Reply NONE if there are none.
---
{text}"""
HEADER = re.compile(r"^(={3,}|-{3,}|#{3,}|File:)[ \t]*(\S+\.\w{1,8})[ \t]*(?:={3,}|-{3,}|#{3,})?$", re.M)
CHUNK, OVERLAP = 1600, 300  # characters
HITS = 400  # occurrences of one lookup that are looked at more closely


def sources(value: Any) -> list[tuple[str, str]]:
    """The input as (path, text)."""
    if isinstance(value, str):
        return sections(value)
    items = value.items() if isinstance(value, dict) else ((f"context[{i}]", v) for i, v in enumerate(value or []))
    return [(str(k), v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str)) for k, v in items]


def sections(text: str) -> list[tuple[str, str]]:
    """One text; where it joins files under header lines such as `=== path.py ===`, all of one style, those files."""
    marks = list(HEADER.finditer(text))
    marks = [mark for mark in marks if mark.group(1) == marks[0].group(1)]
    if len(marks) < 2:
        return [("context", text)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [(mark.group(2), text[mark.end() + 1 : end]) for mark, end in zip(marks, ends, strict=True)]


lookups, others = read_task(task)
found_in = sources(context)
print(f"{len(found_in)} sources, {sum(len(text) for _, text in found_in)} characters; {len(lookups)} lookups:")
for lookup in lookups[:5]:
    print("  ", lookup["kind"], *(lookup["names"] or lookup["words"]))
del found_in
print("[offline 1/3] the question is read")


# %%
def name_hits(pairs: list[tuple[str, str]], lookup: "Lookup") -> list[tuple[int, int, int]]:
    """Exact occurrences of the names, definitions first: (rank, source, offset)."""
    hits = []
    for name in lookup["names"]:
        for i, (_, text) in enumerate(pairs):
            at = text.find(name)
            while at >= 0:
                start, end = text.rfind("\n", max(0, at - 200), at) + 1, at + len(name)
                if has_name(text[max(0, at - 1) : end + 1], name):
                    line = text[start or max(0, at - 200) : end + 1]
                    hits.append((definition_rank(line, name, lookup["kind"]), -i, -at))
                at = text.find(name, end)
    return [(rank, -i, -at) for rank, i, at in heapq.nlargest(HITS, hits)]


def word_hits(pairs: list[tuple[str, str]], lookup: "Lookup") -> list[tuple[int, int, int]]:
    """Occurrences of the rarest words of the question."""
    places: dict[str, list[tuple[int, int, int]]] = {word: [] for word in lookup["words"]}
    for i, (_, text) in enumerate(pairs):
        lowered = text.lower()
        for word, hits in places.items():
            at = lowered.find(word)
            while at >= 0 and len(hits) < 10 * HITS:
                hits.append((0, i, at))
                at = lowered.find(word, at + len(word))
    rarest = sorted((hits for hits in places.values() if hits), key=len)[:3]
    return [hit for hits in rarest for hit in hits[:HITS]]


def chunk(pairs: list[tuple[str, str]], i: int, cell: int) -> tuple[str, int, str]:
    """One part of a source, cut at line ends, with overlap: (path, first line, text)."""
    path, text = pairs[i]
    start, end = max(0, cell * CHUNK - OVERLAP), min(len(text), (cell + 1) * CHUNK + OVERLAP)
    start = text.rfind("\n", max(0, start - OVERLAP), start) + 1 or start
    stop = text.find("\n", end, end + OVERLAP)
    return path, text.count("\n", 0, start) + 1, text[start : stop if stop >= 0 else end]


def is_copy(path: str) -> bool:
    """Tests and vendored packages define look-alikes."""
    return (
        re.search(r"(?:^|[/_])(?:tests?|site-packages|_?vendor|third_party|node_modules)(?:[/_.]|$)", path) is not None
    )


def best_chunks(pairs: list[tuple[str, str]], lookup: "Lookup", most: int) -> list[tuple[str, int, str]]:
    """The parts that hold a name or a rare word: definitions first, then by BM25."""
    ranks: dict[tuple[int, int], int] = {}
    for rank, i, at in name_hits(pairs, lookup) if lookup["names"] else word_hits(pairs, lookup):
        ranks[i, at // CHUNK] = max(rank, ranks.get((i, at // CHUNK), 0))
    if not ranks:
        return []
    parts = [chunk(pairs, i, cell) for i, cell in ranks]
    index = bm25s.BM25()
    index.index([re.findall(r"\w+", text.lower()) for _, _, text in parts], show_progress=False)
    scores = index.get_scores(re.findall(r"\w+", " ".join(lookup["names"] + lookup["words"]).lower()))
    order = [
        (-rank, is_copy(part[0]), -float(score))
        for rank, part, score in zip(ranks.values(), parts, scores, strict=True)
    ]
    return [parts[k] for k in sorted(range(len(parts)), key=order.__getitem__)[:most]]


def quotes_of(reply: Any, texts: dict[str, str]) -> list[tuple[str, int, str]]:
    """The quoted lines of a reply, save those that do not stand in the source that they name."""
    rows = re.findall(r"^(.+?):(\d+): (.*)$", str(reply), re.M)
    return [(path, int(line), text) for path, line, text in rows if text.strip() and text in texts.get(path, "")]


def look_up(value: Any) -> tuple[list[list[tuple[str, int, str]]], int]:
    """What the sub-agents quote for each lookup, and how many of them failed."""
    pairs = sources(value)
    most = max(1, min(6, 240 // max(1, len(lookups))))
    work = [(n, *part) for n, lookup in enumerate(lookups) for part in best_chunks(pairs, lookup, most)]
    prompts = [PROMPT.format(question=lookups[n]["question"], path=p, line=at, text=text) for n, p, at, text in work]
    if "llm_batch" in globals():
        replies = llm_batch(prompts) if prompts else []
    else:  # no sub-agents here: the lines are picked in this process
        replies = [quoted(p, best_lines(text, at, lookups[n])) for n, p, at, text in work]
    texts = dict(pairs)
    found: list[list[tuple[str, int, str]]] = [[] for _ in lookups]
    for (n, *_), reply in zip(work, replies, strict=True):
        found[n] += quotes_of(reply, texts) if getattr(reply, "ok", True) else []
    return found, sum(not getattr(reply, "ok", True) for reply in replies)


def quoted(path: str, rows: list[tuple[int, str]]) -> str:
    """Lines as a sub-agent quotes them."""
    return "\n".join(f"{path}:{at}: {text}" for at, text in rows)


quotes, failed = look_up(context)
print(f"{sum(map(bool, quotes))} of {len(lookups)} lookups have quotes; {failed} sub-calls failed")
print("[offline 2/3] the input is searched")


# %%
def answer_line(lookup: "Lookup", rows: list[tuple[str, int, str]]) -> str:
    """The best quote as `path:line: text`, with the other places that define it."""
    scored = sorted({(-line_score(text, lookup), is_copy(path), path, line, text) for path, line, text in rows})
    if not scored or not scored[0][0]:
        return f"nothing located for: {lookup['question']}"
    score, _, path, line, text = scored[0]
    also = [f"{p}:{at}" for s, _, p, at, _ in scored[1:] if s == score][:3]
    note = "" if score <= -10 or not lookup["kind"] else " (a mention; no definition was found)"
    return f"{path}:{line}: {text.strip()}{note}" + (f" (also {', '.join(also)})" if also else "")


lines = [answer_line(lookup, rows) for lookup, rows in zip(lookups, quotes, strict=True)]
if len(lines) > 1:
    titles = [(lookup["names"] or [lookup["question"]])[0] for lookup in lookups]
    lines = [f"{n}. {title}: {line}" for n, (title, line) in enumerate(zip(titles, lines, strict=True), 1)]
lines += [f"Not answered, since it is no lookup question: {question}" for question in others]
if not lines:
    lines = ["No answer: the task names nothing that could be looked up."]
if others or not lookups:
    lines.append("The offline stand-in answers lookup questions only, such as: Which module defines the class X?")
if failed:
    lines.append(f"{failed} sub-calls failed; what they were to read is not covered.")
text = "\n".join([*lines, NOTICE])
if "cited" in globals():  # the research agent's: only what it returns is an answer; no page was read here
    text = cited(re.sub(r"\[(?=\d)", "(", text), [])
answer["content"] = text
answer["ready"] = True
print("[offline 3/3] the answer is set")
