"""What this guest can do for its dedicated CPUs, and what a reboot would add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY
from mdguest.facts import CGROUP
from mdguest.facts.boot import BOOT_CPU
from mdguest.knobs import KINDS
from mdguest.knobs.kind import Ability

if TYPE_CHECKING:
    from mdguest.cpuset import CpuSet
    from mdguest.facts import Facts
    from mdguest.system import System


def abilities(system: System, facts: Facts, dedicated: CpuSet = EMPTY) -> list[Ability]:
    """What this guest can do for these CPUs."""
    return [*_cgroups(system, facts), *_systemd(facts), *_kernel(system, facts, dedicated)]


def _cgroups(system: System, facts: Facts) -> list[Ability]:
    newer = any(system.glob(f"{CGROUP}/*/cpuset.cpus.exclusive"))
    partition = bool(facts.pool and facts.pool.partition.split(" ")[0] in ("isolated", "root"))
    return [
        Ability("cgroup v2 cpuset", facts.cpuset, f"{CGROUP}/cgroup.controllers"),
        Ability(
            "partitions", True if partition or newer else None, "Linux 6.1 and later: isolated"
        ),
        Ability(
            "remote partitions", newer if facts.groups else None, "cpuset.cpus.exclusive, Linux 6.7"
        ),
        Ability(
            "workqueues follow partitions",
            system.exists(f"{CGROUP}/cpuset.cpus.isolated"),
            "Linux 6.8; otherwise mdguest moves them",
        ),
        Ability(
            "affinities outlive cpuset changes",
            facts.release >= (6, 2),
            "Linux 6.2; otherwise mdguest restores them",
        ),
    ]


def _systemd(facts: Facts) -> list[Ability]:
    systemd = facts.systemd
    version = f"systemd {systemd.version}" if systemd else "no systemd: mode raw"
    native = bool(systemd and systemd.partitions)
    return [
        Ability("systemd", bool(systemd), version),
        Ability("CPUSetPartition=", native, "systemd 261; otherwise mdguest writes the file"),
    ]


def _kernel(system: System, facts: Facts, dedicated: CpuSet) -> list[Ability]:
    tracers = system.read(TRACERS).split() if system.exists(TRACERS) else []
    unable = "this kernel is built without NO_HZ_FULL; no reboot helps"
    ticking = unable if facts.tickless is False else "boot with nohz_full="
    isolated = facts.boot_isolated
    return [
        _at_boot("tick stops (nohz_full)", facts.nohz_full, dedicated - BOOT_CPU, ticking),
        Ability(
            "isolcpus at boot",
            bool(isolated),
            f"CPU {isolated}" if isolated else "not needed with a partition",
        ),
        _at_boot(
            "RCU callbacks move (rcu_nocbs)",
            facts.no_callbacks,
            dedicated,
            "boot with rcu_nocbs=, or nohz_full=, which implies it",
        ),
        *(kind.ability(system) for kind in KINDS.values() if kind.ability),
        Ability("osnoise tracer", "osnoise" in tracers, "for rtla; measure does without"),
    ]


def _at_boot(name: str, cpus: CpuSet, wanted: CpuSet, otherwise: str) -> Ability:
    """What the command line gives some CPUs, which need not be the dedicated ones."""
    if not cpus:
        return Ability(name, False, otherwise)
    missing = wanted - cpus
    says = f"CPU {cpus}, but not {missing}: {otherwise}" if missing else f"CPU {cpus}"
    return Ability(name, not missing, says)


TRACERS = "/sys/kernel/tracing/available_tracers"
