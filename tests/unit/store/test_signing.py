"""Signatures: a snapshot is a turn's only where this home's key says so; the key never lies in the home."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_agent.errors import ConfigError, HomeError, SnapshotCorrupt
from rlm_agent.store.home import Home
from rlm_agent.store.plain import digest
from rlm_agent.store.records import TurnRecord
from rlm_agent.store.signing import Key, Signer

Make = Callable[..., Any]
FIRST, SECOND = digest(b"first"), digest(b"second")


def change(home: Home, query: str, *values: object) -> None:
    home.write(lambda connection: connection.execute(query, values).rowcount).result()


@pytest.fixture
async def turn(home: Home, make_turn: Make) -> TurnRecord:
    added: TurnRecord = await home.turns.add(make_turn(snapshot=FIRST))
    return added


async def test_a_recorded_turn_has_its_snapshot(home: Home, turn: TurnRecord) -> None:
    assert home.signatures.snapshot_of(turn) == FIRST
    await home.signatures.replace(turn, SECOND, None)
    assert home.signatures.snapshot_of(turn) == SECOND
    assert home.turns.get(turn.id) == turn


async def test_a_turn_without_one_has_none(home: Home, make_turn: Make) -> None:
    assert home.signatures.snapshot_of(await home.turns.add(make_turn())) is None


@pytest.mark.parametrize(
    ("query", "values", "complaint"),
    [
        ("UPDATE snapshots SET snapshot = ?", (SECOND,), "forged or swapped"),
        ("UPDATE snapshots SET mac = ?", (bytes(32),), "forged or swapped"),
        ("UPDATE snapshots SET key_id = ?", ("0" * 16,), "signed with the key 0000"),
        ("DELETE FROM snapshots", (), "not signed"),
        ("UPDATE turns SET body = CAST(replace(body, ?, ?) AS BLOB)", ("print", "evil_"), "was changed"),
    ],
)
def test_what_the_key_does_not_vouch_for_is_refused(
    home: Home, turn: TurnRecord, query: str, values: tuple[object, ...], complaint: str
) -> None:
    change(home, query, *values)
    with pytest.raises(SnapshotCorrupt, match=complaint):
        home.signatures.snapshot_of(turn)


async def test_a_signature_fits_its_own_turn_only(home: Home, turn: TurnRecord, make_turn: Make) -> None:
    other = await home.turns.add(make_turn(2, parent=turn.id, lineage_before="l1", lineage="l2", snapshot=SECOND))
    change(
        home,
        "UPDATE snapshots SET (snapshot, mac) = (SELECT snapshot, mac FROM snapshots WHERE turn = ?) WHERE turn = ?",
        turn.id,
        other.id,
    )
    assert home.signatures.snapshot_of(turn) == FIRST
    with pytest.raises(SnapshotCorrupt, match="swapped"):
        home.signatures.snapshot_of(other)


def test_the_key_lies_beside_the_home_for_this_user_only(home: Home, turn: TurnRecord) -> None:
    file = home.path.with_name("home.key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_bytes()
    held = [entry.read_bytes() for entry in home.path.rglob("*") if entry.is_file()]
    assert held
    assert not any(secret in content for content in held)
    assert Signer(home.path).key() == home.signatures.signer.key()


def test_another_key_is_told_from_the_homes(home: Home, turn: TurnRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_KEY", "a key of at least sixteen bytes")
    with Home(home.path) as again, pytest.raises(SnapshotCorrupt, match=r"RLM_KEY holds the key .*RLM_KEY_FILE"):
        again.signatures.snapshot_of(turn)


def test_keys_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "given"
    file.write_bytes("열쇠 열쇠 열쇠\n".encode())
    monkeypatch.setenv("RLM_KEY_FILE", str(file))
    assert Signer(tmp_path / "home").key() == Key("열쇠 열쇠 열쇠".encode(), str(file))
    monkeypatch.setenv("RLM_KEY", "0123456789abcdef")
    assert Signer(tmp_path / "home").key().secret == b"0123456789abcdef"
    monkeypatch.setenv("RLM_KEY", "short")
    with pytest.raises(ConfigError, match="RLM_KEY holds 5 bytes"):
        Signer(tmp_path / "home").key()
    monkeypatch.delenv("RLM_KEY")
    file.unlink()
    with pytest.raises(HomeError, match=str(file)):
        Signer(tmp_path / "home").key()
    assert not (tmp_path / "home.key").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Signer(tmp_path / "home").key()
    (tmp_path / "home.key").chmod(0o644)
    with pytest.raises(HomeError, match="chmod 600"):
        Signer(tmp_path / "home").key()


def test_an_id_tells_keys_apart_and_nothing_else() -> None:
    one, other = Key(b"1" * 16, ""), Key(b"2" * 16, "")
    assert one.id != other.id
    assert one.secret.hex() not in one.id
    assert one.mac("t", "s") != other.mac("t", "s") != one.mac("t", "r")
