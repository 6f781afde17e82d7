"""A running irqbalance: it sees neither cpuset partitions nor changes of its own file.

The socket's requests are in irqbalance's README: ``setup`` answers with the settings, ``settings
cpus 2-3,5`` bans these CPUs at the next scan, at most ``SLEEP`` seconds later. It takes a list, and
reads no further than the first space.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.knobs.kind import Ability, Kind, Problem, same_cpus
from mdguest.procfs import environment, from_mask

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.system import System

SOCKETS = "/run/irqbalance/irqbalance*.sock"
VARIABLE = "IRQBALANCE_BANNED_CPULIST"
SCAN_SECONDS = 15
"""How long a running irqbalance may take to act: its default interval of 10 s, and some."""


class Irqbalance(NamedTuple):
    """One that runs."""

    banned: CpuSet
    """The CPUs that it puts no interrupt on; of a deaf one, those that it was started with."""
    deaf: bool = False
    """It cannot be told: no socket of its answers."""

    def problems(self, dedicated: CpuSet) -> Iterator[Problem]:
        """One that cannot be told will move interrupts to the dedicated CPUs again."""
        if self.deaf and not dedicated <= self.banned:
            found = f"it keeps off CPU {self.banned or 'none'}, and cannot be told"
            why = f"its socket ({SOCKETS}) is missing or dead; see mdguest render irqbalance"
            yield Problem("irqbalance", found, f"it keeps off CPU {dedicated}", why)


def look(system: System, tasks: Iterable[Task]) -> Irqbalance | None:
    """The irqbalance that runs here; None where there is none."""
    bans = _banned(system)
    if bans is not None:
        return Irqbalance(bans)
    running = [task for task in tasks if task.name == "irqbalance" and not task.kernel]
    return Irqbalance(_banned_at_start(system, running[0].tid), deaf=True) if running else None


def _banned(system: System) -> CpuSet | None:
    for path in system.glob(SOCKETS):
        try:
            answer = system.ask(path, "setup")
        except OSError:
            continue  # the socket of one that was killed
        found = re.search(r"BANNED ([0-9a-f,]+)", answer)
        if found:
            return from_mask(found[1])
    return None


def _banned_at_start(system: System, pid: int) -> CpuSet:
    """What the irqbalance of that process was started to keep off, where its environment says."""
    try:
        return CpuSet.parse(environment(system, pid).get(VARIABLE, ""))
    except ValueError:
        return EMPTY


def _read(system: System, _: str) -> str | None:
    bans = _banned(system)
    return None if bans is None else str(bans)


def _write(system: System, _: str, value: str | None) -> None:
    """Have every running irqbalance keep off these CPUs."""
    request = f"settings cpus {value or 'NULL'}"
    for path in system.glob(SOCKETS):
        with contextlib.suppress(ConnectionError):  # one that was killed
            system.ask(path, request)


def _ability(system: System) -> Ability:
    able = bool(system.glob(SOCKETS))
    return Ability("irqbalance can be told", able, "through its socket, if it runs")


BANS = Kind(_read, _write, same_cpus, seconds=SCAN_SECONDS, look=look, ability=_ability)
