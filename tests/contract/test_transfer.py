"""A run in one file: it goes on under another home, pays nothing again; a file that is not whole changes nothing."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_agent import (
    Budget,
    ConfigError,
    Corpus,
    HomeError,
    LeaseHeld,
    ModelError,
    RLMError,
    SnapshotCorrupt,
    StateVersionError,
    create_rlm_agent,
    open_run,
)
from rlm_agent.bridge import run_sync
from rlm_agent.cli.main import main
from rlm_agent.keys import place
from rlm_agent.recorded.transfer import export_run, import_run
from rlm_agent.store import bundle
from rlm_agent.store.home import Home
from rlm_agent.store.plain import digest, pack, unpack
from rlm_agent.store.turn_ids import turn_id
from rlm_agent.testing import ScriptedModel, read_calls

ONE = "```python\nn, big = 1, np.random.default_rng(1).random(30_000)\nalias = big[3:]\nprint('가' * 9_000)\n```"
ASK = "```python\nfound = [str(r) for r in llm_batch([f'{context[:3]} {i}' for i in range(5)])]\n```"
MORE = "```python\nn += 1\n```"
READY = '```python\nanswer["content"] = f"{task}/{n}/{len(found)}/{context[:3]}"\nanswer["ready"] = True\n```'
TABLES = ("runs", "questions", "turns", "refs", "steps", "notes", "adopted_notes", "extensions", "snapshots")


class Bench:
    def __init__(self, path: Path) -> None:
        self.path, self.log = path, path / "calls.jsonl"
        self.homes = {name: Home(path / name) for name in ("here", "there")}
        self.here, self.there = self.homes["here"], self.homes["there"]

    def agent(self, home: Home, replies: list[Any], **options: Any) -> Any:
        script = iter(replies)

        def root(messages: list[Any]) -> Any:
            reply = next(script, None)
            assert reply is not None, "the root was asked once more than it has replies"
            return reply

        sub = ScriptedModel(replies=lambda m: f"re {m[-1].content}", log=self.log)
        model = ScriptedModel(replies=root, log=self.log)
        return create_rlm_agent(model, sub_model=sub, home=home, checkpointer=home.checkpointer, **options)

    def ask(self, replies: list[Any], thread: str = "t", **options: Any) -> Any:
        context = Corpus.load("긴 글\n" * 1000, home=self.here)
        given = {"messages": [("user", "q")], "context": context}
        return self.agent(self.here, replies, **options).invoke(given, {"configurable": {"thread_id": thread}})

    def resume(self, home: Home, replies: list[Any], thread: str = "t", **options: Any) -> Any:
        return self.agent(home, replies, **options).invoke(None, {"configurable": {"thread_id": thread}})["rlm"]

    def export(self, thread: Any = "t") -> Path:
        file = self.path / f"{len(list(self.path.glob('*.zip')))}.zip"
        export_run(self.here, open_run(thread, home=self.here).record, file)
        return file

    def take(self, file: Path, thread: str | None = None, home: Home | None = None) -> Any:
        return run_sync(lambda: import_run(home or self.there, file, thread)).run

    def rows(self, home: Home, *tables: str) -> dict[str, int]:
        def count(connection: Any) -> dict[str, int]:
            return {t: connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in tables or TABLES}

        return home.write(count).result()

    @property
    def paid(self) -> int:
        return len(read_calls(self.log, "reply"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for home in made.homes.values():
        home.close()


def seen(home: Home, thread: Any) -> Any:
    """Everything of a run that a person can look at."""
    run = open_run(thread, home=home)
    turns = [(t.record, t.output, t.usage, t.answer) for t in run.turns]
    values = []
    for turn in run.turns:
        with run.copy(turn.number) as copy:
            values.append(copy.eval(f"[{', '.join(variable.name for variable in run.variables(turn.number))}]").output)
    return turns, values, run.usage, run.events(), run.answer, run.status, [q.message for q in run.questions]


def test_an_answered_run_is_the_same_under_another_home(bench: Bench) -> None:
    out = bench.ask([ONE, ASK, MORE, READY])
    file = bench.export()
    assert bench.take(file).thread == "t"
    assert seen(bench.there, "t") == seen(bench.here, "t")
    assert bench.resume(bench.there, []) == out["rlm"]
    assert bench.paid == 9
    cell = 'alias[0] = 7.0\nanswer["content"] = [big[3], context[:3], len(history)]\nanswer["ready"] = True'
    more = f"```python\n{cell}\n```"
    asked = {"messages": [("user", "next")]}
    config = {"configurable": {"thread_id": "t"}}
    out = bench.agent(bench.there, [more]).invoke(asked, config)
    assert out["rlm"]["content"] == [7.0, "긴 글", 4], "the next question in the same REPL, what was shared still is"


@pytest.mark.parametrize("failing", [[ONE, ConnectionError("x")], [ONE, ASK, ConnectionError("x")]])
def test_an_unfinished_run_goes_on_and_pays_nothing_again(bench: Bench, failing: list[Any]) -> None:
    with pytest.raises(ModelError):
        bench.ask(failing)
    rest = [ONE, ASK, MORE, READY][len(failing) - 1 :]
    run = open_run("t", home=bench.here)
    run.tell("짧게")
    run.extend(turns=3)
    bench.take(bench.export(), "other")
    paid = bench.paid
    assert bench.resume(bench.there, rest, "other")["content"] == "q/2/5/긴 글"
    assert bench.paid - paid == len(rest) + (5 if ASK in rest else 0)
    assert [note.text for note in bench.there.notes.list(run.id)] == ["짧게"]
    assert [e.amount for e in bench.there.extensions.list(run.id, 1)] == [3]


def test_replies_that_no_turn_holds_yet_are_found(bench: Bench) -> None:
    """Killed in the middle of a turn that has read notes: its reply and half of its sub-calls are recorded."""
    with pytest.raises(ModelError):
        bench.ask([ONE, ConnectionError("x")])
    open_run("t", home=bench.here).tell("메모")
    code = (
        "import os, sys\nfrom rlm_agent import Home, create_rlm_agent\n"
        "from rlm_agent.testing import ScriptedModel\n"
        "home = Home(sys.argv[1])\n"
        "seen = []\n"
        "def sub(messages):\n"
        "    seen.append(1)\n"
        "    if len(seen) > 3: os._exit(9)\n"
        "    return f're {messages[-1].content}'\n"
        f"root = ScriptedModel(replies=[{ASK!r}], log=sys.argv[2])\n"
        "from rlm_agent import Limits\n"
        "agent = create_rlm_agent(root, sub_model=ScriptedModel(replies=sub, log=sys.argv[2]), home=home,\n"
        "                         checkpointer=home.checkpointer, limits=Limits(concurrency=1))\n"
        "agent.invoke(None, {'configurable': {'thread_id': 't'}})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bench.here.path), str(bench.log)], timeout=120)
    assert done.returncode == 9
    recorded = bench.rows(bench.here, "steps")["steps"]
    bench.take(bench.export())
    assert bench.rows(bench.there, "steps")["steps"] == recorded
    paid = bench.paid
    assert bench.resume(bench.there, [MORE, READY])["content"] == "q/2/5/긴 글"
    assert bench.paid - paid == 2 + 2, "two turns, and the two sub-calls that were not recorded"


def test_a_fork_brings_what_it_needs_of_its_origin(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    config = open_run("t", home=bench.here).fork(2)
    bench.agent(bench.here, []).invoke(None, config)
    fork = config["configurable"]["thread_id"]
    file = bench.export(config)
    bench.take(file)
    assert seen(bench.there, fork) == seen(bench.here, fork)
    assert [run.thread for run in bench.there.runs.list()] == [fork]
    snapshots = [turn.record.snapshot for turn in open_run(fork, home=bench.there).turns]
    for key in snapshots:
        bench.there.write(lambda c, key=key: c.execute("DELETE FROM blobs WHERE key = ?", (key,)).rowcount).result()
    rebuild = {"configurable": {"thread_id": fork, "rlm_rebuild": True}}
    paid = bench.paid
    bench.agent(bench.there, []).invoke(None, rebuild)
    assert open_run(fork, home=bench.there).value("n") == 2
    assert bench.paid == paid, "its origin's ledger answers a rebuild"
    second = open_run("t", home=bench.here).fork(3)
    bench.take(bench.export(second))
    assert seen(bench.there, second) == seen(bench.here, second), "more of the same origin"
    for run in (fork, second):
        open_run(run, home=bench.there).delete()
    assert not any(bench.rows(bench.there).values())


def test_a_fork_comes_after_its_origin(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    config = open_run("t", home=bench.here).fork(2, code="n = 5")
    first, second = bench.export(), bench.export(config)
    bench.take(first)
    before = seen(bench.there, "t")
    bench.take(second)
    assert seen(bench.there, config) == seen(bench.here, config)
    assert seen(bench.there, "t") == before
    assert bench.agent(bench.there, [READY]).invoke(None, config)["rlm"]["content"] == "q/5/5/긴 글"


def test_what_is_swept_and_what_stays_of_an_import(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    bench.take(bench.export())
    before = seen(bench.there, "t")
    assert bench.there.sweeper.sweep(grace=0).blobs == 0
    assert seen(bench.there, "t") == before


def test_variables_that_were_given_up_stay_behind(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    bench.here.sweeper.sweep(keep=1, grace=0)
    bench.take(bench.export())
    run = open_run("t", home=bench.there)
    assert run.value("n") == 2
    with pytest.raises(SnapshotCorrupt):
        run.value("n", turn=1)


def test_no_key_and_no_other_run_is_in_it(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    bench.ask([READY.replace("{n}/{len(found)}", "비밀")], "private")
    key = bench.here.signatures.signer.key()
    with zipfile.ZipFile(bench.export()) as archive:
        held = b"".join(archive.read(name) for name in archive.namelist())
        names = archive.namelist()
    assert key.secret not in held
    assert key.id.encode() not in held
    assert "비밀".encode() not in held
    assert all(bundle._NAME.fullmatch(name) for name in names)


# Refusals


def test_a_thread_or_run_that_is_there_is_not_touched(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    file = bench.export()
    bench.take(file)
    before = seen(bench.there, "t")
    with pytest.raises(ConfigError, match=r"Run \w{32} is in the home .* already"):
        bench.take(file, "again")
    bench.ask([READY.replace("{len(found)}", "").replace("{n}", "")], "second")
    with pytest.raises(ConfigError, match=r"Thread 't' has a run.*--thread"):
        bench.take(bench.export("second"), "t")
    assert seen(bench.there, "t") == before


async def test_a_thread_that_is_worked_on_is_not_imported_into(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    file = bench.export()
    async with await bench.there.leases.acquire(place("t", "", "rlm")):
        with pytest.raises(LeaseHeld):
            await import_run(bench.there, file)


Change = Callable[[dict[str, bytes]], object]


def changed(file: Path, change: Change) -> Path:
    """The archive with other members."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    other = file.with_suffix(".changed")
    with zipfile.ZipFile(other, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return other


def in_records(table: str, edit: Callable[[list[Any]], Any]) -> Change:
    """Edits the records of a table; one that becomes None goes."""

    def change(members: dict[str, bytes]) -> None:
        import msgpack

        records = [list(record) for record in msgpack.Unpacker(io.BytesIO(members[bundle.RECORDS]))]
        out = b""
        for name, values in records:
            whole = values if name != table else edit(values)
            out += b"" if whole is None else pack([name, whole])
        members[bundle.RECORDS] = out

    return change


def first(folder: str, members: dict[str, bytes]) -> str:
    return next(name for name in sorted(members) if name.startswith(folder))


def flip(folder: str) -> Change:
    def change(members: dict[str, bytes]) -> None:
        name = first(folder, members)
        members[name] = bytes([members[name][0] ^ 1]) + members[name][1:]

    return change


def set_manifest(**values: Any) -> Change:
    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), **values}).encode()

    return change


