"""The texts that models are given, as Markdown files beside this module, and how they are filled in.

Invariant: `render` leaves nothing unfilled and drops nothing that it was given. A placeholder `${part_NAME}` stands
for the file `part_NAME.md`, so that the variants of a prompt share their text. What the values say is the caller's.
"""

import re
from functools import cache
from importlib import resources
from string import Template

__all__ = ["render"]

_PART = re.compile(r"\$\{(part_\w+)\}")
_GAP = re.compile(r"\n{3,}")


def render(name: str, **values: object) -> str:
    """Fills in a prompt.

    Args:
        name: the file's name without `.md`.
        values: one for each `${placeholder}`; an empty one leaves no gap. `$` in a value is plain text.

    Raises:
        ValueError: a value is missing, or no placeholder wants it.
    """
    template = _template(name)
    wanted = set(template.get_identifiers())
    if wanted != set(values):
        missing, unused = sorted(wanted - set(values)), sorted(set(values) - wanted)
        raise ValueError(f"prompt {name!r}: missing values {missing}, unused values {unused}")
    return _GAP.sub("\n\n", template.substitute(values)).strip()


@cache
def _template(name: str) -> Template:
    return Template(_PART.sub(lambda part: _text(part[1]), _text(name)))


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.md").read_text("utf-8").strip()
