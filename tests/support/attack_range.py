"""The range: attacks on one host, in namespaces of their own, and the judge who looks at all from outside of it.

The first process makes the namespaces (PID, mount, network, IPC, UTS) and waits. The judge is process 1 in them, so
nothing in there can end it, and what it leaves ends with it. It sets the scene: canaries, listeners, a bystander;
starts the host as root or as a bare user; hands it one cell after another; and compares what was with what is. A
worker that breaks out of a sandbox breaks into this. Reads a specification from standard input and prints the
verdicts, both JSON.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attack_view import View, hot_pages_of, keys_of

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
BIND, REC, PRIVATE = 0x1000, 0x4000, 0x40000
BARE = 65534
GETFLAGS = 0x80086601
GRACE = 2.0
PLANTED = "rlm-planted-"
FIRST_BIT = 100


def _checked(result: int, what: str) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    call = LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(call, f"mount {target}")


# The place


def enter_namespaces() -> None:
    """This process's children live in a world of their own."""
    flags, root = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET, os.geteuid() == 0
    uid, gid = os.getuid(), os.getgid()
    _checked(LIBC.unshare(flags if root else flags | NEWUSER), "unshare")
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _mount("none", "/", flags=REC | PRIVATE)


def raise_loopback() -> None:
    """The network namespace's loopback works, and has an address that only a look at the interfaces tells."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))


def open_the_way(paths: list[str]) -> None:
    """A bare user reaches these paths: a closed directory above one is covered by an open one that holds it alone."""
    closed: dict[str, list[str]] = {}
    for path in paths:
        above = [str(parent) for parent in reversed(Path(path).parents)]
        first = next((parent for parent in above if not os.stat(parent).st_mode & 0o001), None)
        if first is not None:
            closed.setdefault(first, []).append(path)
    for directory, held in closed.items():
        stage = tempfile.mkdtemp()
        _mount("none", stage, "tmpfs", data="mode=755")
        for number, path in enumerate(held):
            os.mkdir(f"{stage}/{number}")
            _mount(path, f"{stage}/{number}", flags=BIND | REC)
        _mount("none", directory, "tmpfs", data="mode=755")
        for number, path in enumerate(held):
            os.makedirs(path, exist_ok=True)
            _mount(f"{stage}/{number}", path, flags=BIND | REC)


# The scene


class Scene:
    """Canaries, listeners and places. `tokens` are what must never come out, by what each stands for."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.root = Path(tempfile.mkdtemp(prefix="rlm-range-"))
        names = (
            "file",
            "name",
            "attribute",
            "key",
            "home",
            "sibling",
            "blob",
            "database",
            "segment",
            "command",
            "queue",
            "kernel_key",
        )
        self.tokens = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in names}
        self.tokens["bits"] = secrets.token_hex(8)
        self.contacts: list[str] = []
        self.listeners: dict[socket.socket, str] = {}
        self.facts: dict[str, Any] = {"kernel_key": f"rlm-{secrets.token_hex(8)}", "first_bit": FIRST_BIT}
        self._files()
        self._listen()
        self._share()

    def _files(self) -> None:
        os.chmod(self.root, 0o755)
        outside, home, tmp, rlm = (self.root / name for name in ("outside", "home", "tmp", "rlm"))
        for directory in (outside, home, tmp, rlm, rlm / "blobs", outside / "empty"):
            directory.mkdir()
        self._write(outside / "secret", self.tokens["file"])
        self._write(outside / "target", "as it was")
        self._write(outside / self.tokens["name"], "")
        with contextlib.suppress(OSError):
            os.setxattr(outside / "secret", "user.note", self.tokens["attribute"].encode())
            os.setxattr(outside / "target", "user.note", b"as it was")
        os.symlink("secret", outside / "link")
        self._write(home / ".netrc", self.tokens["home"])
        self._write(rlm / "blobs" / "leaf", self.tokens["blob"])
        self._write(rlm / "blobs" / "context", "the context\n" * 1000)
        with contextlib.closing(sqlite3.connect(rlm / "home.sqlite")) as database, database:
            database.execute("create table steps (body text)")
            database.execute("insert into steps values (?)", (self.tokens["database"],))
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)
        self.facts |= {name: str(self.root / name) for name in ("outside", "home", "rlm")}

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    def _listen(self) -> None:
        for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            sock = socket.socket(socket.AF_INET, kind)
            sock.bind(("127.0.0.1", 0))
            self._listener(sock, name)
            self.facts[name] = sock.getsockname()[1]
        for name, kind in (("unix", socket.SOCK_STREAM), ("unix_datagram", socket.SOCK_DGRAM)):
            for form, address in (("path", str(self.root / name)), ("abstract", f"\0{self.root}-{name}")):
                sock = socket.socket(socket.AF_UNIX, kind)
                sock.bind(address)
                if form == "path":
                    os.chmod(address, 0o777)
                self._listener(sock, f"{name}_{form}")
                self.facts[f"{name}_{form}"] = address
        self._listen_for_names()

    def _listen_for_names(self) -> None:
        with contextlib.suppress(OSError):
            note = self.root / "resolv.conf"
            note.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            _mount(str(note), os.path.realpath("/etc/resolv.conf"), flags=BIND)
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 53))
            self._listener(sock, "dns")

    def _listener(self, sock: socket.socket, name: str) -> None:
        if sock.type == socket.SOCK_STREAM:
            sock.listen()
        sock.setblocking(False)
        self.listeners[sock] = name

    def _share(self) -> None:
        """A System V segment of the user's, readable by whoever is in the same IPC namespace."""
        key = secrets.randbelow(1 << 30)
        segment = LIBC.shmget(key, 4096, 0o1666)
        if segment != -1:
            LIBC.shmat.restype = ctypes.c_void_p
            address = LIBC.shmat(segment, None, 0)
            token = self.tokens["segment"].encode()
            ctypes.memmove(address, token, len(token))
        self.facts["segment"] = key
        self._post()

    def _post(self) -> None:
        """A POSIX message queue; the name space of queues is the IPC namespace's."""
        name = f"/{secrets.token_hex(8)}"
        queue = LIBC.mq_open(name.encode(), 0o102, 0o666, None)
        token = self.tokens["queue"].encode()
        LIBC.mq_send(queue, token, len(token), 0)
        self.facts["queue"] = name
        letter = struct.pack("q", 1) + token
        LIBC.msgsnd(LIBC.msgget(0, 0o1666), letter, len(token), 0)

    def poll(self) -> None:
        """Notes who called."""
        ready, _, _ = select.select(list(self.listeners), [], [], 0)
        for sock in ready:
            name = self.listeners[sock]
            heard = b""
            if sock.type == socket.SOCK_STREAM:
                connection, _ = sock.accept()
                connection.settimeout(0.2)
                with connection, contextlib.suppress(OSError):
                    heard = connection.recv(65536)
            else:
                heard = sock.recv(65536)
            self.contacts.append(f"{name}: {heard[:80]!r}")


