"""The doorway to this guest: its files, its systemd, its tasks' affinities.

Everything that mdguest reads or changes goes through here, so that a fake guest can stand in.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import select
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mdguest.cpuset import CpuSet

_VISIT = 0.5
"""Seconds that a CPU has to run something; one with a realtime program never does."""


WAIT = 5.0
"""Seconds that the writer of a pipe has."""
ANSWER_SECONDS = 30
"""Seconds that a socket's owner has, who may be asleep for ten of them."""


def _parts(descriptor: int, limit: int) -> Iterator[bytes]:
    """What can be read, up to so many bytes."""
    ends = time.monotonic() + WAIT
    while limit:
        if not select.select([descriptor], [], [], max(ends - time.monotonic(), 0))[0]:
            raise OSError(errno.ETIMEDOUT, f"nobody wrote to it to its end within {WAIT:g} s")
        part = os.read(descriptor, min(limit, 65536))
        if not part:
            return
        limit -= len(part)
        yield part


def _replace(target: Path, text: str) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def is_special(path: Path) -> bool:
    """Whether it is a device, a pipe, or the like. Raises OSError where it cannot be looked at, as
    links that lead in a circle.
    """
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Ran:
    """How a program ended: its exit status and what it said."""

    status: int
    out: str
    err: str


class System:
    """This guest. Paths are absolute; every method that fails raises OSError."""

    def read(self, path: str) -> str:
        """The text of a file, without its last newline."""
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # hot path
            return file.read().rstrip("\n")

    def read_bytes(self, path: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a file as they are, for what others have written; they have
        some seconds for it, where it is a pipe.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return b"".join(_parts(descriptor, limit))
        finally:
            os.close(descriptor)

    def write(self, path: str, text: str) -> None:
        """Hand ``text`` to a kernel file at once, so that its refusal is raised here."""
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode() or b"\n")
        finally:
            os.close(descriptor)

    def save(self, path: str, text: str) -> None:
        """Put a file of ours in place whole or not at all, and on the disk."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, text)

    def export(self, path: str, text: str) -> None:
        """Write where the user said: whole or not at all, but into a device or a pipe as it is."""
        target = Path(path)
        if is_special(target):
            with target.open("w", encoding="utf-8") as file:
                file.write(text)
        else:
            _replace(target.resolve(), text)

    def append(self, path: str, text: str) -> None:
        """Add to a file of ours, on the disk before this returns."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_writable(self, path: str) -> bool:
        """Whether it may be changed: not where it is mounted read-only, also for root."""
        return os.access(path, os.W_OK)

    def is_root(self) -> bool:
        """Whether this process may see everything."""
        return os.geteuid() == 0

    def pause(self, seconds: float) -> None:
        """Let the guest go on for a moment."""
        time.sleep(seconds)

    def glob(self, pattern: str) -> list[str]:
        return sorted(glob.glob(pattern))  # noqa: PTH207  # absolute patterns

    def mkdir(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file, or an empty directory or cgroup; what is not there is removed already."""
        with contextlib.suppress(FileNotFoundError):
            if Path(path).is_dir() and not Path(path).is_symlink():
                Path(path).rmdir()
            else:
                Path(path).unlink()

    def which(self, program: str) -> str | None:
        return shutil.which(program)

    def run(self, *command: str, timeout: float = 30.0) -> Ran:
        """Run a program to its end. One that cannot be started or hangs has status 127 or 124."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
            )
        except subprocess.TimeoutExpired:
            return Ran(124, "", f"{command[0]} did not answer within {timeout:g} s")
        except OSError as error:
            return Ran(127, "", f"{command[0]}: {error.strerror}")
        return Ran(done.returncode, done.stdout.rstrip("\n"), done.stderr.strip())

    def lock(self, path: str) -> int:
        """Wait for the lock and return its descriptor; it is given back when that is closed."""
        import fcntl

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    @contextlib.contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Nobody else has the lock until this ends."""
        descriptor = self.lock(path)
        try:
            yield
        finally:
            os.close(descriptor)

    def affinity(self, task: int) -> CpuSet:
        return CpuSet.of(os.sched_getaffinity(task))

    def set_affinity(self, task: int, cpus: CpuSet) -> None:
        os.sched_setaffinity(task, cpus)

    def visit(self, group: str, cpus: CpuSet) -> None:
        """Have each of these CPUs run a process of ours, in this cgroup; pass over who is busy."""
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert child.stdin
        assert child.stdout
        with child.stdin, child.stdout:
            try:
                self.write(f"{group}/cgroup.procs", str(child.pid))
                for cpu in cpus:
                    self.set_affinity(child.pid, CpuSet.of([cpu]))
                    child.stdin.write(b".")
                    if select.select([child.stdout], [], [], _VISIT)[0]:
                        child.stdout.read(len(cpus))
            finally:
                child.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_VISIT)

    def ask(self, path: str, request: str) -> str:
        """Send a request to a UNIX socket as root, and return what comes back until it closes.

        Raises BlockingIOError where one listens there that has not answered in ANSWER_SECONDS.
        """
        import socket
        import struct

        credentials = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            # Not by settimeout(), where connect() would not wait for room in the queue: unix(7).
            patience = struct.pack("ll", ANSWER_SECONDS, 0)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
            peer.connect(path)
            peer.sendmsg(
                [request.encode()], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)]
            )
            peer.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
        return answer.decode(errors="replace").rstrip("\0\n")
