"""Whose pCPU each is, and who may run there beside (R11-R14)."""

from __future__ import annotations

from collections.abc import Iterator

from mdsvc.auditing.facts import Facts, Fault, Thread, are, by_guest, listed, named, vcpus_of
from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.running import RunningGuest


def pinned_twice(facts: Facts) -> Iterator[Fault]:
    """A pCPU to which vCPUs of two guests, or two vCPUs of one, are pinned as the only one."""
    holders: dict[int, list[Thread]] = {}
    for thread in facts.threads:
        if _claims(facts, thread):
            for pcpu in thread.pcpus or EMPTY:
                holders.setdefault(pcpu, []).append(thread)
    groups: dict[tuple[int, ...], dict[int, list[Thread]]] = {}
    for pcpu, threads in holders.items():
        if len(threads) > 1:
            key = tuple(id(guest) for guest, _ in by_guest(threads))
            groups.setdefault(key, {})[pcpu] = threads
    for group in groups.values():
        yield _twice(facts, group)


def _claims(facts: Facts, thread: Thread) -> bool:
    """Its only pCPU, which is none to be shared; also where no set has it."""
    if thread.owns:
        return thread.what != "I/O threads"
    single = thread.vcpu is not None and len(thread.pcpus or EMPTY) == 1
    shared = facts.shared is not None and (thread.pcpus or EMPTY) <= facts.shared
    return single and not shared and thread.guest.asked is None


def _twice(facts: Facts, by_pcpu: dict[int, list[Thread]]) -> Fault:
    threads = [thread for each in by_pcpu.values() for thread in each]
    guests = by_guest(threads)
    cpus = CpuSet.of(by_pcpu)
    who = listed(f"{vcpus_of(of)} of {facts.label(guest)}" for guest, of in guests)
    if len(guests) == 1:
        mend = f"re-pin {facts.label(guests[0][0])}: one free pCPU for each of its dedicated vCPUs"
    else:
        mend = f"re-pin all but one of {listed(facts.label(g) for g, _ in guests)} to free pCPUs"
    return Fault(
        guests=[guest for guest, _ in guests],
        cpus=cpus,
        detail=f"{who} are pinned to the same {named('pCPU', cpus)}: none of them has one of its "
        "own, and each waits for the others",
        mend=f"{mend} (virsh vcpupin --live --config, or cold-migrate)",
    )


def dedicated_not_alone(facts: Facts) -> Iterator[Fault]:
    """A dedicated pCPU on which another guest's floating threads may run."""
    floating = [thread for thread in facts.threads if not _claims(facts, thread)]
    for guest in facts.guests:
        own = facts.own(guest)
        others = [t for t in floating if t.guest is not guest and not t.owns and t.on(own)]
        if own and others:
            yield _invaded(facts, guest, own, others)


def _invaded(facts: Facts, guest: RunningGuest, own: CpuSet, others: list[Thread]) -> Fault:
    cpus = union(thread.on(own) for thread in others)
    groups = by_guest(others)
    who = listed(f"{vcpus_of(threads)} of {facts.label(other)}" for other, threads in groups)
    loose = listed(facts.label(other) for other, _ in groups)
    return Fault(
        guests=[guest, *(other for other, _ in groups)],
        cpus=cpus,
        detail=f"{named('pCPU', cpus)} {are(cpus)} dedicated to {facts.label(guest)}, but {who} "
        "may run there too, and take time from it",
        mend=f"keep {loose} off: {_confine(facts)}",
    )


def _confine(facts: Facts) -> str:
    """Where such threads belong."""
    if facts.shared:
        return f"pin their vCPUs, emulator and I/O threads to the shared set, {facts.shared}"
    return "give the host a cpu_shared_set, and pin their vCPUs, emulator and I/O threads to it"