def column(table: str, name: str, value: Any) -> Change:
    at = list(bundle.TABLES[table]).index(name)
    return in_records(table, lambda values: [*values[:at], value, *values[at + 1 :]])


def forged_turn(values: list[Any]) -> list[Any]:
    plain = unpack(values[2])
    plain["code"] = "import os"
    return [values[0], values[1], pack(plain)]


def turn_of_another_run(values: list[Any]) -> list[Any]:
    plain = {**unpack(values[2]), "run": "f" * 32}
    plain["id"] = turn_id(plain)
    return [plain["id"], values[1], pack(plain)]


def turn_without_an_answer(values: list[Any]) -> list[Any]:
    plain = {**unpack(values[2]), "answer": 5}
    plain["id"] = turn_id(plain)
    return [plain["id"], values[1], pack(plain)]


NO_PAGE = f"pages/2026-11-26/{'a' * 64}"
PAGE = (
    b"""{"url": "http://a.test/", "final_url": "", "content_type": "", "fetched": "2026-11-26T00:00:00Z", "sha256":
 "%s"}""".replace(b"\n", b"")
    % hashlib.sha256(b"x").hexdigest().encode()
    + b"\nx"
)


REFUSED: dict[str, tuple[Change, type[RLMError], str]] = {
    "blob changed": (flip("blobs/"), SnapshotCorrupt, "does not hash to|do not hash to"),
    "blob missing": (lambda m: m.pop(first("blobs/", m)), SnapshotCorrupt, "is missing in the archive"),
    "corpus changed": (flip("corpora/"), SnapshotCorrupt, "does not hash to its digest"),
    "corpus missing": (
        lambda m: [m.pop(name) for name in list(m) if name.startswith("corpora/")],
        SnapshotCorrupt,
        "corpora/.* is missing",
    ),
    "half a corpus": (lambda m: m.pop(first("corpora/", m)), ConfigError, "cannot be read"),
    "turn changed": (in_records("turns", forged_turn), SnapshotCorrupt, "does not hash to its id"),
    "turn of nobody": (in_records("turns", turn_of_another_run), ConfigError, "names the run f{32}"),
    "turn missing": (in_records("turns", lambda v: None), ConfigError, "names the turn"),
    "turn is none": (column("turns", "body", b"\x93\x01\x02\x03"), SnapshotCorrupt, "no record of a turn"),
    "step of another run": (column("steps", "run", "e" * 32), ConfigError, "names the run e{32}"),
    "no question": (in_records("questions", lambda v: None), ConfigError, "has no question"),
    "question is none": (column("questions", "body", pack([1])), ConfigError, "no record of a question"),
    "no run": (in_records("runs", lambda v: None), ConfigError, "does not hold one run"),
    "own origin": (
        in_records("runs", lambda v: [*v[:8], v[0], 1, *v[10:]]),
        ConfigError,
        "descends from itself",
    ),
    "turn with a number for an answer": (
        in_records("turns", turn_without_an_answer),
        SnapshotCorrupt,
        "answer is a int",
    ),
    "wrong type": (column("steps", "calls", "many"), ConfigError, "calls of a record of steps is a str"),
    "unknown table": (lambda m: m.update({bundle.RECORDS: pack(["leases", []])}), ConfigError, "not as records are"),
    "no records": (lambda m: m.pop(bundle.RECORDS), ConfigError, "cannot be read"),
    "records cut": (lambda m: m.update({bundle.RECORDS: b"\xc1"}), ConfigError, "is damaged"),
    "newer record": (column("turns", "version", 99), StateVersionError, "upgrade"),
    "newer export": (set_manifest(rlm_export=99), StateVersionError, "upgrade"),
    "another run": (set_manifest(run="x"), ConfigError, "does not hold one run"),
    "no manifest": (lambda m: m.pop("manifest.json"), ConfigError, "cannot be read"),
    "manifest is none": (lambda m: m.update({"manifest.json": b"[" * 9000}), ConfigError, "not that of an export"),
    "a path that leads out": (lambda m: m.update({"../../evil": b"x"}), ConfigError, r"holds '\.\./\.\./evil'"),
    "page that is none": (lambda m: m.update({NO_PAGE: b"{}\nx"}), SnapshotCorrupt, "not the page of its name"),
    "page by another name": (lambda m: m.update({NO_PAGE: PAGE}), SnapshotCorrupt, "not the page of its name"),
    "an absolute path": (lambda m: m.update({"/etc/evil": b"x"}), ConfigError, "which no export holds"),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of an answered run; read only."""
    bench = Bench(tmp_path_factory.mktemp("exported"))
    bench.ask([ONE, ASK, MORE, READY])
    file = bench.export()
    for home in bench.homes.values():
        home.close()
    return file


@pytest.mark.parametrize("what", REFUSED)
def test_an_archive_that_is_not_whole_changes_nothing(bench: Bench, exported: Path, tmp_path: Path, what: str) -> None:
    change, error, says = REFUSED[what]
    copy = tmp_path / "copy.zip"
    copy.write_bytes(exported.read_bytes())
    with pytest.raises(error, match=says):
        bench.take(changed(copy, change))
    assert not any(bench.rows(bench.there).values())
    bench.there.sweeper.sweep(grace=0)
    assert bench.rows(bench.there, "blobs") == {"blobs": 0}
    assert [
        f for d in ("blobs", "corpora", "pages", "tmp") for f in (bench.there.path / d).rglob("*") if f.is_file()
    ] == []
    assert bench.take(exported).thread == "t", "and the whole one comes in afterwards"


def test_a_member_that_is_there_twice_is_refused(bench: Bench, exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.zip"
    copy.write_bytes(exported.read_bytes())
    with zipfile.ZipFile(copy, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("manifest.json", archive.read("manifest.json"))
    with pytest.raises(ConfigError, match="twice"):
        bench.take(copy)


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    bench: Bench, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.zip"
    copy.write_bytes(exported.read_bytes())
    with zipfile.ZipFile(copy, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"blobs/{'0' * 64}", bytes(50_000_000))
    with bundle.opened(copy) as found:
        size = found.unpacked
    for caps in (bundle.Caps(unpacked=size - 1), bundle.Caps(members=5), bundle.Caps(records=100)):
        with pytest.raises(ConfigError, match=r"members that unpack to|records are"), bundle.opened(copy, caps):
            pass
    from rlm_agent.store import incoming

    usage = type("usage", (), {"free": size - 1})
    monkeypatch.setattr(incoming.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ConfigError, match="are free in the home"):
        bench.take(copy)


def test_what_is_no_archive_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no zip")
    for name in ("text", "nowhere"):
        with pytest.raises(ConfigError, match="cannot be imported"):
            bench.take(tmp_path / name)


def test_an_archive_cannot_change_the_variables_of_a_run_that_is_here(bench: Bench) -> None:
    """A fork's archive names a turn of its origin with another snapshot; the origin is here and stays as it is."""
    bench.ask([ONE, ASK, MORE, READY])
    config = open_run("t", home=bench.here).fork(2, code="n = 5")
    bench.take(bench.export())
    before = seen(bench.there, "t")

    def other_snapshot(members: dict[str, bytes]) -> None:
        manifest = pack([2, "3.11", b"", b"evil"])
        members[f"blobs/{digest(manifest)}"] = manifest
        column("snapshots", "snapshot", digest(manifest))(members)

    bench.take(changed(bench.export(config), other_snapshot))
    assert seen(bench.there, "t") == before


def test_an_origin_that_stands_elsewhere_is_not_mixed_with_the_archives(bench: Bench) -> None:
    with pytest.raises(ModelError):
        bench.ask([ONE, ConnectionError("x")])
    bench.take(bench.export())
    bench.resume(bench.here, [ASK, MORE, READY])
    config = open_run("t", home=bench.here).fork(3)
    before = bench.rows(bench.there)
    with pytest.raises(ConfigError, match="stands elsewhere"):
        bench.take(bench.export(config))
    assert bench.rows(bench.there) == before


# The commands


@pytest.fixture
def rlm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["rlm", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return run


def test_the_commands_carry_a_run_over(rlm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("Where is the zygote? The zygote is here.\n" * 3)
    asked = ("run", "Which line mentions 'zygote'?", "--context", "text.txt", "--model", "offline", "--quiet")
    code, answer, _ = rlm(*asked, "--thread", "내 질문/1")
    assert code == 0
    code, out, err = rlm("export", "내 질문/1")
    assert (code, out) == (0, "내_질문_1.rlm.zip\n")
    assert err.startswith("exported thread 내 질문/1: ")
    assert os.stat("내_질문_1.rlm.zip").st_mode & 0o777 == 0o600
    assert rlm("export", "내 질문/1")[0] == 2
    other = ("--home", str(tmp_path / "other"))
    code, out, err = rlm("import", "내_질문_1.rlm.zip", *other)
    assert (code, out) == (2, "")
    assert "saved variables, which are code" in err
    assert "--trust" in err
    assert not (tmp_path / "other").exists()
    code, out, err = rlm("import", "내_질문_1.rlm.zip", "--trust", "--thread", "second", *other)
    assert (code, out) == (0, "second\n")
    assert f"rlm resume second --home {tmp_path / 'other'}" in err
    code, again, err = rlm("resume", "second", "--quiet", *other)
    assert (code, again, err) == (0, answer, ""), "with the model that it was started with"
    assert rlm("export", "nowhere")[0] == 2
    assert rlm("export", "second", *other, "-o", str(tmp_path / "no" / "where.zip"))[0] == 1


def test_a_budget_and_a_model_travel_with_the_thread(rlm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlm_agent.cli.starts import Start, load_start

    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("one two\nthree\n")
    assert rlm("run", "Which?", "--context", "text.txt", "--model", "offline", "--budget", "turns=7", "--thread", "t")[
        0
    ] in (0, 3)
    assert rlm("export", "t", "-o", "t.zip")[0] == 0
    assert rlm("import", "t.zip", "--trust", "--home", "other")[0] == 0
    with Home("other") as home:
        start = load_start(home, "t")
    assert isinstance(start, Start)
    assert (start.model, start.budget.turns) == ("offline", 7)
    assert isinstance(start.budget, Budget)


def test_a_damaged_home_exports_nothing(bench: Bench) -> None:
    bench.ask([ONE, ASK, MORE, READY])
    output = next(turn.record.output_ref for turn in open_run("t", home=bench.here).turns if turn.record.output_ref)
    bench.here.write(lambda c: c.execute("DELETE FROM blobs WHERE key = ?", (output,)).rowcount).result()
    with pytest.raises(HomeError, match=output):
        bench.export()
    assert list(bench.path.glob("*zip*")) == []
