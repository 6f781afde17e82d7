"""Several processes that answer at the same sockets, and the one that keeps them running.

The sockets are made once, and all accept from them: whoever connects while a worker is started anew
waits in the socket, and a second server does not get in unseen. With ``SO_REUSEPORT`` each would
have a queue of its own, which dies with it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_ENDING = {signal.SIGTERM, signal.SIGINT}

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
"""Seconds before a worker is started again: twice as long each time, until it has run that long."""

_PATIENCE = 5.0
"""Seconds in which workers end once they are told to; they need two at most."""

_LOOK_SECONDS = 0.05
"""How often it is looked whether a worker is ready."""

_FIGURES = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus-client has the figures of all processes; read as it is imported."""

_log = logging.getLogger(__name__)


class Failed(Exception):
    """A worker has ended before all were ready; it has said why. ``code`` is its exit status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker has ended with status {code}")
        self.code = code


@dataclass(frozen=True)
class Worker:
    """What one of them knows of itself. Readable ``orphaned``: its parent is no more."""

    number: int
    orphaned: int
    _told: int

    def ready(self, lines: Sequence[str]) -> None:
        """It answers, at these listeners."""
        with os.fdopen(self._told, "w") as pipe:
            json.dump(list(lines), pipe)


@dataclass
class _Child:
    """One worker, as its parent sees it; ``pid`` is 0 while it does not run."""

    number: int
    pid: int = 0
    told: int = -1
    said: bytes = b""
    is_ready: bool = False
    began: float = 0.0
    delay: float = _FIRST_DELAY
    due: float = 0.0


@contextmanager
def shared_figures() -> Iterator[None]:
    """Within the block, and in all processes that begin there, figures are of all of them.

    Before anything imports prometheus-client.
    """
    owner, folder = os.getpid(), tempfile.mkdtemp(prefix="mdsvc-")
    os.environ[_FIGURES] = folder
    try:
        yield
    finally:
        # Workers leave by here too, and do it for a parent that was killed.
        if os.getpid() == owner or os.getppid() != owner:
            shutil.rmtree(folder, ignore_errors=True)


def become_one(count: int, ready: Callable[[list[str]], None]) -> Worker | None:
    """Return in each of ``count`` new processes; in this one, None once all of them have ended.

    ``ready`` is called here, with what they said, once all are. One that ends later is started
    again, and returns here too. SIGTERM and SIGINT end all, SIGHUP is passed on. Raises Failed.
    """
    return _Parent(count, ready).run()


@dataclass
class _Parent:
    count: int
    ready: Callable[[list[str]], None]
    children: list[_Child] = field(default_factory=list)
    is_ready: bool = False
    failed: int | None = None
    ends_by: float | None = None

    def run(self) -> Worker | None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self.alive, alive = os.pipe()
        self.children = [_Child(number) for number in range(self.count)]
        while self.ends_by is None or any(child.pid for child in self.children):
            for child in self._due():
                if worker := self._start(child):
                    os.close(alive)
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                    return worker
            self._wait()
            self._look()
        os.close(alive)
        os.close(self.alive)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self.failed is not None:
            raise Failed(self.failed)
        return None

    def _due(self) -> Iterator[_Child]:
        """Who is to be started now: until the first is ready, it alone, as it may find that the
        settings are wrong.
        """
        if self.ends_by is None:
            started = (
                self.children if self.children[0].is_ready or self.is_ready else self.children[:1]
            )
            yield from (c for c in started if not c.pid and c.due <= monotonic())

    def _start(self, child: _Child) -> Worker | None:
        sys.stdout.flush()
        sys.stderr.flush()
        told, tell = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(told)
            for other in self.children:
                if other.told >= 0:
                    os.close(other.told)
            return Worker(child.number, self.alive, tell)
        os.close(tell)
        os.set_blocking(told, False)
        child.pid, child.told, child.said = pid, told, b""
        child.is_ready, child.began = False, monotonic()
        return None

    def _wait(self) -> None:
        """For a signal, or until something is to be looked at."""
        got = signal.sigtimedwait(_SIGNALS, self._seconds())
        if got is None:
            return
        name = signal.Signals(got.si_signo)
        if name in _ENDING:
            self._end()
        elif name == signal.SIGHUP:
            self._tell(name)
        self._reap()

    def _seconds(self) -> float:
        now, times = monotonic(), [60.0]
        if self.ends_by is not None:
            times.append(self.ends_by - now if self.ends_by > now else _LOOK_SECONDS)
        elif any(child.pid and not child.is_ready for child in self.children):
            times.append(_LOOK_SECONDS)
        times += [child.due - now for child in self.children if not child.pid]
        return max(0.0, min(times))

    def _look(self) -> None:
        """Who has become ready, and who does not end."""
        for child in self.children:
            if child.told >= 0 and select.select([child.told], [], [], 0)[0]:
                self._read(child)
        if not self.is_ready and all(child.is_ready for child in self.children):
            self.is_ready = True
            said = [json.loads(child.said) for child in self.children]
            self.ready([*said[0], f"workers: {self.count}"])
        if self.ends_by is not None and monotonic() > self.ends_by:
            self._tell(signal.SIGKILL)

    def _read(self, child: _Child) -> None:
        if more := os.read(child.told, 65536):
            child.said += more
            return
        os.close(child.told)
        child.told = -1
        child.is_ready = bool(child.said)

    def _reap(self) -> None:
        for child in self.children:
            if child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        pid, child.pid = child.pid, 0
        if child.told >= 0:
            self._read(child)
        _forget_figures(pid)
        if self.ends_by is not None:
            return
        if not self.is_ready:
            self.failed = code if code > 0 else 1
            self._end()
            return
        now = monotonic()
        if now - child.began > _LONGEST_DELAY:
            child.delay = _FIRST_DELAY
        child.due = now + child.delay
        why = f"by signal {-code}" if code < 0 else f"with status {code}"
        _log.error(
            "worker %d (process %d) has ended %s; it is started again in %.1f s",
            *(child.number, pid, why, child.delay),
        )
        child.delay = min(2 * child.delay, _LONGEST_DELAY)

    def _end(self) -> None:
        if self.ends_by is None:
            self.ends_by = monotonic() + _PATIENCE
            self._tell(signal.SIGTERM)

    def _tell(self, name: signal.Signals) -> None:
        for child in self.children:
            if child.pid:
                os.kill(child.pid, name)


def _forget_figures(pid: int) -> None:
    """Gauges are of those who live; what was counted stays."""
    if _FIGURES in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]  # it has no types
