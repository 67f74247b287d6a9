"""Attacks on files outside of the scratch directory: reading them, and writing them."""

import ctypes
import mmap
import os
import struct
import subprocess
import sys

from attack import attack
from attacks.prelude import LIBC, Ring, compat_syscall, libc, low_memory, scene, syscall

# Reading


@attack("read", "open by path", by="landlock")
def open_by_path() -> None:
    print(open(scene.outside + "/secret").read())


@attack("read", "open by path", by="landlock")
def open_the_users_home() -> None:
    print(open(os.path.expanduser(scene.home + "/.netrc")).read())


@attack("read", "open by a relative path", by="landlock")
def open_by_a_directory_descriptor() -> None:
    directory = os.open(scene.outside, os.O_RDONLY)
    print(os.read(os.open("secret", os.O_RDONLY, dir_fd=directory), 100))


@attack("read", "open by a link of /proc/self", by="landlock")
def open_through_a_path_descriptor() -> None:
    held = os.open(scene.outside + "/secret", os.O_PATH)
    print(open(f"/proc/self/fd/{held}").read())


@attack("read", "open by a link of /proc/self", by="landlock")
def open_through_proc_self_root() -> None:
    print(open("/proc/self/root" + scene.outside + "/secret").read())


@attack("read", "open by a relative path", by="landlock")
def open_by_dots_from_the_scratch() -> None:
    print(open("../" * 30 + scene.outside[1:] + "/secret").read())


@attack("read", "open by a relative path", by="landlock")
def change_directory_and_open() -> None:
    os.chdir(scene.outside)
    print(open("secret").read())


@attack("read", "list a directory", by="landlock")
def list_a_directory() -> None:
    print(os.listdir(scene.outside))


@attack("read", "open past the C library", by="landlock")
def raw_open() -> None:
    print(os.read(syscall("openat", -100, scene.outside + "/secret", 0, 0), 100))


@attack("read", "open past the C library", by="landlock")
def raw_openat2() -> None:
    how = struct.pack("QQQ", 0, 0, 0)
    print(os.read(syscall("openat2", -100, scene.outside + "/secret", how, len(how)), 100))


@attack("read", "32-bit gate: files", by="landlock seccomp")
def open_by_the_32_bit_gate() -> None:
    path = low_memory(os.fsencode(scene.outside + "/secret"))
    print(os.read(compat_syscall(5, path, 0, 0), 100))


@attack("read", "io_uring: files", by="landlock seccomp")
def io_uring_open() -> None:
    path = ctypes.create_string_buffer(os.fsencode(scene.outside + "/secret"))
    print(os.read(Ring().do(18, -100, 0, ctypes.addressof(path), 0), 100))


@attack("read", "open_by_handle_at", by="namespaces privileges", succeeds_when_off="root")
def open_by_handle() -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    number = ctypes.c_int()
    syscall("name_to_handle_at", -100, scene.outside + "/secret", handle, ctypes.byref(number), 0)
    mount = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    print(os.read(syscall("open_by_handle_at", mount, handle, 0), 100))


@attack("read", "map a file", by="landlock")
def map_a_file() -> None:
    with open(scene.outside + "/secret", "rb") as file:
        print(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)[:])


@attack("read", "map a file", by="landlock")
def numpy_map() -> None:
    import numpy

    print(bytes(numpy.memmap(scene.outside + "/secret", dtype="u1", mode="r")))


@attack("read", "copy in the kernel", by="landlock")
def sendfile_into_the_scratch() -> None:
    with open(scene.outside + "/secret", "rb") as source, open("mine", "w+b") as mine:
        os.sendfile(mine.fileno(), source.fileno(), 0, 1000)
        print(open("mine").read())


@attack("read", "copy in the kernel", by="landlock")
def splice_into_a_pipe() -> None:
    reader, writer = os.pipe()
    os.splice(os.open(scene.outside + "/secret", os.O_RDONLY), writer, 1000)
    print(os.read(reader, 1000))


@attack("read", "copy in the kernel", by="landlock")
def copy_file_range_into_the_scratch() -> None:
    mine = os.open("mine", os.O_RDWR | os.O_CREAT)
    os.copy_file_range(os.open(scene.outside + "/secret", os.O_RDONLY), mine, 1000)
    print(open("mine").read())


@attack("read", "symbolic link in scratch", by="landlock")
def symlink_in_the_scratch() -> None:
    os.symlink(scene.outside + "/secret", "link")
    print(open("link").read())


@attack("read", "hard link into scratch", by="mounts landlock")
def hardlink_in_the_scratch() -> None:
    os.link(scene.outside + "/secret", "mine")
    print(open("mine").read())


