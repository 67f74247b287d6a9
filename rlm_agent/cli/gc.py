"""`rlm gc`: frees what no run in the home needs any more, also while runs go on."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rlm_agent.cli.exits import Code, reported
from rlm_agent.cli.options import HomeOption
from rlm_agent.cli.terminal import bytes_text, counted, json_text, say, show

if TYPE_CHECKING:
    from rlm_agent.store.sweep import Freed

__all__ = ["gc"]


@reported
def gc(
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            help="Keep the variables of the newest N turns of each run only; default: all.",
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", min=0, help="Spare what was used more recently than this.")
    ] = 24 * 3600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be freed, and free nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else.")] = False,
    home: HomeOption = None,
) -> int:
    """Frees snapshots, inputs, web pages and drafts that no run of the home names any more.

    It is safe beside running processes. Without --keep nothing is lost: what it frees could not be reached. With --keep
    older turns can still be read, and rebuilt, but neither forked nor looked into as they are.
    """
    from rlm_agent.store.home import default_home

    with default_home(home) as opened:
        freed = opened.sweeper.sweep(keep=keep, grace=grace, dry_run=dry_run)
    for turn in freed.damaged:
        say(f"the snapshot of turn {turn} is missing or damaged: `rlm resume THREAD --rebuild` makes it again")
    show(json_text({**asdict(freed), "dry_run": dry_run}) if as_json else _text(freed, dry_run))
    return Code.ANSWERED


def _text(freed: "Freed", dry_run: bool) -> str:
    parts = [
        f"{counted(freed.blobs, 'blob')} ({bytes_text(freed.blob_bytes)})",
        f"{counted(freed.corpora, 'input')} ({bytes_text(freed.corpus_bytes)})",
        f"{counted(freed.pages, 'web page')} ({bytes_text(freed.page_bytes)})",
        f"{counted(freed.drafts, 'draft')} of dead processes ({bytes_text(freed.draft_bytes)})",
    ]
    line = f"{'would free' if dry_run else 'freed'} {', '.join(parts)}"
    if not freed.turns:
        return line
    gave = "would give" if dry_run else "gave"
    return f"{line}; {counted(freed.turns, 'turn')} {gave} up the variables"
