"""Choosing a host among many: filter, then rank by the price of the best layout on each.

The fewest whole cores broken come first, then the fewest L3 domains where they are known, then what
each host's packing prefers, then the name.
Among hosts of both packings, those that pack are filled before those that spread.
Hosts that are alike but for their labels share the work.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from operator import itemgetter

import msgspec

from mdsvc.errors import DoesNotFit, Reason
from mdsvc.layout import Layout, cores_broken, does_not_fit, fit, price
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host, HostCell


class Ranked(msgspec.Struct, frozen=True):
    """A host with the price of the best layout on it; None where there is none."""

    host: Host
    price: int | None

    @property
    def cores_broken(self) -> int | None:
        """How many whole cores the best layout breaks; None where there is none."""
        return None if self.price is None else cores_broken(self.price)

    def reasons(self, request: Request) -> Sequence[Reason]:
        """Why the request does not fit on this host, nearest first; none where it fits."""
        return () if self.price is not None else does_not_fit(self.host, request).reasons


def rank(hosts: Iterable[Host], request: Request) -> list[Ranked]:
    """Every host, the best one first; those that do not take the request last."""
    prices: dict[Hashable, int | None] = {}
    found = []
    for host in hosts:
        likeness = _likeness(host)
        if likeness not in prices:
            prices[likeness] = price(host, request)
        found.append(Ranked(host, prices[likeness]))
    return sorted(found, key=lambda r: (r.price is None, r.price or 0, r.host.name))


def choose(hosts: Sequence[Host], request: Request) -> tuple[Host, Layout]:
    """The best host with the layout on it. Raises DoesNotFit with the reasons of all hosts."""
    return best(rank(hosts, request), request)


def best(ranking: Sequence[Ranked], request: Request) -> tuple[Host, Layout]:
    """The first host of a ranking with the layout on it. Raises DoesNotFit as ``choose`` does."""
    if not ranking or ranking[0].price is None:
        if len(ranking) == 1:
            raise does_not_fit(ranking[0].host, request)
        message = f"fits on none of {len(ranking)} hosts"
        raise DoesNotFit(message, partial(_all_reasons, ranking, request))
    return ranking[0].host, fit(ranking[0].host, request)


def _all_reasons(ranking: Sequence[Ranked], request: Request) -> list[Reason]:
    """Each host's nearest reason, then each one's next."""
    placed = [
        (place, _of_host(ranked.host, reason))
        for ranked in ranking
        for place, reason in enumerate(ranked.reasons(request))
    ]
    return [reason for _, reason in sorted(placed, key=itemgetter(0))]


def _of_host(host: Host, reason: Reason) -> Reason:
    message = f"host {host.name}: {reason.message}"
    return msgspec.structs.replace(reason, host=host.name, message=message)


def _likeness(host: Host) -> Hashable:
    """All that the price depends on. Hosts of one model have the same CPU numbers too."""
    return (
        host.cpu_shared_set.mask,
        host.cpu_dedicated_set.mask,
        host.cpu_allocation_ratio,
        host.ram_allocation_ratio,
        host.packing,
        host.knows_mixed,
        host.floating_vcpus,
        host.floating_memory_mb,
        tuple(map(_cell_likeness, host.cells)),
    )


def _cell_likeness(cell: HostCell) -> Hashable:
    return (
        cell.core_masks,
        tuple([cpus.mask for cpus in cell.l3]),
        cell.pinned.mask,
        cell.shared_used,
        cell.memory_mb,
        cell.memory_used_mb,
        cell.pages,
    )
