"""One server process: started as the user of its kind, and ended by its number."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120
"""For a slow machine with much to do; a server is there after one to five."""


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def new_folder(user: str) -> Path:
    """A folder of that user's, where root runs the tests; else of who does."""
    shm = Path("/dev/shm")  # spares the disk, where there is room
    roomy = shm.is_dir() and shutil.disk_usage(shm).free > 2 * 2**30
    folder = Path(tempfile.mkdtemp(prefix="mdsvc-store-", dir=shm if roomy else None))
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    return folder


def as_user(user: str, command: Sequence[str | Path]) -> list[str]:
    """The command, run by that user where root runs the tests; it ends with whoever has run it."""
    ids = ["--reuid", user, "--regid", user, "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *ids, "--pdeathsig", "KILL", *map(str, command)]


def run(user: str, *command: str | Path, **env: str) -> None:
    """Run something that prepares a server to its end."""
    done = subprocess.run(
        as_user(user, command),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd="/",
        env=os.environ | env,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


class Server:
    """A server that can be started, ended, killed and started again on what it has left."""

    def __init__(self, user: str, folder: Path, stop: signal.Signals) -> None:
        self._user = user
        self._stop = stop
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = folder
        self.log = folder / "log"

    def start(self, command: Sequence[str | Path], is_up: Callable[[], bool]) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                as_user(self._user, command),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
            )
        give_up = time.monotonic() + START_SECONDS
        while not is_up():
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < give_up, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def end(self) -> None:
        """As its administrator would."""
        self._signal(self._stop)

    def kill(self) -> None:
        """As the power would."""
        self._signal(signal.SIGKILL)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Neither it nor what it has started does anything meanwhile."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        every = [self._process.pid, *map(int, children.read_text().split())]
        for process in every:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in every:
                os.kill(process, signal.SIGCONT)

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


def answers(port: int) -> bool:
    """Does anybody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
