"""Attacks by sockets: reaching any listener, or being one."""

import array
import asyncio
import ctypes
import os
import socket
import struct
import subprocess
import sys

from attack import attack
from attacks.prelude import Ring, compat_syscall, inet, low_memory, scene


@attack("contact", "TCP", by="namespaces landlock seccomp")
def tcp() -> None:
    socket.create_connection(("127.0.0.1", scene.tcp), 2).sendall(b"out")


@attack("contact", "TCP", by="namespaces landlock seccomp")
def tcp_by_asyncio() -> None:
    async def call() -> None:
        _reader, writer = await asyncio.open_connection("127.0.0.1", scene.tcp)
        writer.write(b"out")
        await writer.drain()

    asyncio.run(call())


@attack("contact", "TCP fast open", by="namespaces seccomp")
def tcp_in_the_first_packet() -> None:
    with socket.socket() as sock:
        sock.sendto(b"out", 0x20000000, ("127.0.0.1", scene.tcp))


@attack("contact", "MPTCP", by="namespaces seccomp")
def tcp_of_many_paths() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as sock:
        sock.connect(("127.0.0.1", scene.tcp))
        sock.sendall(b"out")


@attack("contact", "UDP", by="namespaces seccomp")
def udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"out", ("127.0.0.1", scene.udp))


@attack("contact", "unix socket by path", by="seccomp")
def unix_path() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(scene.unix_path)
        sock.sendall(b"out")


@attack("contact", "unix socket by path", by="seccomp")
def unix_path_datagram() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"out", scene.unix_datagram_path)


@attack("contact", "abstract unix socket", by="namespaces landlock seccomp")
def unix_abstract() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(scene.unix_abstract)
        sock.sendall(b"out")


@attack("contact", "abstract unix socket", by="namespaces landlock seccomp")
def unix_abstract_datagram() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"out", scene.unix_datagram_abstract)


@attack("contact", "a pair pointed elsewhere", by="seccomp")
def a_pair_that_sends_elsewhere() -> None:
    # A pair needs no `socket()`, and a datagram names its own receiver.
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"out", scene.unix_datagram_path)


@attack("contact", "a pair pointed elsewhere", by="seccomp")
def a_pair_that_is_connected_elsewhere() -> None:
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect(scene.unix_datagram_path)
    one.send(b"out")


@attack("contact", "a pair pointed elsewhere", by="namespaces landlock seccomp")
def a_pair_that_sends_elsewhere_abstractly() -> None:
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendmsg([b"out"], [], 0, scene.unix_datagram_abstract)


@attack(
    "contact",
    "its channel pointed elsewhere",
    not_real="the channel is a connected stream, which cannot be connected again in either mode",
)
def the_channel_connected_elsewhere() -> None:
    for name in os.listdir("/proc/self/fd"):
        try:
            channel = socket.socket(fileno=os.dup(int(name)))
            channel.setblocking(False)
            channel.connect(scene.unix_path)
            channel.sendall(b"out")
        except OSError as error:
            print(error)


@attack("held", "raw socket", by="privileges", holds="a socket", succeeds_when_off="root")
def raw_packets() -> None:
    scene.kept = sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.sendto(b"\x08\x00\xf7\xff" + bytes(4), ("127.0.0.1", 0))


@attack("held", "packet socket", by="privileges", holds="a socket", succeeds_when_off="root")
def frames_of_an_interface() -> None:
    scene.kept = sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)
    sock.bind(("lo", 3))


@attack("held", "netlink", by="seccomp", holds="a socket")
def netlink() -> None:
    scene.kept = sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    sock.send(struct.pack("IHHIIB", 17, 18, 0x301, 1, 0, 0))
    print(sock.recv(64))


@attack("held", "vsock", by="seccomp", holds="a socket")
def machine_sockets() -> None:
    scene.kept = sock = socket.socket(socket.AF_VSOCK)
    sock.settimeout(0.2)
    sock.connect((2, 1))


@attack(
    "held",
    "AF_ALG",
    holds="a socket",
    not_real="whether a kernel has sockets for its cryptography is its own affair; many have them as a module",
)
def sockets_into_the_kernels_cryptography() -> None:
    scene.kept = sock = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    sock.bind(("hash", "sha256"))


@attack("contact", "name lookup", by="namespaces seccomp")
def a_name_is_looked_up() -> None:
    socket.getaddrinfo("canary.example.org", 80)


@attack("contact", "io_uring: sockets", by="namespaces landlock seccomp")
def io_uring_connects() -> None:
    ring = Ring()
    fd = ring.do(45, socket.AF_INET, socket.SOCK_STREAM, 0, 0)
    address = ctypes.create_string_buffer(inet(scene.tcp))
    ring.do(16, fd, 16, ctypes.addressof(address), 0)
    data = ctypes.create_string_buffer(b"out")
    ring.do(26, fd, 0, ctypes.addressof(data), 3)


@attack("contact", "32-bit gate: sockets", by="namespaces landlock seccomp")
def the_32_bit_gate_connects() -> None:
    address = low_memory(inet(scene.tcp))
    fd = compat_syscall(359, socket.AF_INET, socket.SOCK_STREAM, 0)
    compat_syscall(362, fd, address, 16)
    os.write(fd, b"out")


@attack("contact", "32-bit gate: sockets", by="namespaces seccomp")
def the_32_bit_gate_multiplexes() -> None:
    fd = compat_syscall(102, 1, low_memory(struct.pack("III", socket.AF_INET, socket.SOCK_DGRAM, 0)))
    data, address = low_memory(b"out"), low_memory(inet(scene.udp))
    compat_syscall(102, 11, low_memory(struct.pack("IIIIII", fd, data, 3, 0, address, 16)))


@attack("contact", "an installed program", by="namespaces landlock seccomp")
def another_program_connects() -> None:
    code = f"import socket; socket.create_connection(('127.0.0.1', {scene.tcp}), 2).sendall(b'out')"
    print(subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True).stderr)


@attack("contact", "/proc/PID/fd", by="namespaces landlock seccomp")
def a_descriptor_handed_to_another_session() -> None:
    # Any socket of the other session would do; the host's own is the nearest.
    pid = os.open(f"/proc/{scene.host}/fd", os.O_RDONLY)
    print(os.listdir(pid))
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", scene.tcp))
        sock.sendall(repr(os.listdir(f"/proc/{scene.host}/fd")).encode())


@attack("held", "listen on a port", by="seccomp", holds="a socket")
def a_listener_of_its_own() -> None:
    scene.kept = server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()


@attack("held", "listen on a path", by="landlock seccomp", holds="a listener")
def a_listener_on_a_path() -> None:
    scene.kept = server = socket.socket(socket.AF_UNIX)
    server.bind("here")
    server.listen()


@attack(
    "read",
    "descriptors over its channel",
    not_real="the host takes no descriptor from a worker, sandboxed or not: it closes what comes",
)
def descriptors_sent_to_the_host() -> None:
    mine = os.open("/dev/null", os.O_RDONLY)
    for name in os.listdir("/proc/self/fd"):
        try:
            channel = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        rights = array.array("i", [mine] * 100)
        channel.sendmsg([b"\0\0\0\1\xc0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
