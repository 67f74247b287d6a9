"""Entropy: the random bytes of a cell, so that a cell that runs again draws the same.

They are the BLAKE3 stream of a seed that the host derives from the cell's lineage: equal in each run of the same cell,
different in any other. Invariant: whoever asks Python for random bytes in a cell (`os.urandom`, `secrets`, `uuid`, an
unseeded generator of `random` or numpy) draws from it; a child that a cell forks draws from a stream of its own.
Outside of cells, and where there is no seed, the bytes are the system's. They are as secret as the run's record.
"""

import operator
import os
import random
import tempfile
import threading
import uuid
from typing import Any

from blake3 import blake3

from rlm_agent.repl.stand_in import StandIn

__all__ = ["Entropy"]

_real = os.urandom
# What Python itself takes for a generator that is given no seed.
STATE_BYTES = 2496


class Entropy:
    """The random bytes of one worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: Any = None
        self._at = 0
        self._forks = 0

    def begin(self, seed: str) -> None:
        """A cell begins; "" leaves it the system's bytes."""
        self._stream, self._at, self._forks = blake3(seed.encode()) if seed else None, 0, 0
        # Each cell's names of temporary files begin anew, since the generator behind them is in no snapshot.
        vars(tempfile)["_name_sequence"] = None

    def end(self) -> None:
        """The cell is over."""
        self._stream = None

    def read(self, size: int, /) -> bytes:
        """As `os.urandom`."""
        stream = self._stream
        if stream is None:
            return _real(size)
        length = operator.index(size)
        if length < 0:
            raise ValueError("negative argument not allowed")
        with self._lock:
            start, self._at = self._at, self._at + length
        data: bytes = stream.digest(length=length, seek=start)
        return data

    def install(self) -> None:
        """Makes these the random bytes of this process, which must be a worker's."""
        StandIn.install(os, "urandom", self.read)
        StandIn.install(os, "getrandom", lambda size, flags=0: self.read(size))
        vars(random)["_urandom"] = os.urandom
        # Python's own way to these bytes, instead of the C library's.
        vars(uuid).update(_generate_time_safe=None, _UuidCreate=None)
        self._install_seed()
        os.register_at_fork(before=self._count_fork, after_in_child=self._part)

    def _install_seed(self) -> None:
        """Where a generator is given no seed, C code would ask the system for one."""
        seed_with = random.Random.seed

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            """Initialize internal state from a seed."""
            seed_with(generator, int.from_bytes(self.read(STATE_BYTES), "little") if a is None else a, version)

        seed.__qualname__, seed.__module__ = "Random.seed", "random"
        vars(random)["seed"] = seed.__get__(vars(random)["_inst"])
        random.Random.seed = seed  # type: ignore[method-assign, assignment]

    def _count_fork(self) -> None:
        self._forks += 1

    def _part(self) -> None:
        self._lock = threading.Lock()
        if self._stream is not None:
            self._stream, self._at = blake3(self._stream.digest() + self._forks.to_bytes(8, "little")), 0
            self._forks = 0