# What the judge compares


def _attributes(path: Path) -> dict[str, str]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    except OSError:
        return {}


def _flags(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return -1
    try:
        return int(struct.unpack("<q", fcntl.ioctl(fd, GETFLAGS, bytes(8)))[0]) & 0xFFFFFFFF
    except OSError:
        return -1
    finally:
        os.close(fd)


def files(*roots: Path) -> dict[str, tuple[str, Any]]:
    """Content, and all that can be told of each file, by path."""
    found = {}
    for path in (path for root in roots if root.exists() for path in (root, *root.rglob("*"))):
        state = path.lstat()
        content = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        kind = f"{state.st_mode >> 12:o}"
        about = (state.st_mode, state.st_uid, state.st_gid, state.st_mtime_ns, _attributes(path), _flags(path))
        found[str(path)] = (f"{kind} {content} {state.st_nlink if kind != '4' else ''}", about)
    return found


def process(pid: int) -> dict[str, Any]:
    """What others may have changed of a process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if status[0] in "ZX":
            return {"alive": False}
        return {
            "alive": True,
            "stopped or traced": status[0] in "Tt",
            "affinity": sorted(os.sched_getaffinity(pid)),
            "nice": os.getpriority(os.PRIO_PROCESS, pid),
            "policy": os.sched_getscheduler(pid),
            "io priority": LIBC.syscall(252 if os.uname().machine == "x86_64" else 31, 1, pid),
            "limits": Path(f"/proc/{pid}/limits").read_text(),
            "oom": Path(f"/proc/{pid}/oom_score_adj").read_text(),
            "traced by": next(
                line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("TracerPid")
            ),
        }
    except (FileNotFoundError, ProcessLookupError):
        return {"alive": False}


def living() -> set[int]:
    """All processes in here that are no zombies."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and process(int(name))["alive"]}


class Judge:
    """Some attacks, each in a session of its own, from beginning to end."""

    def __init__(self, spec: dict[str, Any], scene: Scene) -> None:
        self.spec, self.scene = spec, scene
        self.breaches: list[tuple[str, str]] = []
        self._touching = False
        self._view: View | None = None
        who = {"user": scene.uid, "group": scene.uid, "extra_groups": []} if os.getuid() != scene.uid else {}
        # A command line is a place for secrets, too.
        command = [scene.tokens["command"], "1000"]
        apart: dict[str, Any] = {"preexec_fn": _apart} if scene.uid == 0 else {}
        bits = _bits(scene.tokens["bits"])
        self.bystander = subprocess.Popen(
            command, executable=shutil.which("sleep"), env={}, pass_fds=bits, **who, **apart
        )
        for fd in bits:
            os.close(fd)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": scene.facts["home"],
            "RLM_HOME": scene.facts["rlm"],
            "TMPDIR": str(scene.root / "tmp"),
            "OPENAI_API_KEY": scene.tokens["key"],
            "RLM_ALLOW_UNSANDBOXED": "1",
        }
        program = str(Path(__file__).with_name("attack_host.py"))
        context = str(scene.root / "rlm/blobs/context")
        how = json.dumps({"mode": spec["mode"], "layers": spec["layers"]})
        secret, in_the_kernel = (scene.tokens[name] for name in ("sibling", "kernel_key"))
        arguments = [sys.executable, program, how, secret, context, scene.facts["kernel_key"], in_the_kernel]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.host = subprocess.Popen(arguments, env=environment, cwd=scene.root, **pipes, **who)

    def ask(self, **message: Any) -> dict[str, Any]:
        """A line to the host, and its line; {} where it is gone."""
        assert self.host.stdin
        with contextlib.suppress(BrokenPipeError):
            self.host.stdin.write(json.dumps(message) + "\n")
            self.host.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self.host.stdout
        deadline = time.monotonic() + 120
        while not select.select([self.host.stdout], [], [], 0.02)[0]:
            self.scene.poll()
            if self._touching:
                self._touch()
            if self._view is not None:
                self._view.look()
            if time.monotonic() > deadline:
                return {}
        line = self.host.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {}
        return told

    def _touch(self) -> None:
        """Somebody works in a directory that the cell may not see."""
        path = self.scene.root / "outside" / f"{self.scene.tokens['name']}.tmp"
        path.touch()
        path.unlink()

    def work(self) -> dict[str, Any]:
        """The verdicts, by name."""
        facts = self._line()
        if not facts:
            return {"failed": f"the host did not start: {self.host.wait()}"}
        pid = self.bystander.pid
        facts |= {"bystander": pid, "bystander_stack": _stack(pid), "uid": self.scene.uid, **self.scene.facts}
        verdicts = {attack["name"]: self._one(attack, facts) for attack in self.spec["attacks"]}
        self.ask(op="end")
        return {"isolation": facts["isolation"], "verdicts": verdicts}

    def _one(self, attack: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        scene = self.scene
        self.breaches = []
        scene.contacts.clear()
        watched = {name: facts[name] for name in ("host", "zygote", "sibling", "bystander")}
        roots = [scene.root / name for name in ("outside", "home", "rlm")] + [Path(facts["sibling_scratch"])]
        before = self._state(roots, watched)
        # What the attacker knows is where things are, and none of what is in them.
        code = f"{self.spec['prelude']}\nscene.__dict__.update({facts!r})\n{attack['code']}"
        self._touching = attack["name"] == "watching_a_directory"
        born = self.ask(op="session")
        self._view = View(born["worker"], born["scratch"], set(watched.values()))
        keys, hot = keys_of(scene.uid), hot_pages_of(self.bystander.pid)
        told = self.ask(op="attack", code=code)
        time.sleep(0.02)
        scene.poll()
        self._look_at_last(attack, keys)
        # Others who want memory cool pages, too.
        if attack["holds"] == "hot pages" and hot_pages_of(self.bystander.pid) != hot:
            self.breaches.append(("harm", "bystander: hot pages"))
        self._compare(before, self._state(roots, watched))
        self._listen_to(told)
        self._check_sibling(told)
        self._close(set(watched.values()), attack["host_dies"])
        return {"breaches": self.breaches, "told": told, "seconds": round(time.monotonic() - began, 2)}

    def _look_at_last(self, attack: dict[str, Any], keys: str) -> None:
        """What the session's processes hold; other users of the machine make keys, too."""
        view, self._view = self._view, None
        assert view is not None
        view.look_at_last()
        if attack["holds"] == "a key" and keys_of(self.scene.uid) != keys:
            view.seen.add("a key")
        self.breaches += [("held", what) for what in sorted(view.seen)]

    def _state(self, roots: list[Path], watched: dict[str, int]) -> dict[str, Any]:
        states = {name: process(pid) for name, pid in watched.items()}
        mounts = Path("/proc/self/mountinfo").read_text()
        shared = sorted(os.listdir("/dev/shm"))
        return {
            "files": files(*roots),
            "processes": states,
            "host name": os.uname().nodename,
            "mounts": mounts,
            "/dev/shm": [name for name in shared if name.startswith(PLANTED)],
        }

    def _compare(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        for path in sorted(before["files"].keys() | after["files"].keys()):
            was, now = before["files"].get(path), after["files"].get(path)
            if was is None or now is None or was[0] != now[0]:
                self.breaches.append(("written", path))
            elif was[1] != now[1] and not (self._touching and path.endswith("outside")):
                self.breaches.append(("metadata", f"{path}: {was[1]} -> {now[1]}"))
        for name, was in before["processes"].items():
            if (now := after["processes"][name]) != was:
                changed = [key for key in was if now.get(key) != was[key]]
                self.breaches.append(("harm", f"{name}: {changed}"))
        for what in ("host name", "mounts", "/dev/shm"):
            if before[what] != after[what]:
                self.breaches.append(("written", what))
        for name in set(after["/dev/shm"]) - set(before["/dev/shm"]):
            os.unlink(f"/dev/shm/{name}")
        self.breaches += [("contact", contact) for contact in self.scene.contacts]

    def _listen_to(self, told: dict[str, Any]) -> None:
        said = "\n".join(str(part) for part in told.values())
        everything = said + "".join(self.scene.contacts)
        self.breaches += [("read", name) for name, token in self.scene.tokens.items() if token in everything]

    def _check_sibling(self, told: dict[str, Any]) -> None:
        if not told or self.host.poll() is not None:
            self.breaches.append(("harm", "the host is gone"))
            return
        token = self.scene.tokens["sibling"]
        if self.ask(op="check").get("sibling") != f"(True, {token!r})":
            self.breaches.append(("harm", "the other session is not what it was"))

    def _close(self, expected: set[int], host_dies: bool) -> None:
        """The session's end, in peace or by the host's death: who is still there?"""
        if host_dies:
            self.host.kill()
            self.host.wait()
            expected = {self.bystander.pid}
        else:
            self.ask(op="close")
        expected |= {os.getpid()}
        deadline = time.monotonic() + GRACE
        while (left := living() - expected) and time.monotonic() < deadline:
            time.sleep(0.01)
        if left:
            self.breaches.append(("left", ", ".join(map(_named, sorted(left)))))
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _apart() -> None:
    """This process has a network, host name and shared memory of its own, which somebody might enter."""
    LIBC.unshare(NEWNET | NEWUTS | NEWIPC)


def _bits(digits: str) -> list[int]:
    """Descriptors for a process to hold: each bit's is a copy of the first of them where the bit is set."""
    one, other = (os.open("/dev/null", os.O_RDONLY) for _ in "ab")
    value = int(digits, 16)
    sources = [one, *(one if value >> bit & 1 else other for bit in range(64))]
    bits = [os.dup2(source, FIRST_BIT - 1 + number) for number, source in enumerate(sources)]
    os.close(one)
    os.close(other)
    return bits


def _stack(pid: int) -> tuple[int, int]:
    """Where a process's stack is."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    start, end = next(line.split()[0].split("-") for line in lines if line.endswith("[stack]"))
    return int(start, 16), int(end, 16)


def _named(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()[:60]!r}"
    except FileNotFoundError:
        return str(pid)


def _judge(spec: dict[str, Any]) -> dict[str, Any]:
    _mount("proc", "/proc", "proc")
    raise_loopback()
    uid = BARE if spec["user"] == "bare" and os.getuid() == 0 else os.getuid()
    if uid != os.getuid():
        project = str(Path(__file__).parents[2])
        open_the_way([os.path.realpath(sys.base_prefix), sys.prefix, project])
    scene = Scene(uid)
    try:
        return Judge(spec, scene).work()
    finally:
        shutil.rmtree(scene.root, ignore_errors=True)


def main() -> int:
    spec = json.load(sys.stdin)
    try:
        enter_namespaces()
    except OSError as error:
        print(json.dumps({"impossible": f"no namespaces for the range: {error}"}))
        return 0
    child = os.fork()
    if child == 0:
        LIBC.prctl(1, signal.SIGKILL)
        status = 1
        try:
            print(json.dumps(_judge(spec)), flush=True)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