def dedicated_unpinned(facts: Facts) -> Iterator[Fault]:
    """A guest whose flavor and image say dedicated, with vCPUs that have no pCPU of their own."""
    for guest in facts.guests:
        asked = guest.asked.dedicated if guest.asked else EMPTY
        loose = (asked & guest.all_vcpus) - guest.unplugged - CpuSet.of(guest.single_pins)
        if loose:
            where = [guest.pcpus(vcpu) for vcpu in loose]
            known = union(pcpus for pcpus in where if pcpus)
            anywhere = (
                "any pCPU of the host" if None in where or not known else named("pCPU", known)
            )
            yield Fault(
                guests=[guest],
                cpus=facts.all_cpus if None in where else known,
                detail=f"{facts.label(guest)} is to have dedicated CPUs, but its "
                f"{named('vCPU', loose)} {are(loose)} pinned to none: they float over "
                f"{anywhere}, and the guest is told that they are dedicated",
                mend="pin each to a free pCPU of the dedicated set, or move the guest to a host "
                "that has as many free",
            )


def outside_sets(facts: Facts) -> Iterator[Fault]:
    """Threads that may run where the host's sets do not have them."""
    for guest, threads in by_guest(facts.threads):
        strays = [(thread, stray) for thread in threads if (stray := _stray(facts, thread))]
        if not strays:
            continue
        cpus = union(stray for _, stray in strays)
        allowed = ", ".join(
            f"{name} {cpus or 'empty'}"
            for name, cpus in (
                ("cpu_shared_set", facts.shared),
                ("cpu_dedicated_set", facts.dedicated),
                ("the host", facts.topology.cpus if facts.topology else None),
            )
            if cpus is not None
        )
        yield Fault(
            guests=[guest],
            cpus=cpus,
            detail=f"{vcpus_of(t for t, _ in strays)} of {facts.label(guest)} may run on "
            f"{named('pCPU', cpus)}, where the host's sets do not have them ({allowed}): what is "
            "placed or kept there counts on being alone",
            mend="pin dedicated vCPUs inside cpu_dedicated_set, all else to cpu_shared_set; or "
            "correct the sets in the host's configuration",
        )


def _stray(facts: Facts, thread: Thread) -> CpuSet:
    """Where it may run, and has no business."""
    pcpus = facts.all_cpus if thread.pcpus is None else thread.pcpus
    missing = pcpus - facts.topology.cpus if facts.topology else EMPTY
    if not thread.owns:
        missing -= facts.shared or EMPTY  # it runs on the others, and the set is at fault
    return missing | _outside(facts, thread, pcpus)


def _outside(facts: Facts, thread: Thread, pcpus: CpuSet) -> CpuSet:
    if thread.owns:
        return EMPTY if facts.dedicated is None else pcpus - facts.dedicated
    asked = thread.guest.asked
    if asked and thread.vcpu is not None and thread.vcpu in asked.dedicated:
        return EMPTY  # that it has no pCPU of its own is a fault by itself
    own = facts.own(thread.guest)
    if facts.shared is None:
        return EMPTY if facts.dedicated is None else (pcpus & facts.dedicated) - own
    return pcpus - facts.shared - (EMPTY if thread.vcpu is not None else own)


def isolate_has_neighbour(facts: Facts) -> Iterator[Fault]:
    """A guest of the thread policy `isolate`, with others on the siblings of its pCPUs."""
    cores = [core for cell in facts.topology.cells for core in cell.cores] if facts.topology else []
    for guest in facts.guests:
        own = facts.own(guest)
        if guest.asked is None or guest.asked.cpu_thread_policy != "isolate" or not own:
            continue
        siblings = union(core for core in cores if core & own) - own
        joint = own & union(core for core in cores if len(core & own) > 1)
        others = [t for t in facts.threads if t.guest is not guest and t.on(siblings)]
        if others or joint:
            yield _neighboured(facts, guest, siblings, joint, others)


def _neighboured(
    facts: Facts, guest: RunningGuest, siblings: CpuSet, joint: CpuSet, others: list[Thread]
) -> Fault:
    groups = by_guest(others)
    cpus = joint | union(thread.on(siblings) for thread in others)
    faults = [
        f"{vcpus_of(threads)} of {facts.label(other)} on pCPUs "
        f"{union(thread.on(siblings) for thread in threads)}"
        for other, threads in groups
    ]
    faults += [f"its own pCPUs {joint} on one core"] if joint else []
    return Fault(
        guests=[guest, *(other for other, _ in groups)],
        cpus=cpus,
        detail=f"{facts.label(guest)} is to have whole cores (isolate), but siblings of its pCPUs "
        f"are in use: {listed(faults)}; they share its caches and execution units",
        mend="move it to cores that are wholly free, or the others off its siblings",
    )
