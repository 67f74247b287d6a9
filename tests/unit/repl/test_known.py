"""A worker can name only leaves that its session gave or was started from."""

import pytest
from blake3 import blake3

from rlm_agent.errors import KernelError
from rlm_agent.repl.kernel import SnapshotSource
from rlm_agent.repl.known import KnownLeaves
from rlm_agent.repl.manifest import Manifest

OLD, NEW, FOREIGN = (blake3(leaf).hexdigest() for leaf in (b"old", b"new", b"foreign"))


def source() -> SnapshotSource:
    manifest = Manifest("3.11", bytes.fromhex(OLD), b"").encode()
    return SnapshotSource(manifest, {OLD: b"old", FOREIGN: b"foreign"}.__getitem__)


def test_leaves_of_the_snapshot_are_read_and_no_others() -> None:
    known = KnownLeaves(source())
    assert known.read([OLD]) == [b"old"]
    for keys in ([FOREIGN], [OLD, FOREIGN]):
        with pytest.raises(KernelError, match="of no snapshot of its own"):
            known.read(keys)
    with pytest.raises(KernelError):
        KnownLeaves(None).read([OLD])


def test_a_manifest_may_name_what_was_sent_or_known() -> None:
    known = KnownLeaves(source())
    new: dict[str, bytes] = {}
    known.add([b"new"], new)
    assert new == {NEW: b"new"}
    known.settle([OLD, NEW, OLD], new)
    known.settle([NEW], {})
    with pytest.raises(KernelError, match="other leaves"):
        known.settle([OLD], {})


@pytest.mark.parametrize("keys", [[FOREIGN], [OLD, FOREIGN], [OLD]])
def test_a_manifest_that_names_others_is_refused(keys: list[str]) -> None:
    known = KnownLeaves(source())
    new: dict[str, bytes] = {}
    known.add([b"new"], new)
    with pytest.raises(KernelError, match="other leaves"):
        known.settle(keys, new)


def test_more_than_the_host_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_agent.repl.known.MOST_BYTES", 5)
    with pytest.raises(KernelError, match="at once"):
        KnownLeaves(None).add([b"abc", b"def"], {})


def test_what_is_no_manifest_is_a_kernel_error() -> None:
    with pytest.raises(KernelError, match="manifest is damaged"):
        KnownLeaves(SnapshotSource(b"x", bytes.fromhex))
