"""A running irqbalance: it sees neither cpuset partitions nor changes of its own file.

The socket's requests are in irqbalance's README: ``setup`` answers with the settings, ``settings
cpus 2-3,5`` bans these CPUs at the next scan, at most ``SLEEP`` seconds later. It takes a list, and
reads no further than the first space; before 1.9.5, no further than 500 bytes (``_sayable``). After
that scan, irqbalance up to 1.9.2 sleeps for another ``SLEEP`` seconds, and answers nobody
meanwhile: it has not gone, and must not be forgotten.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, MAX_CPU, CpuSet, union
from mdguest.knobs.kind import Ability, Kind, Problem
from mdguest.procfs import cpu_list, environment, from_mask

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.system import System

SOCKETS = "/run/irqbalance/irqbalance*.sock"
MASK, VARIABLE = "IRQBALANCE_BANNED_CPUS", "IRQBALANCE_BANNED_CPULIST"
"""What it was started with: the older one, a mask, counts before the list."""
_BY_ITSELF = tuple(f"/sys/devices/system/cpu/{name}" for name in ("isolated", "nohz_full"))
"""The CPUs that it keeps off where it has neither."""
SCAN_SECONDS = 15
"""How long a running irqbalance may take to act: its default interval of 10 s, and some."""
REQUEST = "settings cpus "
LONGEST_LIST = 500 - len(REQUEST)
_SILENT = "no answer yet"
"""What is read of one that listens, and does not answer in time, or not as it should."""
_NOBODY = (ConnectionError, FileNotFoundError)
"""The socket of one that was killed, or has ended just now."""


class Irqbalance(NamedTuple):
    """One that runs."""

    banned: CpuSet
    """What it puts no interrupt on; of one that does not answer, what it was started with."""
    deaf: bool = False
    """It runs, and does not answer."""
    silent: bool = False
    """One listens that does not answer in time: it may be told, and acts later."""

    hidden: bool = False
    """Only root may ask it, and this is not root."""

    @property
    def can_be_told(self) -> bool:
        return self.silent or not (self.deaf or self.hidden)

    @property
    def now(self) -> str:
        """What is read of it now."""
        return _SILENT if self.silent else str(self.banned)

    def problems(self, dedicated: CpuSet) -> Iterator[Problem]:
        """One that cannot be told will move interrupts to the dedicated CPUs again."""
        if self.deaf and not dedicated <= self.banned:
            found = f"it keeps off CPU {self.banned or 'none'}, and cannot be told"
            dead = f"its socket ({SOCKETS}) is missing, dead or silent"
            why = f"{dead}; see mdguest render irqbalance"
            yield Problem("irqbalance", found, f"it keeps off CPU {dedicated}", why)


def look(system: System, tasks: Iterable[Task]) -> Irqbalance | None:
    """The irqbalance that runs here; None where there is none."""
    silent = False
    try:
        bans = _banned(system)
        if bans is not None:
            return Irqbalance(bans)
    except BlockingIOError:
        silent = True
    except PermissionError:
        return Irqbalance(EMPTY, hidden=True)
    except OSError:
        pass  # it cannot be told
    running = [task for task in tasks if task.name == "irqbalance" and not task.kernel]
    started = _banned_at_start(system, running[0].tid) if running else _by_itself(system)
    return Irqbalance(started, bool(running), silent) if running or silent else None


def _banned(system: System) -> CpuSet | None:
    """None where none listens. Raises BlockingIOError where one does, and does not answer in time,
    PermissionError where only root may ask, another OSError where it does not answer as it should.
    """
    trouble = None
    for path in system.glob(SOCKETS):
        try:
            answer = system.ask(path, "setup")
        except _NOBODY:
            continue
        except OSError as error:
            trouble = error
            continue
        found = re.search(r"BANNED ([0-9a-f,]+)", answer)
        if found:
            return from_mask(found[1])
        trouble = OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    if trouble:
        raise trouble
    return None


def _banned_at_start(system: System, pid: int) -> CpuSet:
    """What the irqbalance of that process keeps off, if nobody has told it otherwise since."""
    started = environment(system, pid)
    try:
        if started.get(MASK):
            return from_mask(started[MASK])
        if VARIABLE in started:
            return CpuSet.parse(started[VARIABLE])
    except ValueError:
        return EMPTY
    return _by_itself(system)


def _by_itself(system: System) -> CpuSet:
    return union(cpu_list(system, path) for path in _BY_ITSELF)


def _read(system: System, _: str) -> str | None:
    try:
        bans = _banned(system)
    except PermissionError:
        raise
    except OSError:
        return _SILENT
    return None if bans is None else str(bans)


def _sayable(cpus: CpuSet) -> CpuSet:
    """These CPUs; where their list is too long, with all that is between the last ones. What
    irqbalance makes of a list that was cut would leave those out.
    """
    text = str(cpus)
    if len(text) <= LONGEST_LIST:
        return cpus
    room = LONGEST_LIST - len(f"{MAX_CPU}-{MAX_CPU}")
    said = CpuSet.parse(text[:room].rpartition(",")[0])
    rest = list(cpus - said)
    return said | (CpuSet.first(rest[-1] + 1) - CpuSet.first(rest[0]))


def _same(one: str | None, other: str | None) -> bool:
    """Whether one is what irqbalance makes of the other."""
    try:
        ones, others = CpuSet.parse(one or ""), CpuSet.parse(other or "")
    except ValueError:
        return False  # it is silent
    return ones == others or _sayable(ones) == others or ones == _sayable(others)


def _write(system: System, _: str, value: str | None) -> None:
    """Have every running irqbalance keep off these CPUs: one that is silent reads it later. Raises
    OSError where one could not be told.
    """
    request = f"{REQUEST}{_sayable(CpuSet.parse(value or '')) or 'NULL'}"
    troubles = [_tell(system, path, request) for path in system.glob(SOCKETS)]
    for trouble in filter(None, troubles):
        raise trouble


def _tell(system: System, path: str, request: str) -> OSError | None:
    """What goes wrong; nothing where nobody listens, or who does is asleep."""
    try:
        with contextlib.suppress(*_NOBODY, BlockingIOError):
            system.ask(path, request)
    except OSError as error:
        why = error.strerror or str(error)
        return OSError(error.errno, f"irqbalance could not be told ({path}): {why}")
    return None


def _ability(system: System) -> Ability:
    able = bool(system.glob(SOCKETS))
    return Ability("irqbalance can be told", able, "through its socket, if it runs")


BANS = Kind(
    _read,
    _write,
    _same,
    seconds=SCAN_SECONDS,
    silent=_SILENT,
    look=look,
    ability=_ability,
)
