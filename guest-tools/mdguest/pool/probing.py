"""Getting a probe onto the dedicated CPUs: only what is in the pool's cgroup may run there."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from mdguest.errors import Trouble
from mdguest.facts import CGROUP, POOL, RAW_POOL
from mdguest.pool.subsets import PROBES

if TYPE_CHECKING:
    from mdguest.facts import Facts
    from mdguest.system import System

RAW_GROUP, SCOPE = PROBES

Place = Callable[[int], None]


@contextlib.contextmanager
def placer(system: System, facts: Facts) -> Iterator[Place]:
    """A function that moves a process to where it may use the dedicated CPUs, until this ends."""
    with contextlib.ExitStack() as ending:
        group = _raw(system, facts, ending) if facts.systemd is None else _scope(facts, ending)

        def place(pid: int) -> None:
            if group:
                _await(system, group)
                system.write(f"{group}/cgroup.procs", str(pid))

        yield place


def _raw(system: System, facts: Facts, ending: contextlib.ExitStack) -> str:
    if facts.pool is None:
        return ""
    group = f"{CGROUP}/{RAW_POOL}/{RAW_GROUP}"
    system.mkdir(group)
    ending.callback(_remove, system, group)
    return group


def _remove(system: System, group: str) -> None:
    """Remove a cgroup once the last of its processes is gone."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            system.remove(group)
            return
        time.sleep(0.1)


def _scope(facts: Facts, ending: contextlib.ExitStack) -> str:
    """A scope of systemd's, kept open by a process that only waits for us to end."""
    slices = [POOL] if facts.pool else []
    slices += [group.name for group in facts.groups if group.name == "kubepods.slice"]
    if not slices:
        return ""
    command = ("systemd-run", "--quiet", "--scope", "--collect", f"--slice={slices[0]}")
    holder = subprocess.Popen(
        [*command, f"--unit={SCOPE}", "--", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ending.callback(holder.communicate)
    return f"{CGROUP}/{slices[0]}/{SCOPE}"


def _await(system: System, group: str) -> None:
    for _ in range(100):
        if "populated 1" in _events(system, group):
            return
        time.sleep(0.05)
    raise Trouble(f"systemd made no {SCOPE} within 5 s")


def _events(system: System, group: str) -> str:
    try:
        return system.read(f"{group}/cgroup.events")
    except OSError:
        return ""
