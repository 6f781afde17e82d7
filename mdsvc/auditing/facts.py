"""One host with the guests that run on it, as the rules look at them, and what they find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.running import RunningGuest
from mdsvc.topology import Host

Code = Literal[
    "pinned_twice",
    "dedicated_not_alone",
    "dedicated_unpinned",
    "pmd_in_sets",
    "sets_overlap",
    "outside_sets",
    "isolate_has_neighbour",
    "memory_overbooked",
    "memory_elsewhere",
    "isolcpus_in_shared_set",
    "set_cpus_missing",
]
"""What kind of fault it is. Published, so none of these words ever changes."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: who suffers on which pCPUs, what it does to them, and what mends it."""

    code: Code
    host: str
    guests: tuple[str, ...]
    cpus: CpuSet
    detail: str
    mend: str


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as a rule finds it on its host."""

    guests: Sequence[RunningGuest] = ()
    cpus: CpuSet = EMPTY
    detail: str
    mend: str


class Thread(msgspec.Struct, frozen=True, eq=False):
    """Threads of a guest, and the pCPUs that they may run on: None is every one of the host.
    ``owns``: its one pCPU is meant to be its alone.
    """

    guest: RunningGuest
    what: str
    pcpus: CpuSet | None
    vcpu: int | None = None
    owns: bool = False

    def on(self, cpus: CpuSet) -> CpuSet:
        """Those of these pCPUs that it may run on."""
        return cpus if self.pcpus is None else self.pcpus & cpus


class Facts(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What is known of a host. Sets that are None, and a topology that is, are not known.

    ``topology`` is the host without its sets and its use. ``one_set``: the host is configured with
    one set for dedicated and shared vCPUs alike, as before Nova's Train release.
    """

    name: str
    guests: tuple[RunningGuest, ...] = ()
    topology: Host | None = None
    shared: CpuSet | None = None
    dedicated: CpuSet | None = None
    one_set: bool = False
    pmd: CpuSet = EMPTY
    isolated: CpuSet = EMPTY
    reserved_mb: int = 0

    @cached_property
    def threads(self) -> Sequence[Thread]:
        """Every kind of thread of every guest."""
        return [thread for guest in self.guests for thread in _threads(self, guest)]

    @cached_property
    def _own(self) -> Mapping[int, CpuSet]:
        pcpus: dict[int, CpuSet] = {}
        for thread in self.threads:
            if thread.owns:
                before = pcpus.get(id(thread.guest), EMPTY)
                pcpus[id(thread.guest)] = before | (thread.pcpus or EMPTY)
        return pcpus

    def own(self, guest: RunningGuest) -> CpuSet:
        """The pCPUs that are meant to be the guest's alone."""
        return self._own.get(id(guest), EMPTY)

    @cached_property
    def pins(self) -> CpuSet:
        """All pCPUs that some thread is pinned to, or floats over by name."""
        return union(thread.pcpus or EMPTY for thread in self.threads)

    @cached_property
    def all_cpus(self) -> CpuSet:
        """Every pCPU that is known of."""
        if self.topology:
            return self.topology.cpus
        return (self.shared or EMPTY) | (self.dedicated or EMPTY) | self.pins

    def label(self, guest: RunningGuest) -> str:
        """Its name; with its UUID where another one has the same."""
        return f"{guest.name} ({guest.uuid})" if self._names[guest.name] > 1 else guest.name

    @cached_property
    def _names(self) -> Counter[str]:
        return Counter(guest.name for guest in self.guests)


def _threads(facts: Facts, guest: RunningGuest) -> Iterator[Thread]:
    pinned = guest.pinned(facts.shared, facts.dedicated)
    for vcpu in guest.all_vcpus - guest.unplugged:
        pcpus = guest.pcpus(vcpu)
        yield Thread(guest, f"vCPU {vcpu}", pcpus, vcpu, owns=vcpu in pinned)
    emulator = guest.floats if guest.emulator is None else guest.emulator
    isolated = _is_isolated(facts, guest, emulator, CpuSet.of(pinned.values()))
    yield Thread(guest, "emulator threads", emulator, owns=isolated)
    for pcpus in dict.fromkeys(guest.floats if p is None else p for p in guest.iothreads):
        # pinned with the emulator, it shares what that has
        yield Thread(guest, "I/O threads", pcpus, owns=isolated and pcpus == emulator)


def _is_isolated(facts: Facts, guest: RunningGuest, emulator: CpuSet | None, vcpus: CpuSet) -> bool:
    """Whether the emulator threads have a dedicated pCPU to themselves."""
    alone = emulator is not None and len(emulator) == 1 and not emulator & vcpus
    if not alone or emulator is None:
        return False
    if guest.asked is not None:
        return guest.asked.isolated_emulator
    return facts.dedicated is not None and emulator <= facts.dedicated


# ---- words ----

MOST_NAMED = 5
"""Guests that a sentence names; a finding's ``guests`` has them all."""


def listed(words: Iterable[str]) -> str:
    """``a, b and c``; with more than a sentence bears, ``a, b and 7 more``."""
    names = list(words)
    if len(names) > MOST_NAMED:
        names[MOST_NAMED:] = [f"{len(names) - MOST_NAMED} more"]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def named(kind: str, cpus: CpuSet) -> str:
    """``pCPU 3`` or ``pCPUs 2-3``."""
    return f"{kind}{'s' if len(cpus) > 1 else ''} {cpus}"


def are(cpus: CpuSet) -> str:
    """The verb for them."""
    return "are" if len(cpus) > 1 else "is"


def vcpus_of(threads: Iterable[Thread]) -> str:
    """Threads of one guest in words: ``vCPUs 0-3, emulator threads``."""
    of = list(threads)
    vcpus = CpuSet.of(t.vcpu for t in of if t.vcpu is not None)
    others = dict.fromkeys(t.what for t in of if t.vcpu is None)
    return ", ".join([*([named("vCPU", vcpus)] if vcpus else []), *others])


def by_guest(threads: Iterable[Thread]) -> list[tuple[RunningGuest, list[Thread]]]:
    """The threads of each guest."""
    groups: dict[int, tuple[RunningGuest, list[Thread]]] = {}
    for thread in threads:
        groups.setdefault(id(thread.guest), (thread.guest, []))[1].append(thread)
    return list(groups.values())
