"""Freeing what nothing names: what stays, what goes, and what a living owner is about to name."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.errors import ConfigError, HomeError, SnapshotCorrupt
from rlm_agent.repl.manifest import Manifest
from rlm_agent.store.blobs import LARGE
from rlm_agent.store.home import Home
from rlm_agent.store.plain import pack
from rlm_agent.store.records import StepRecord


async def a_snapshot(home: Home, *leaves: bytes) -> str:
    """The key of a stored snapshot with these leaves."""
    keys = [await home.blobs.put(leaf) for leaf in leaves]
    manifest = Manifest("3.11", b"".join(bytes.fromhex(key) for key in keys), b"body")
    return await home.blobs.put(manifest.encode())


def there(home: Home, *keys: str) -> list[bool]:
    return [home.blobs.has(key) for key in keys]


@pytest.fixture
async def run(home: Home, make_run: Any, make_question: Any) -> str:
    await home.runs.create(make_run(), make_question())
    return "run"


@pytest.mark.parametrize("size", [100, LARGE])
async def test_what_nothing_names_goes_and_what_is_named_stays(
    home: Home, run: str, make_turn: Any, make_step: Any, size: int
) -> None:
    leaves = [os.urandom(size) for _ in range(2)]
    snapshot = await a_snapshot(home, *leaves)
    output, answer = await home.blobs.put(os.urandom(size)), await home.blobs.put(os.urandom(size))
    turn = make_turn(snapshot=snapshot, output_ref=output, answer={"ref": answer, "ready": False})
    await home.turns.add(turn)
    step: StepRecord = make_step(body={"text": "x" * LARGE})
    await home.ledger.record(step)
    loose = await home.blobs.put(os.urandom(size))
    freed = home.sweeper.sweep(grace=0)
    assert (freed.blobs, freed.blob_bytes, freed.damaged) == (1, size, ())
    assert not home.blobs.has(loose)
    assert [home.blobs.get(key) for key in (snapshot, output, answer)]
    assert home.ledger.get(step.key) == step
    assert home.sweeper.sweep(grace=0) == replace(freed, blobs=0, blob_bytes=0)


@pytest.mark.parametrize("size", [100, LARGE])
async def test_the_grace_counts_from_the_last_put_also_of_bytes_that_were_there(home: Home, size: int) -> None:
    old, again = os.urandom(size), os.urandom(size)
    keys = [await home.blobs.put(data) for data in (old, again)]
    await age(home, keys, 100)
    await home.blobs.put(again)
    assert home.sweeper.sweep(grace=101).blobs == 0
    assert home.sweeper.sweep(grace=50).blobs == 1
    assert there(home, *keys) == [False, True]


async def age(home: Home, keys: list[str], seconds: float) -> None:
    """As if the blobs had been put that long ago."""
    past = time.time() - seconds
    await home.commit(lambda c: c.execute("UPDATE blobs SET touched = ?", (past,)).rowcount)
    for key in keys:
        if home.blobs.path(key).exists():
            os.utime(home.blobs.path(key), (past, past))


async def test_a_dry_run_counts_the_same_and_frees_nothing(home: Home, run: str, make_turn: Any) -> None:
    for number in (1, 2):
        snapshot = await a_snapshot(home, os.urandom(100), os.urandom(LARGE))
        await home.turns.add(
            make_turn(number, snapshot=snapshot, lineage=f"l{number}", parent=(head(home)) if number > 1 else None)
        )
    home.corpora.put_value("loaded and never asked about")
    counted = home.sweeper.sweep(keep=1, grace=0, dry_run=True)
    assert (counted.turns, counted.blobs, counted.corpora) == (1, 3, 1)
    assert home.sweeper.sweep(grace=0, dry_run=True).blobs == 0, "nothing was given up"
    assert home.sweeper.sweep(keep=1, grace=0) == counted


def head(home: Home) -> str | None:
    found = home.turns.head("run")
    return None if found is None else found.id


async def chain(home: Home, make_turn: Any, numbers: range) -> list[str]:
    """Turns with a snapshot each; the keys of those."""
    snapshots = []
    for number in numbers:
        snapshots.append(await a_snapshot(home, f"leaf {number}".encode()))
        await home.turns.add(
            make_turn(number, snapshot=snapshots[-1], lineage=f"l{number}", parent=head(home), at=float(number))
        )
    return snapshots


async def test_keep_gives_up_the_variables_of_all_but_the_newest_turns(home: Home, run: str, make_turn: Any) -> None:
    snapshots = await chain(home, make_turn, range(1, 6))
    assert home.sweeper.sweep(keep=2, grace=0).turns == 3
    assert there(home, *snapshots) == [False, False, False, True, True]
    assert [turn.number for turn in home.turns.list("run")] == [1, 2, 3, 4, 5], "the records stay"
    await home.runs.stand("run", None, home.turns.list("run")[3].id)
    assert home.sweeper.sweep(keep=1, grace=0).turns == 1, "counted from where the run stands"
    assert there(home, *snapshots) == [False, False, False, True, False]


async def test_keep_spares_what_a_fork_stands_at_and_shares(
    home: Home, run: str, make_run: Any, make_question: Any, make_turn: Any
) -> None:
    from rlm_agent.store.forks import Fork

    snapshots = await chain(home, make_turn, range(1, 6))
    third = home.turns.list("run")[2]
    fork = make_run("fork", thread="other", forked_from="run", forked_at=3)
    await home.forks.create(Fork(fork, make_question(run="fork"), third.id))
    assert home.sweeper.sweep(keep=1, grace=0).turns == 1
    assert there(home, *snapshots) == [True, True, True, False, True]


async def test_keep_does_not_count_the_turns_of_entries_that_work_now(home: Home, run: str, make_turn: Any) -> None:
    snapshots = await chain(home, make_turn, range(1, 4))
    async with await home.leases.acquire("run"):
        snapshots.append(await a_snapshot(home, b"new"))
        await home.turns.add(make_turn(4, snapshot=snapshots[-1], lineage="l4", parent=head(home), at=time.time()))
        await age(home, [], 3600)
        assert home.sweeper.sweep(keep=1, grace=0).turns == 2
    assert there(home, *snapshots) == [False, False, True, True], "the turn at which the entry began stays"


@pytest.mark.parametrize("given", [{"keep": 0}, {"grace": -1}, {"grace": float("nan")}])
def test_numbers_that_mean_nothing_are_refused(home: Home, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="keep at least 1 turn"):
        home.sweeper.sweep(**given)


# What is not named yet

OWNER = """
import asyncio, os, sys, time
from rlm_agent.store.home import Home