@attack("read", "hard link into scratch", by="mounts landlock")
def linkat_of_a_path_descriptor() -> None:
    held = os.open(scene.outside + "/secret", os.O_PATH)
    libc("linkat", -100, f"/proc/self/fd/{held}", -100, "mine", 0x400)
    print(open("mine").read())


@attack("read", "rename into scratch", by="mounts landlock")
def rename_into_the_scratch() -> None:
    os.rename(scene.outside + "/secret", "mine")
    print(open("mine").read())


@attack("read", "an installed program", by="landlock")
def run_a_program_that_reads() -> None:
    print(subprocess.run(["cat", scene.outside + "/secret"], capture_output=True).stdout)


@attack("read", "a program in scratch", by="landlock seccomp")
def run_a_script_in_the_scratch() -> None:
    with open("script", "w") as file:
        file.write(f"#!/bin/sh\ncat {scene.outside}/secret\n")
    os.chmod("script", 0o700)
    print(subprocess.run([os.path.abspath("script")], capture_output=True).stdout)


@attack("read", "a program in memory", by="landlock seccomp")
def run_a_program_in_memory() -> None:
    program = os.memfd_create("program", 0)
    with open("/bin/cat", "rb") as cat:
        os.write(program, cat.read())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(writer, 1)
            os.execve(program, ["cat", scene.outside + "/secret"], {})
        finally:
            os._exit(1)
    os.close(writer)
    print(os.read(reader, 1000), os.waitpid(child, 0))


@attack("read", "a library in scratch", by="landlock seccomp")
def a_library_in_the_scratch() -> None:
    import _ctypes
    import shutil

    shutil.copy(_ctypes.__file__, "own.so")
    library = ctypes.CDLL(os.path.abspath("own.so"))
    assert library.PyInit__ctypes
    print(os.read(LIBC.open(os.fsencode(scene.outside + "/secret"), 0), 100))


@attack("read", "an installed program", by="landlock")
def another_interpreter() -> None:
    code = f"print(open({scene.outside + '/secret'!r}).read())"
    print(subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True).stdout)


@attack("read", "SQLite", by="landlock")
def sqlite_opens_the_home() -> None:
    import sqlite3

    print(sqlite3.connect(scene.rlm + "/home.sqlite").execute("select * from steps").fetchall())


@attack("read", "SQLite", by="landlock")
def sqlite_attaches_the_home() -> None:
    import sqlite3

    database = sqlite3.connect(":memory:")
    database.execute("attach ? as home", (f"file:{scene.rlm}/home.sqlite",))
    database.execute("attach ? as plain", (f"{scene.rlm}/home.sqlite",))
    print(database.execute("select * from plain.steps").fetchall())


@attack("read", "open by path", by="landlock")
def a_blob_of_the_home() -> None:
    print(open(scene.rlm + "/blobs/leaf").read())


@attack("read", "getxattr", by="seccomp")
def read_an_extended_attribute() -> None:
    print(os.getxattr(scene.outside + "/secret", "user.note"))


@attack("read", "getxattr", by="seccomp")
def read_an_extended_attribute_of_a_path_descriptor() -> None:
    held = os.open(scene.outside + "/secret", os.O_PATH)
    value = ctypes.create_string_buffer(200)
    libc("getxattr", f"/proc/self/fd/{held}", "user.note", value, 200)
    print(value.value)


@attack("read", "getxattr", by="seccomp")
def getxattrat() -> None:
    value = ctypes.create_string_buffer(200)
    arguments = struct.pack("QII", ctypes.addressof(value), 200, 0)
    syscall("getxattrat", -100, scene.outside + "/secret", 0, "user.note", arguments, len(arguments))
    print(value.value)


@attack("read", "inotify", by="seccomp")
def watching_a_directory() -> None:
    import select

    watch = libc("inotify_init1", 0o4000)
    libc("inotify_add_watch", watch, scene.outside, 0x100)
    select.select([watch], [], [], 3)
    print(os.read(watch, 4096))


@attack("held", "fanotify", by="seccomp", holds="fanotify", succeeds_when_off="root")
def watching_a_file_system() -> None:
    syscall("fanotify_init", 0x200, 0)


@attack("read", "descriptors of its own", by="landlock")
def inherited_descriptors() -> None:
    held = os.open(scene.outside + "/secret", os.O_RDONLY)
    os.dup2(held, 200)
    os.close(held)
    for name in os.listdir("/proc/self/fd"):
        try:
            print(os.pread(int(name), 1000, 0))
        except OSError:
            continue


