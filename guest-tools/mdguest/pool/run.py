"""Running a program on CPUs of the pool that nobody else has.

The program takes this process's place, so that signals, the terminal and the exit status are its
own. Its subset is a cgroup in the pool (``subsets``): a scope of systemd's, where that is there.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mdguest import control
from mdguest.cpuset import CpuSet
from mdguest.errors import NotFound, Refused, Trouble
from mdguest.facts import CGROUP, POOL, RAW_POOL
from mdguest.isolation.observe import observe
from mdguest.isolation.wants.pool import SUBSET
from mdguest.pool.pinning import every_cpu, start_pinning
from mdguest.pool.subsets import Wanted, checked_name, choose, subsets, usual_name
from mdguest.procfs import cgroup
from mdguest.render.dpdk import lcores
from mdguest.settings import Settings

if TYPE_CHECKING:
    from mdguest.facts import Facts, Systemd
    from mdguest.system import System

_ENTER = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from mdguest.pool.run import enter; enter()"
)

_LOCK = "/run/mdguest/run.lock"
"""Who gives away parts of the pool holds it: one at a time."""

_STOPPING = 120.0
"""Seconds: systemd kills what does not end within 90."""

VERBATIM_SINCE = 254
"""From this version on systemd puts variables into a command's arguments, unless told not to."""


def filled(command: Sequence[str], cpus: CpuSet) -> list[str]:
    """The command with ``{cpus}`` as a CPU list and ``{lcores}`` as DPDK's --lcores takes it."""
    listed = lcores(cpus)
    return [word.replace("{cpus}", str(cpus)).replace("{lcores}", listed) for word in command]


def run(
    system: System, command: Sequence[str], wanted: Wanted, name: str | None, balance: bool
) -> NoReturn:
    """Become the command, on a subset of the pool.

    Raises NotFound, BadInput or Refused before anything is changed.
    """
    if system.which(command[0]) is None:
        raise NotFound(f"{command[0]}: no such program")
    name = usual_name(command[0]) if name is None else checked_name(name)
    guard = system.lock(_LOCK)
    service = _service(system)
    _end_leftovers(system, service, name)
    facts = observe(system)
    if name in (subset.name for subset in subsets(facts)):
        raise Refused(f"--name {name}: there is one of that name; mdguest status lists them")
    chosen = choose(wanted, facts)
    _warn_of_guests(facts)
    command = filled(command, chosen)
    if not balance and len(chosen) > 1:
        start_pinning(os.getpid(), f"{SUBSET}{name}")
    if facts.systemd:
        scope = (*_scope(facts.systemd, name, chosen, command[0]), *_bound(service))
        _become_scope(guard, scope, chosen, balance, command)
    _enter_raw(system, facts, name, chosen)
    _become(system, chosen, balance, command)


def _warn_of_guests(facts: Facts) -> None:
    """A partition that is invalid keeps nobody off; the program is to know, and may start."""
    state = facts.pool.partition if facts.pool else ""
    if "invalid" in state:
        print(
            f"mdguest: warning: others may run on these CPUs, too, until mdguest apply has mended "
            f"the pool: its partition is {state}",
            file=sys.stderr,
        )


def _service(system: System) -> str:
    """The service whose main process this is; empty where there is none."""
    unit = _group_now(system).rpartition("/")[2]
    if not unit.endswith(".service"):
        return ""
    main = system.run("systemctl", "show", "--property=MainPID", unit).out
    return unit if main == f"MainPID={os.getpid()}" else ""


def _end_leftovers(system: System, service: str, name: str) -> None:
    """End what an earlier run of this service has left behind: a restart does not stop its scope,
    which systemd could not start again.
    """
    if not service:
        return
    scope = f"{SUBSET}{name}.scope"
    bound = system.run("systemctl", "show", "--property=BindsTo", scope).out
    if bound == f"BindsTo={service}":
        system.run("systemctl", "stop", scope, timeout=_STOPPING)


def _bound(service: str) -> tuple[str, ...]:
    """What ends the scope with its service. Stopping, the service goes first, in its own way; what
    it leaves behind goes with the scope.
    """
    return (f"--property=BindsTo={service}", f"--property=Before={service}") if service else ()


