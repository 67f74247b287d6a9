"""Functions over a repository, path -> text, that run in the REPL: a map of it, and what `ast` tells of Python files.

This file is given to the worker as source (`ReplCode`): it imports the standard library only. Files are parsed once a
worker. What cannot be parsed is told as a text in place of a result, and never ends a cell.
"""

import ast
import functools
import re
from collections.abc import Iterator
from typing import Any

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_WORD = r"(?<![\w]){}(?![\w])"


def repo_map(files: dict[str, str], folder: str = "", depth: int = 2, chars: int = 6000) -> str:
    """Folders with their files and lines, and the definitions of Python files at the top; cut to `chars`.

    Args:
        folder: only what is below it.
        depth: folders deeper than this are summed up.
    """
    lines: list[str] = []
    shown = _below(files, folder)
    for place, paths in sorted(_folders(shown, folder, depth).items()):
        counts = {path: len(shown[path].splitlines()) for path in paths}
        lines.append(f"{place or '.'}/  {len(paths)} files, {sum(counts.values()):,} lines")
        for path in sorted(paths):
            within, _, name = path.rpartition("/")
            if within == place:
                lines.append(f"  {name}  {counts[path]:,} lines{_top(path, shown[path])}")
    text = "\n".join(lines) or f"no file is below {folder!r}"
    if len(text) <= chars:
        return text
    return f"{text[:chars]}\n... {len(text) - chars:,} characters more: name a folder, or a smaller depth"


def symbols(files: dict[str, str], path: str) -> list[dict[str, Any]]:
    """Classes and functions of a Python file: name ("Class.method"), kind, line, end, doc (its first line)."""
    return list(_symbols(_text(files, path)))


def find_symbol(files: dict[str, str], name: str) -> list[dict[str, Any]]:
    """Where classes, functions and methods of this name are defined, in all Python files: path and `symbols` entry."""
    found: list[dict[str, Any]] = []
    for path, text in files.items():
        if path.endswith(".py") and name.rpartition(".")[2] in text and isinstance(_parsed(text), ast.Module):
            found += [{"path": path, **each} for each in _symbols(text) if _is_named(each["name"], name)]
    return found


def source(files: dict[str, str], path: str, name: str) -> str:
    """The source of a class, function or method of a file, with its decorators."""
    text = _text(files, path)
    for node, qualified in _walk(_tree(text), ""):
        if _is_named(qualified, name):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise LookupError(f"{path} defines no {name!r}: see symbols(context, {path!r})")


def references(files: dict[str, str], name: str, limit: int = 200) -> list[dict[str, Any]]:
    """Lines where a name stands as a word, in all files: path, line, text, and within which definition of Python."""
    pattern = re.compile(_WORD.format(re.escape(name)))
    found: list[dict[str, Any]] = []
    for path, text in files.items():
        if name in text:
            for number, line in enumerate(text.splitlines(), 1):
                if pattern.search(line):
                    found.append({"path": path, "line": number, "text": line.strip()[:200], "within": ""})
                    if len(found) == limit:
                        return _placed(files, found)
    return _placed(files, found)


def imports(files: dict[str, str], path: str) -> list[str]:
    """The modules that a Python file imports, as it names them, relative ones with their dots."""
    found: list[str] = []
    for node in ast.walk(_tree(_text(files, path))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("." * node.level + (node.module or ""))
    return sorted(set(found))


def _text(files: dict[str, str], path: str) -> str:
    if path not in files:
        near = [each for each in files if each.endswith("/" + path.rpartition("/")[2])][:3]
        raise LookupError(f"no file {path!r}" + (f"; there is {', '.join(near)}" if near else ""))
    return files[path]


def _below(files: dict[str, str], folder: str) -> dict[str, str]:
    prefix = folder.strip("/") + "/" if folder.strip("/") else ""
    return {path: text for path, text in files.items() if path.startswith(prefix) and isinstance(text, str)}


def _folders(files: dict[str, str], folder: str, depth: int) -> dict[str, list[str]]:
    most = depth + len([part for part in folder.split("/") if part])
    found: dict[str, list[str]] = {}
    for path in files:
        place = "/".join(path.split("/")[:-1][:most])
        found.setdefault(place, []).append(path)
    return found


def _top(path: str, text: str) -> str:
    tree = _parsed(text) if path.endswith(".py") else None
    if not isinstance(tree, ast.Module):
        return f"  ({tree})" if tree else ""
    names = [node.name for node in tree.body if isinstance(node, _DEFINITIONS)]
    more = f", {len(names) - 12} more" if len(names) > 12 else ""
    return f": {', '.join(names[:12])}{more}" if names else ""


@functools.cache
def _parsed(text: str) -> ast.Module | str:
    """The tree of a file, or why it has none."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"no Python: {type(error).__name__}: {str(error)[:80]}"


def _tree(text: str) -> ast.Module:
    tree = _parsed(text)
    if not isinstance(tree, ast.Module):
        raise ValueError(tree)
    return tree


def _walk(node: ast.AST, above: str) -> Iterator[tuple[Any, str]]:
    """Definitions within a node with their qualified names, outer ones first; without recursion of Python's."""
    waiting: list[tuple[ast.AST, str]] = [(node, above)]
    while waiting:
        current, name = waiting.pop()
        inner: list[tuple[ast.AST, str]] = []
        for child in ast.iter_child_nodes(current):
            if isinstance(child, _DEFINITIONS):
                qualified = f"{name}.{child.name}" if name else child.name
                yield child, qualified
                inner.append((child, qualified))
            elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                inner.append((child, name))
        waiting += reversed(inner)


def _symbols(text: str) -> Iterator[dict[str, Any]]:
    for node, name in _walk(_tree(text), ""):
        kind = "class" if isinstance(node, ast.ClassDef) else "method" if "." in name else "function"
        doc = (ast.get_docstring(node) or "").split("\n", 1)[0][:120]
        yield {"name": name, "kind": kind, "line": node.lineno, "end": node.end_lineno, "doc": doc}


def _is_named(qualified: str, name: str) -> bool:
    return qualified == name or qualified.endswith("." + name)


def _placed(files: dict[str, str], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The references with the innermost definition that each is within."""
    spans: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        path = each["path"]
        if path.endswith(".py") and path not in spans:
            tree = _parsed(files[path])
            spans[path] = list(_symbols(files[path])) if isinstance(tree, ast.Module) else []
        holding = [span for span in spans.get(path, []) if span["line"] <= each["line"] <= span["end"]]
        if holding:
            each["within"] = max(holding, key=lambda span: span["line"])["name"]
    return found