async def main():
    with Home(sys.argv[1]) as home:
        lease = await home.leases.acquire("run")
        keys = [await home.blobs.put(os.urandom(100)), await home.blobs.put(os.urandom(70_000))]
        print(*keys, flush=True)
        time.sleep(60)

asyncio.run(main())
"""


def test_what_a_living_owner_put_stays_and_a_dead_ones_goes(home: Home) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home.path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    keys = owner.stdout.readline().split()
    assert home.sweeper.sweep(grace=0).blobs == 0
    assert there(home, *keys) == [True, True]
    owner.send_signal(signal.SIGSTOP)
    home.write(lambda c: c.execute("UPDATE leases SET expires = 0").rowcount).result(5)
    assert home.sweeper.sweep(grace=0).blobs == 0, "it was stopped beyond its lease and may come back"
    owner.kill()
    owner.wait()
    assert home.sweeper.sweep(grace=0).blobs == 2
    assert there(home, *keys) == [False, False]


async def test_a_lease_of_elsewhere_counts_for_a_day_after_its_end(home: Home) -> None:
    key = await home.blobs.put(b"from another machine's day")
    await home.leases.acquire("run")
    for expired, stays in ((3600, True), (25 * 3600, False)):
        when = time.time() - expired
        await home.commit(lambda c, when=when: c.execute("UPDATE leases SET host = 'x', expires = ?", (when,)).rowcount)
        home.sweeper.sweep(grace=0)
        assert home.blobs.has(key) is stays


@pytest.mark.parametrize("size", [100, LARGE])
async def test_bytes_put_again_just_before_they_are_judged_stay(
    home: Home, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The put falls between the list of candidates and the judgement, by an owner that was not there before."""
    from rlm_agent.store import sweep

    data = os.urandom(size)
    key = await home.blobs.put(data)
    await age(home, [key], 3600)
    judge = sweep._Sweep._judge

    def after_a_put(self: Any, kind: Any, batch: Any, connection: Any) -> Any:
        assert [one.name for one in batch] == [key]
        with Home(home.path) as other:
            if size >= LARGE:
                other.blobs.put_sync(data)
            else:  # what a put does, since the write lock is held here
                connection.execute("UPDATE blobs SET touched = ? WHERE key = ?", (time.time(), key))
        return judge(self, kind, batch, connection)

    monkeypatch.setattr(sweep._Sweep, "_judge", after_a_put)
    assert home.sweeper.sweep(grace=0).blobs == 0
    assert home.blobs.get(key) == data


