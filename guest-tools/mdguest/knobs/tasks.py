"""The affinity of a task: sched_setaffinity(2). Its target is ``TID:START``."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.knobs.kind import Failure, Fate, Kind, same_cpus
from mdguest.procfs import stat

if TYPE_CHECKING:
    from mdguest.system import System


def _read(system: System, task: str) -> str:
    return str(system.affinity(_alive(system, task)))


def _write(system: System, task: str, value: str | None) -> None:
    system.set_affinity(_alive(system, task), CpuSet.parse(value or ""))


def _alive(system: System, task: str) -> int:
    """Its number, while that is still this task's."""
    tid, _, started = task.partition(":")
    try:
        if stat(system.read(f"/proc/{tid}/stat")).started == int(started):
            return int(tid)
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise ProcessLookupError(errno.ESRCH, f"task {tid} has ended")


def _failure(error: OSError, want: str | None) -> Failure:
    fate = Fate.GONE if error.errno == errno.ESRCH else Fate.FAILED
    return Failure(fate, error.strerror or str(error))


AFFINITY = Kind(_read, _write, same_cpus, failure=_failure, of_a_task=True)
