"""The measurement: place probes, read counters, wait, read again, collect."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Callable, Literal

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import Trouble
from mdguest.measure import snapshot, tools
from mdguest.measure.report import CpuNoise, Probed, Report, Section, probed
from mdguest.measure.waiting import Waiting, gated, probe_command

if TYPE_CHECKING:
    from mdguest.measure.snapshot import Snapshot
    from mdguest.system import System

    Place = Callable[[int], None]
    Progress = Callable[[str, float], None]
    Start = Callable[[list[str]], Waiting]

ONLINE = "/sys/devices/system/cpu/online"
MARGIN_SECONDS = 0.05
"""Probes begin so much before the window and end so much after it: neither is to be counted."""

PATIENCE_SECONDS = 10.0
STEP_SECONDS = 0.25
IDLE_CHECK_SECONDS = 0.25


@dataclass(frozen=True)
class Wanted:
    """What to measure.

    ``probing``: "idle" starts no probe on a dedicated CPU where something runs already, which it
    would disturb; "always" does; "never" leaves it at the kernel's counters.
    ``tools``: whether rtla, oslat and cyclictest are used where they are there.
    """

    cpus: CpuSet
    dedicated: CpuSet = EMPTY
    seconds: float = 5.0
    probing: Literal["idle", "always", "never"] = "idle"
    tools: bool = True


def nowhere(pid: int) -> None:
    """The ``place`` of a guest where processes can be pinned without being moved first."""


def silent(phase: str, done: float) -> None:
    """The ``progress`` that nobody sees."""


def measure(
    system: System,
    wanted: Wanted,
    *,
    place: Place = nowhere,
    progress: Progress = silent,
    start: Start = Waiting,
) -> Report:
    """Measure the noise on CPUs for some seconds.

    ``place`` moves a process to where it may use the dedicated CPUs; it is called with the process
    id of each probe for such a CPU. A CPU where none can be placed is reported without.
    ``progress`` is told the phase and which part of it is done. However this ends, by Ctrl-C as
    well, no process that it started is left.
    """
    cpus = wanted.cpus & CpuSet.parse(system.read(ONLINE))
    with contextlib.ExitStack() as started:
        team = _Team(system, wanted, place, start, started)
        team.recruit(cpus, progress)
        before, after = _window(system, team, wanted.seconds, progress)
        found = team.results()
        sections = _sections(team, CpuSet.of(found), progress)
    noise = [
        CpuNoise(
            cpu,
            cpu in wanted.dedicated,
            snapshot.between(before, after, cpu),
            found.get(cpu),
            team.reasons.get(cpu, ""),
        )
        for cpu in cpus & before.cpus & after.cpus
    ]
    return Report(
        seconds=after.at - before.at,
        context_switches=after.context_switches - before.context_switches,
        cpus=noise,
        missing=str(wanted.cpus - CpuSet.of(each.cpu for each in noise)),
        sections=sections,
    )


def _window(
    system: System, team: _Team, seconds: float, progress: Progress
) -> tuple[Snapshot, Snapshot]:
    """The counters at the beginning and the end of the time that counts."""
    team.go(seconds + 2 * MARGIN_SECONDS)
    time.sleep(MARGIN_SECONDS)
    before = snapshot.take(system)
    until = before.at + seconds
    while (left := until - time.monotonic()) > 0:
        progress("measuring", 1 - left / seconds)
        time.sleep(min(left, STEP_SECONDS))
    progress("measuring", 1.0)
    return before, snapshot.take(system)


@dataclass
class _Team:
    """The probes, one for each CPU that can have one, and why the others have none."""

    system: System
    wanted: Wanted
    place: Place
    start: Start
    started: contextlib.ExitStack
    probes: dict[int, Waiting] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def recruit(self, cpus: CpuSet, progress: Progress) -> None:
        """Start a waiting probe on each CPU that is to have one."""
        if self.wanted.probing == "never":
            self.reasons = dict.fromkeys(cpus, "not asked for")
            return
        taken = self._in_use(cpus & self.wanted.dedicated, progress)
        self.reasons = dict.fromkeys(taken, "in use: a probe would disturb what runs there")
        for done, cpu in enumerate(cpus - taken):
            progress("starting probes", done / len(cpus))
            self._recruit(cpu)

    def _in_use(self, dedicated: CpuSet, progress: Progress) -> CpuSet:
        """Those of the dedicated CPUs that are busy already."""
        if not dedicated or self.wanted.probing == "always":
            return EMPTY
        progress("looking for idle CPUs", 0.0)
        before = snapshot.take(self.system)
        time.sleep(IDLE_CHECK_SECONDS)
        return dedicated & snapshot.busy(before, snapshot.take(self.system))

    def _recruit(self, cpu: int) -> None:
        """One probe, or the reason why there is none."""
        try:
            process = self.begin(probe_command(), CpuSet.of([cpu]))
            self.system.set_affinity(process.pid, CpuSet.of([cpu]))
        except (OSError, Trouble) as error:
            why = error.strerror if isinstance(error, OSError) else error
            self.reasons[cpu] = f"no probe can be placed there: {why}"
        else:
            self.probes[cpu] = process

    def begin(self, command: list[str], cpus: CpuSet) -> Waiting:
        """Start a process that waits, where it may use these CPUs."""
        process = self.start(command)
        self.started.callback(process.stop)
        if cpus & self.wanted.dedicated:
            self.place(process.pid)
        return process

    def go(self, seconds: float) -> None:
        """Let all probes run."""
        for process in self.probes.values():
            process.go(str(seconds))

    def results(self) -> dict[int, Probed]:
        """What they saw. One that did not finish has a reason instead."""
        found = {}
        for cpu, process in self.probes.items():
            status, out = process.answer(PATIENCE_SECONDS)
            try:
                found[cpu] = probed(out)
            except ValueError:
                said = (out.strip().splitlines() or [""])[-1]
                self.reasons[cpu] = f"the probe ended with status {status}: {said}"
        return found


def _sections(team: _Team, probed_cpus: CpuSet, progress: Progress) -> list[Section]:
    """What other programs say of the CPUs that had a probe: of the dedicated ones, if any."""
    cpus = probed_cpus & team.wanted.dedicated or probed_cpus
    found = []
    for command in tools.commands(team.system, cpus) if team.wanted.tools else []:
        progress(f"running {command[0]}", 0.0)
        try:
            found.append(tools.run(command, team.begin(gated(command), cpus)))
        except (OSError, Trouble) as error:
            found.append(Section(" ".join(command), f"cannot be run: {error}"))
    return found