async def test_a_turn_that_came_to_be_retained_meanwhile_keeps_its_snapshot(
    home: Home, run: str, make_turn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlm_agent.store import sweep

    snapshots = await chain(home, make_turn, range(1, 3))
    first = home.turns.list("run")[0]
    await home.commit(lambda c: c.execute("DELETE FROM refs").rowcount)
    judge = sweep._Sweep._judge

    def after_a_fork(self: Any, kind: Any, batch: Any, connection: Any) -> Any:
        connection.execute("INSERT INTO refs VALUES ('fork', '', ?, 0)", (first.id,))
        return judge(self, kind, batch, connection)

    monkeypatch.setattr(sweep._Sweep, "_judge", after_a_fork)
    assert home.sweeper.sweep(grace=0).blobs == 0
    assert there(home, *snapshots) == [True, True]


# What cannot be read


async def test_a_lost_manifest_is_named_and_the_rest_goes_on(home: Home, run: str, make_turn: Any) -> None:
    snapshots = await chain(home, make_turn, range(1, 3))
    await home.commit(lambda c: c.execute("DELETE FROM blobs WHERE key = ?", (snapshots[0],)).rowcount)
    freed = home.sweeper.sweep(grace=0)
    assert freed.damaged == (home.turns.list("run")[0].id,)
    assert freed.blobs == 1, "leaves that nobody can tell any more"
    with pytest.raises(SnapshotCorrupt):
        home.blobs.get(snapshots[0])


async def test_a_snapshot_of_an_unknown_form_stops_everything(home: Home, run: str, make_turn: Any) -> None:
    leaf = await home.blobs.put(b"a leaf of the future")
    newer = await home.blobs.put(pack([99, "3.19", b"", b""]))
    await home.turns.add(make_turn(snapshot=newer))
    with pytest.raises(HomeError, match=r"turn 1 of run run cannot be understood.*form 99"):
        home.sweeper.sweep(grace=0)
    assert home.blobs.has(leaf)


# Corpora and drafts


async def test_corpora_that_no_question_names_go_after_the_grace(home: Home, make_run: Any, make_question: Any) -> None:
    asked, loose = home.corpora.put_value("asked about"), home.corpora.put_value(["loose"])
    await home.runs.create(make_run(), make_question(context=dict(asked)))
    assert home.sweeper.sweep(grace=3600).corpora == 0
    freed = home.sweeper.sweep(grace=0)
    assert freed.corpora == 1
    assert freed.corpus_bytes > 6
    assert [home.corpora.holds(handle["digest"]) for handle in (asked, loose)] == [True, False]


@pytest.mark.parametrize("use", ["load", "adopt"])
async def test_a_corpus_that_is_used_again_counts_as_new(home: Home, use: str) -> None:
    handle = home.corpora.put_value("text")
    past = time.time() - 7200
    os.utime(home.path / "corpora" / handle["digest"], (past, past))
    assert home.sweeper.sweep(grace=3600, dry_run=True).corpora == 1
    home.corpora.adopt(handle) if use == "adopt" else home.corpora.put_value("text")
    assert home.sweeper.sweep(grace=3600).corpora == 0


WRITER = """
import os, sys, time
from pathlib import Path
from rlm_agent.store.layout import private_file

with private_file(Path(sys.argv[1])) as descriptor:
    os.write(descriptor, b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_draft_stays_while_its_writer_lives(home: Home) -> None:
    home.open()
    draft = home.path / "tmp" / "draft"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(draft)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    past = time.time() - 3600
    os.utime(draft, (past, past))
    assert home.sweeper.sweep(grace=0).drafts == 0
    writer.kill()
    writer.wait()
    freed = home.sweeper.sweep(grace=0)
    assert (freed.drafts, freed.draft_bytes) == (1, 4)
    assert not draft.exists()


def test_a_corpus_in_the_making_stays(home: Home, tmp_path: Path) -> None:
    from rlm_agent.corpus import Corpus

    file = tmp_path / "text.txt"
    os.mkfifo(file)
    reader = subprocess.Popen([sys.executable, "-c", LOADER, str(home.path), str(file)])
    with file.open("wb") as pipe:
        pipe.write("한국어\n".encode() * 10)
        pipe.flush()
        wait_for(lambda: any((home.path / "tmp").iterdir()))
        for entry in (home.path / "tmp").iterdir():
            os.utime(entry, (0, 0))
        assert home.sweeper.sweep(grace=0).drafts == 0
    assert reader.wait(30) == 0
    assert Corpus.load("한국어\n" * 10, home=home)["digest"] in os.listdir(home.path / "corpora")
    assert home.sweeper.sweep(grace=3600).corpora == 0


LOADER = """
import sys
from rlm_agent.store.home import Home

with Home(sys.argv[1]) as home, open(sys.argv[2], "rb") as pipe:
    with home.corpora._draft() as draft:
        draft.add_copy("", lambda: pipe)
        from rlm_agent.store.intake import Intake
        home.corpora._keep(draft, Intake("text", "text"))
"""


def wait_for(happened: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
