"""Ctrl-C once and twice, in a process that does not want to end."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STUBBORN = """
import sys, threading, time
from rlm_agent.cli.interrupts import second_ctrl_c_ends

try:
    with second_ctrl_c_ends("bye 안녕"):
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("first", flush=True)
    {after}
"""


@contextmanager
def interrupted(after: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that got one Ctrl-C and then does this."""
    command = [sys.executable, "-c", STUBBORN.format(after=after)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "first\n"
        yield process
    finally:
        process.kill()


def test_the_first_is_python_s_own() -> None:
    with interrupted("sys.exit(7)") as process:
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (7, "")


def test_the_second_ends_a_wait_that_nothing_breaks() -> None:
    with interrupted("while True: time.sleep(60)") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "bye 안녕\n")


def test_the_second_also_ends_a_process_that_waits_for_its_threads() -> None:
    with interrupted("threading.Thread(target=time.sleep, args=(60,)).start()") as process:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "bye 안녕\n")


def test_without_a_signal_nothing_of_it_stays() -> None:
    import threading

    from rlm_agent.cli.interrupts import second_ctrl_c_ends

    before = threading.active_count()
    with second_ctrl_c_ends("bye"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert signal.set_wakeup_fd(-1) == -1
