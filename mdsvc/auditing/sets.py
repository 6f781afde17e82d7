"""The host's own sets: what they are, apart from one another and from what else uses CPUs."""

from __future__ import annotations

from collections.abc import Iterator

from mdsvc.auditing.facts import Facts, Fault, are, listed, named
from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.running import RunningGuest


def sets_overlap(facts: Facts) -> Iterator[Fault]:
    """Not where the host has but one set by its configuration, for both."""
    both = (facts.shared or EMPTY) & (facts.dedicated or EMPTY)
    if both and not facts.one_set:
        yield Fault(
            guests=_on(facts, both),
            cpus=both,
            detail=f"{named('pCPU', both)} {are(both)} in cpu_shared_set and in "
            "cpu_dedicated_set: a guest that gets one as dedicated shares it with all that float",
            mend="take them out of one of the two sets",
        )


def pmd_in_sets(facts: Facts) -> Iterator[Fault]:
    """A PMD thread of Open vSwitch never sleeps, and takes all of its CPU."""
    given = {
        "cpu_dedicated_set": facts.dedicated or EMPTY,
        "cpu_shared_set": facts.shared or EMPTY,
        "pins of guests": facts.pins,
    }
    taken = {name: cpus & facts.pmd for name, cpus in given.items() if cpus & facts.pmd}
    if taken:
        cpus = union(taken.values())
        where = listed(f"{each} in {name}" for name, each in taken.items())
        yield Fault(
            guests=_on(facts, cpus),
            cpus=cpus,
            detail=f"{named('pCPU', cpus)} {are(cpus)} in the PMD mask of Open vSwitch and "
            f"{are(cpus)} given to guests too ({where}): a PMD thread polls all the time, so a "
            "vCPU there has half of a CPU at most, and the switch loses packets",
            mend="take them out of the host's sets, or out of other_config:pmd-cpu-mask",
        )


def isolcpus_in_shared_set(facts: Facts) -> Iterator[Fault]:
    """The kernel balances no load among isolated CPUs, so what floats there stays where it began.
    What is pinned to one is not touched by that.
    """
    both = (facts.shared or EMPTY) & facts.isolated
    if both and not facts.one_set:
        yield Fault(
            guests=_on(facts, both),
            cpus=both,
            detail=f"{named('pCPU', both)} of cpu_shared_set {are(both)} in isolcpus: the "
            "kernel balances no load there, so threads that float over them crowd on the first "
            "and leave the rest idle",
            mend="take them out of isolcpus, or out of cpu_shared_set",
        )


def set_cpus_missing(facts: Facts) -> Iterator[Fault]:
    """Sets that name CPUs which are offline, or not there at all."""
    if facts.topology is None:
        return
    for name, cpus in (("shared", facts.shared), ("dedicated", facts.dedicated)):
        missing = (cpus or EMPTY) - facts.topology.cpus
        if missing:
            yield Fault(
                cpus=missing,
                detail=f"cpu_{name}_set has {named('pCPU', missing)}, which this host does not "
                f"have, or has offline; it has {facts.topology.cpus}",
                mend=f"bring them online, or take them out of cpu_{name}_set",
            )


def _on(facts: Facts, cpus: CpuSet) -> list[RunningGuest]:
    """The guests that may run there."""
    there = {id(thread.guest) for thread in facts.threads if thread.on(cpus)}
    return [guest for guest in facts.guests if id(guest) in there]
