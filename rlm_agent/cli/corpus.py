"""`rlm corpus add`: copies an input into the home once; what is printed stands for it from then on, also over HTTP."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.terminal import counted, json_text, say, show

if TYPE_CHECKING:
    from rlm_agent.corpus import Corpus
    from rlm_agent.store.home import Home

__all__ = ["corpus_commands", "load_sources"]


@reported
def _add(
    sources: Annotated[
        list[str], typer.Argument(metavar="SRC", help="A file, a directory, a quoted glob, an archive or a URL.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="What it is called in lists and prompts.")] = None,
    home: HomeOption = None,
) -> int:
    """Copies a large input into the home and prints its handle: one JSON object, to be given wherever input is taken.

    That is the state key `context` of an agent that is served over HTTP, or --context of rlm run.
    """
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        handle = load_sources(opened, sources)
    if handle.get("skipped_count"):
        skipped = ", ".join(handle["skipped"][:5])
        say(f"left out {counted(handle['skipped_count'], 'file')} that cannot be read as text: {skipped}")
    show(json_text({**handle, "name": name or handle["name"]}))
    return Code.ANSWERED


def load_sources(home: "Home", sources: Sequence[str]) -> "Corpus":
    """What was named on a command line, one corpus: paths, whatever they look like, addresses, and handles as JSON."""
    from rlm_agent.corpus import Corpus

    given = [_source(source) for source in sources]
    return Corpus.load(given[0] if len(given) == 1 else given, home=home)


def _source(text: str) -> Any:
    if "://" in text:
        return text
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass  # a file may have such a name
    return Path(text).expanduser()


def corpus_commands() -> typer.Typer:
    """The group `rlm corpus`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Large inputs, kept in the home.")
    group.callback()(_corpus)
    group.command("add")(_add)
    return group


def _corpus() -> None:
    """Large inputs, kept in the home."""
