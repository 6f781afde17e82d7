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

from mdguest import control, lock
from mdguest.cpuset import CpuSet
from mdguest.errors import NotFound, Refused, Trouble
from mdguest.observe import POOL, RAW_POOL, observe
from mdguest.pinning import every_cpu, start_pinning
from mdguest.settings import Settings
from mdguest.subsets import checked_name, choose, subsets
from mdguest.wants import SUBSET

if TYPE_CHECKING:
    from mdguest.facts import Facts
    from mdguest.system import System

_ENTER = "import sys; sys.path.insert(0, sys.argv.pop(1)); from mdguest.run import enter; enter()"


def filled(command: Sequence[str], cpus: CpuSet) -> list[str]:
    """The command with ``{cpus}`` as a CPU list and ``{lcores}`` as DPDK's -l takes it."""
    lcores = ",".join(map(str, cpus))
    return [word.replace("{cpus}", str(cpus)).replace("{lcores}", lcores) for word in command]


def run(
    system: System, command: Sequence[str], cpus: str | None, name: str | None, balance: bool
) -> NoReturn:
    """Become the command, on a subset of the pool.

    Raises NotFound, BadInput or Refused before anything is changed.
    """
    if system.which(command[0]) is None:
        raise NotFound(f"{command[0]}: no such program")
    name = checked_name(name or f"{Path(command[0]).name}-{os.getpid()}")
    guard = lock.take(lock.SUBSETS)
    facts = observe(system)
    if name in (subset.name for subset in subsets(facts)):
        raise Refused(f"--name {name}: there is one of that name; mdguest status lists them")
    chosen = choose(cpus, facts)
    command = filled(command, chosen)
    if not balance and len(chosen) > 1:
        start_pinning(os.getpid(), f"{SUBSET}{name}")
    if facts.systemd:
        _become_scope(guard, name, chosen, balance, command)
    _enter_raw(system, facts, name, chosen)
    _become(system, chosen, balance, command)


def _become_scope(
    guard: int, name: str, cpus: CpuSet, balance: bool, command: list[str]
) -> NoReturn:
    """Have systemd make the scope around us; ``enter`` goes on inside, and gives the lock back."""
    os.set_inheritable(guard, True)
    scope = ("--quiet", "--scope", "--collect", f"--slice={POOL}", f"--unit={SUBSET}{name}.scope")
    described = f"--description=mdguest: {command[0]} on CPU {cpus}"
    package = str(Path(__file__).parent.parent)
    inner = (sys.executable, "-c", _ENTER, package, str(guard), str(cpus), str(int(balance)))
    os.execvp(
        "systemd-run",
        [
            "systemd-run",
            *scope,
            described,
            f"--property=AllowedCPUs={cpus}",
            "--",
            *inner,
            *command,
        ],
    )


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
    pool = facts.pool.path if facts.pool else RAW_POOL
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


def _our_group(system: System) -> str:
    """Our cgroup, once systemd has moved us."""
    for _ in range(100):
        group = system.read("/proc/self/cgroup").rpartition("0::")[2]
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
        # Linux 7 lets its own threads onto CPUs that it balances. What of them cannot be moved off
        # is for verify to tell, and keeps no program from running.
        with contextlib.suppress(Trouble):
            control.heal(system, Settings(), lambda _: None)
