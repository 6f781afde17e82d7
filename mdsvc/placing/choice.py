"""Choosing a host among many: filter, then rank by the price of the best layout on each.

The fewest whole cores broken come first, then the fewest L3 domains where they are known, then what
each host's packing prefers, then the name.
Among hosts of both packings, those that pack are filled before those that spread.
Hosts that are alike but for their labels share the work.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from operator import attrgetter, itemgetter

import msgspec

from mdsvc.errors import DoesNotFit, Reason
from mdsvc.layout import Found, Layout, does_not_fit, find, fit, laid_out
from mdsvc.likeness import likeness
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A host with the best place that was found on it, or on the first by name of the hosts that
    are alike; None where there is none.
    """

    host: Host
    found: Found | None

    @property
    def price(self) -> int | None:
        """What the best layout costs, comparable between hosts; None where there is none."""
        return self.found.price if self.found else None

    @property
    def cores_broken(self) -> int | None:
        """How many whole cores the best layout breaks; None where there is none."""
        return self.found.cores_broken if self.found else None

    def layout(self, request: Request) -> Layout:
        """The best layout. Raises DoesNotFit."""
        if self.found and self.found.host is self.host:
            return laid_out(self.found, request)
        return fit(self.host, request)

    def reasons(self, request: Request) -> Sequence[Reason]:
        """Why the request does not fit on this host, nearest first; none where it fits."""
        return () if self.price is not None else does_not_fit(self.host, request).reasons


def rank(hosts: Iterable[Host], request: Request) -> list[Ranked]:
    """Every host, the best one first; those that do not take the request last."""
    places: dict[Hashable, Found | None] = {}
    ranking = []
    for host in sorted(hosts, key=attrgetter("name")):
        like = likeness(host)
        if like not in places:
            places[like] = find(host, request)
        ranking.append(Ranked(host, places[like]))
    return sorted(ranking, key=_by_price)


def _by_price(ranked: Ranked) -> tuple[bool, int]:
    found = ranked.found
    return found is None, found.price if found else 0


def choose(hosts: Sequence[Host], request: Request) -> tuple[Host, Layout]:
    """The best host with the layout on it. Raises DoesNotFit with the reasons of all hosts."""
    return best(rank(hosts, request), request)


def best(ranking: Sequence[Ranked], request: Request) -> tuple[Host, Layout]:
    """The first host of a ranking with the layout on it. Raises DoesNotFit as ``choose`` does."""
    if not ranking or ranking[0].found is None:
        if len(ranking) == 1:
            raise does_not_fit(ranking[0].host, request)
        message = f"fits on none of {len(ranking)} hosts"
        raise DoesNotFit(message, partial(_all_reasons, ranking, request))
    return ranking[0].host, ranking[0].layout(request)


def _all_reasons(ranking: Sequence[Ranked], request: Request) -> list[Reason]:
    """Each host's nearest reason, then each one's next."""
    placed = [
        (place, of_host(ranked.host.name, reason))
        for ranked in ranking
        for place, reason in enumerate(ranked.reasons(request))
    ]
    return [reason for _, reason in sorted(placed, key=itemgetter(0))]


def of_host(name: str, reason: Reason) -> Reason:
    """The reason as one among those of several hosts."""
    message = f"host {name}: {reason.message}"
    return msgspec.structs.replace(reason, host=name, message=message)
