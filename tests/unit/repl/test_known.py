"""A worker can name only leaves that its session gave or was started from."""

import pytest
from blake3 import blake3

from rlm_agent.errors import KernelError
from rlm_agent.repl.kernel import Bindings, CellDone, SnapshotSource
from rlm_agent.repl.known import KnownLeaves, most_bytes
from rlm_agent.repl.manifest import Manifest
from rlm_agent.repl.process import ProcessKernel
from rlm_agent.repl.watch import OWN_MEMORY
from rlm_agent.settings import Limits

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


def test_more_than_the_session_can_hold_is_refused() -> None:
    with pytest.raises(KernelError, match="at once"):
        KnownLeaves(None, 5).add([b"abc", b"def"], {})
    assert most_bytes(Limits(memory_mb=100, disk_mb=50)) == (150 << 20) + OWN_MEMORY
    assert most_bytes(Limits(memory_mb=1 << 20)) == 4 << 30


async def test_a_worker_that_sends_more_than_it_may_hold_is_ended() -> None:
    """The worker's own code is replaced: what it sends is made as it is sent, so that it never holds it."""
    code = """
from rlm_agent.repl import worker
import os
kept = os.urandom(100_000)
def endless(self, leaves):
    while True: self._channel.send({"op": "leaves", "leaves": [os.urandom(1 << 20)]})
worker.Worker._send_leaves = endless
"""
    session = await ProcessKernel(Limits(memory_mb=64, disk_mb=16)).session()
    await session.start(Bindings(task=""), None)
    event = await session.execute(code)
    assert isinstance(event, CellDone)
    assert event.error is None
    with pytest.raises(KernelError, match="more than 336 MB at once"):
        await session.snapshot()
    await session.close()


def test_what_is_no_manifest_is_a_kernel_error() -> None:
    with pytest.raises(KernelError, match="manifest is damaged"):
        KnownLeaves(SnapshotSource(b"x", bytes.fromhex))
