"""The sandbox: what takes a worker's rights away before the first cell runs in it.

`layers.py` applies the layers in their order; one file each: `rlimits.py`, `namespaces.py`, `mounts.py`,
`privileges.py`, `landlock.py`, `seccomp.py` (`policy.py` says what is refused, `bpf.py` makes a program of it).
`attempts.py` tries what must not work. `libc.py` is the one door to the system. All of it runs in a process that is not
the host's; no package, no root. Which layers a session needs is decided on the host, in `isolation.py` beside this
package.
"""