def _scope(systemd: Systemd, name: str, cpus: CpuSet, program: str) -> tuple[str, ...]:
    """The options of systemd-run."""
    return (
        *("--quiet", "--scope", "--collect"),
        f"--slice={POOL}",
        f"--unit={SUBSET}{name}.scope",
        f"--description=mdguest: {program} on CPU {cpus}",
        f"--property=AllowedCPUs={cpus}",
        *(("--expand-environment=no",) if systemd.version >= VERBATIM_SINCE else ()),
    )


def _become_scope(
    guard: int, scope: Sequence[str], cpus: CpuSet, balance: bool, command: list[str]
) -> NoReturn:
    """Have systemd make the scope around us; ``enter`` goes on inside, and gives the lock back."""
    os.set_inheritable(guard, True)
    package = str(Path(__file__).parents[2])
    inner = (sys.executable, "-I", "-c", _ENTER, package, str(guard), str(cpus), str(int(balance)))
    os.execvp("systemd-run", ["systemd-run", *scope, "--", *inner, *command])


def enter() -> NoReturn:
    """Inside the scope: argv is the lock's descriptor, CPUs, whether to balance, the command."""
    from mdguest.system import System

    guard, cpus, balance, *command = sys.argv[1:]
    try:
        os.close(int(guard))
        _become(System(), CpuSet.parse(cpus), balance == "1", command)
    except Trouble as trouble:
        print(f"mdguest: {trouble}", file=sys.stderr)
        sys.exit(trouble.exit_status)


def _enter_raw(system: System, facts: Facts, name: str, cpus: CpuSet) -> None:
    """Without systemd: a cgroup of our own in the pool; those that are empty go."""
    pool = f"{CGROUP}/{RAW_POOL}"
    for group in facts.subsets:
        if group.name.startswith(SUBSET) and not group.populated:
            system.remove(group.path)
    path = f"{pool}/{SUBSET}{name}"
    try:
        system.write(f"{pool}/cgroup.subtree_control", "+cpuset")
        system.mkdir(path)
        system.write(f"{path}/cpuset.cpus", str(cpus))
        system.write(f"{path}/cgroup.procs", str(os.getpid()))
    except OSError as error:
        raise Refused(f"no cgroup for CPU {cpus} can be made in {pool}: {error}") from error


def _become(system: System, cpus: CpuSet, balance: bool, command: list[str]) -> NoReturn:
    """In our cgroup: check that we have what was promised, and become the command."""
    group = _our_group(system)
    effective = system.read(f"{group}/cpuset.cpus.effective")
    if CpuSet.parse(effective) != cpus:
        raise Refused(f"the kernel gives CPU {effective or 'none'} where {cpus} was asked for")
    if balance:
        _balance(system, group, cpus)
    system.set_affinity(0, every_cpu(system))  # whatever we had; the cgroup is the limit
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise NotFound(f"{command[0]}: {error.strerror}") from error


def _group_now(system: System) -> str:
    return cgroup(system, "self")


def _our_group(system: System) -> str:
    """Our cgroup, once systemd has moved us."""
    for _ in range(100):
        group = _group_now(system)
        if SUBSET in group:
            return f"/sys/fs/cgroup{group}"
        time.sleep(0.05)
    raise Trouble("systemd did not move this process into its scope within 5 s")


def _balance(system: System, group: str, cpus: CpuSet) -> None:
    """Have the kernel balance among the subset's CPUs: in an isolated pool it would not."""
    path = f"{group}/cpuset.cpus.partition"
    pool = group.rpartition("/")[0]
    if len(cpus) > 1 and system.read(f"{pool}/cpuset.cpus.partition") == "isolated":
        # Linux 6.1 calls a root partition in an isolated one "root", but balances it only if it
        # was isolated itself before.
        system.write(path, "isolated")
        system.write(path, "root")
        state = system.read(path)
        if state != "root":
            raise Refused(
                f"--balance: the kernel will not balance CPU {cpus} by themselves: {state}"
            )
        for cpu in cpus:  # see waking.py
            system.set_affinity(0, CpuSet.of([cpu]))
        # Linux 7 lets its own threads onto CPUs that it balances. What of them cannot be moved off
        # is for verify to tell, and keeps no program from running.
        with contextlib.suppress(Trouble):
            control.heal(system, Settings(), lambda _: None)
