"""Functions that the REPL binds and the worker runs: for helpers over the input, which must not be read on the host.

Owns: what a given source brings. The source is the author's, trusted as `repl_functions` are; what it is called with is
the root's, so that it runs where cells run, with a cell's rights and within a cell's time.
"""

import ast
from dataclasses import dataclass, field

from rlm_agent.errors import ConfigError

__all__ = ["ReplCode"]


@dataclass(frozen=True)
class ReplCode:
    """Python source whose public functions the REPL binds by name, as an item of `repl_functions`.

    Args:
        source: a module that imports only the standard library and what the REPL has. It runs once a worker, before
            any cell; its functions are no variables, and no part of a snapshot.

    Attributes:
        functions: name -> signature and first line of the docstring, as the root is told of them.

    Raises:
        ConfigError: it is no Python, or defines no public function.
    """

    source: str
    functions: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            body = ast.parse(self.source).body
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"repl_functions: the source of a ReplCode is no Python: {error}.") from error
        found = {node.name: _told(node) for node in body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"}
        if not found:
            raise ConfigError("repl_functions: the source of a ReplCode defines no public function.")
        object.__setattr__(self, "functions", found)


def _told(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    doc = (ast.get_docstring(node) or "").split("\n", 1)[0]
    return f"`{node.name}({ast.unparse(node.args)}){returns}` {doc}".rstrip()
