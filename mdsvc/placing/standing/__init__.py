"""A registered host described anew under its guests: they stay as they are, or it stays (R26).

Guests keep their places. Over which pCPUs their emulator threads and shared vCPUs float may change
with the host, and then their layouts are renewed (R11-R13). The host's use is worked out from its
guests alone (R27).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.errors import CannotStay, Reason
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.layout import Layout, refloat
from mdsvc.placing.standing.breaches import breaches
from mdsvc.placing.standing.residents import Resident
from mdsvc.placing.usage import place
from mdsvc.topology import Host

__all__ = ["Resident", "Standing", "found_anew", "stand"]

MOST_NAMED = 20
"""Guests that the message of a refusal names; its reasons name them all."""


class Standing(msgspec.Struct, frozen=True):
    """A host with the use of its guests, and those whose threads float elsewhere than before."""

    host: Host
    renewed: tuple[Resident, ...]


def stand(before: Host, after: Host, guests: Sequence[Resident]) -> Standing:
    """The guests of a host on what it is to become. Raises CannotStay, which names each of them
    that would break a rule.
    """
    broken = breaches(after, guests)
    if broken:
        raise CannotStay(_refusal(after, guests, broken), broken)
    host, renewed = after.without_use(), []
    for guest in guests:
        layout = refloat(after, guest.layout)
        if layout != guest.layout or _floats(after, layout) != _floats(before, layout):
            renewed.append(msgspec.structs.replace(guest, layout=layout))
        host = place(host, layout, guest.flavor)
    return Standing(host, tuple(renewed))


def found_anew(
    registered: Host, found: Host, shared: CpuSet | None, dedicated: CpuSet | None
) -> Host:
    """The registered host with what was found out about it: its arch and cells. All else stays as
    it was, the CPU sets too where none is given; of these only what is still there.

    Raises BadInput.
    """
    form = to_builtins(registered)
    sets = {"cpu_shared_set": shared, "cpu_dedicated_set": dedicated}
    for name, given in sets.items():
        kept = getattr(registered, name) & found.cpus
        form[name] = str(kept if given is None else given)
    form |= {"arch": found.arch, "cells": to_builtins(found.cells)}
    return from_builtins(form, Host)


def _floats(host: Host, layout: Layout) -> tuple[CpuSet, ...]:
    """The pCPUs over which shared vCPUs float, in each cell that has some; without cells, those of
    the host.
    """
    if not layout.cells:
        return (host.cpu_shared_set,)
    cells = (host.by_id.get(cell.host_cell) for cell in layout.cells if cell.cpuset)
    return tuple(host.shared(cell) for cell in cells if cell)


def _refusal(host: Host, guests: Sequence[Resident], broken: Sequence[Reason]) -> str:
    each = [
        f"{guest.name} ({guest.uuid}): {', '.join(rules)}"
        for guest in guests
        if (rules := [f"{r.rule}: {r.message}" for r in broken if r.instance == guest.uuid])
    ]
    named = each[:MOST_NAMED]
    if len(each) > MOST_NAMED:
        named.append(f"and {len(each) - MOST_NAMED} more")
    count = f"{len(each)} of {len(guests)} instances could not stay as they are"
    return f"host {host.name}: {count}: {'; '.join(named)}"