@attack(
    "read",
    "descriptors of its own",
    not_real="a worker inherits no descriptor of the host's in either mode; this looks at all that it has",
)
def inherited_descriptors_of_the_host() -> None:
    for number in range(1024):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
            print(number, link)
            print(os.pread(number, 100, 0) if link.startswith((scene.rlm, scene.outside)) else "")
        except OSError:
            continue


# Writing


@attack("written", "open to write", by="mounts landlock")
def write_by_path() -> None:
    open(scene.outside + "/target", "w").write("changed")


@attack("written", "open to write", by="mounts landlock")
def append_by_path() -> None:
    open(scene.outside + "/target", "a").write("changed")


@attack("written", "create a file", by="mounts landlock")
def create_a_file() -> None:
    open(scene.outside + "/new", "w").close()


@attack("written", "truncate", by="mounts landlock seccomp")
def truncate_by_path() -> None:
    os.truncate(scene.outside + "/target", 0)


@attack("written", "truncate", by="mounts landlock")
def truncate_by_opening() -> None:
    os.close(os.open(scene.outside + "/target", os.O_RDONLY | os.O_TRUNC))


@attack("written", "rename over a file", by="mounts landlock")
def rename_over() -> None:
    open("mine", "w").write("changed")
    os.replace("mine", scene.outside + "/target")


@attack("written", "rename over a file", by="mounts landlock")
def exchange() -> None:
    open("mine", "w").write("changed")
    syscall("renameat2", -100, os.path.abspath("mine"), -100, scene.outside + "/target", 2)


@attack("written", "O_TMPFILE", by="mounts landlock")
def unnamed_file_that_gets_a_name() -> None:
    fd = os.open(scene.outside, os.O_TMPFILE | os.O_WRONLY)
    os.write(fd, b"planted")
    libc("linkat", -100, f"/proc/self/fd/{fd}", -100, scene.outside + "/planted", 0x400)


@attack("written", "unlink", by="mounts landlock")
def unlink() -> None:
    os.unlink(scene.outside + "/target")


@attack("written", "rmdir", by="mounts landlock")
def remove_a_directory() -> None:
    os.rmdir(scene.outside + "/empty")


@attack("written", "mkdir", by="mounts landlock")
def make_a_directory() -> None:
    os.mkdir(scene.outside + "/new")


@attack("written", "symbolic link outside", by="mounts landlock")
def make_a_symlink() -> None:
    os.symlink("/etc/passwd", scene.outside + "/new")


@attack("written", "hard link outside", by="mounts landlock")
def make_a_hardlink() -> None:
    os.link(scene.outside + "/target", scene.outside + "/new")


@attack("written", "mkfifo", by="mounts landlock seccomp")
def make_a_pipe() -> None:
    os.mkfifo(scene.outside + "/new")


@attack("written", "bind outside", by="mounts landlock seccomp")
def make_a_socket() -> None:
    import socket

    socket.socket(socket.AF_UNIX).bind(scene.outside + "/new")


@attack("written", "map a file", by="mounts landlock")
def numpy_maps_to_write() -> None:
    import numpy

    numpy.memmap(scene.outside + "/target", dtype="u1", mode="r+")[0] = 0


@attack("written", "io_uring: files", by="mounts landlock seccomp")
def io_uring_write() -> None:
    ring = Ring()
    path = ctypes.create_string_buffer(os.fsencode(scene.outside + "/target"))
    fd = ring.do(18, -100, 0, ctypes.addressof(path), 0, os.O_WRONLY)
    data = ctypes.create_string_buffer(b"changed")
    ring.do(23, fd, 0, ctypes.addressof(data), 7)


@attack("written", "io_uring: files", by="mounts landlock seccomp")
def io_uring_unlink() -> None:
    path = ctypes.create_string_buffer(os.fsencode(scene.outside + "/target"))
    Ring().do(36, -100, 0, ctypes.addressof(path), 0)


@attack("written", "SQLite", by="mounts landlock")
def sqlite_writes_the_home() -> None:
    import sqlite3

    with sqlite3.connect(scene.rlm + "/home.sqlite") as database:
        database.execute("insert into steps values ('planted')")


@attack("written", "open to write", by="mounts landlock")
def write_the_context_for_all() -> None:
    with open(scene.rlm + "/blobs/context", "r+") as file:
        file.write("changed")


@attack("written", "unlink", by="mounts landlock")
def remove_below_a_directory_descriptor() -> None:
    directory = os.open(scene.outside, os.O_PATH)
    os.unlink("target", dir_fd=directory)
