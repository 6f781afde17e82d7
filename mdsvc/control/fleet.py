"""Rules over all hosts together: for now R17, no new mixed guests while one host is behind."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mdsvc.errors import Conflict
from mdsvc.policy.flavor import Request
from mdsvc.store import Snapshot
from mdsvc.store.listing import Listing
from mdsvc.topology import MIXED_SERVICE_VERSION, Host


class Fleet(msgspec.Struct, frozen=True):
    """Every host, and the revision at which one was last added, or changed its service version."""

    revision: int
    hosts: Listing[Host]


async def look_at_fleet(snapshot: Snapshot, request: Request) -> Fleet | None:
    """The fleet, where the request has to know it: a mixed guest does. Raises Conflict.

    The revision is read before the hosts are, so that one which comes in between moves it. In a
    transaction it is relied on from then on.
    """
    if request.cpu_policy != "mixed":
        return None
    fleet = Fleet(await snapshot.fleet(), await snapshot.list_hosts())
    versions = [f"{host.name} ({host.service_version})" for host in behind(fleet.hosts)]
    versions += [f"{bad.key} (not known: {bad})" for bad in fleet.hosts.damaged]
    if versions:
        each = ", ".join(versions)
        expected = f"every host at service version {MIXED_SERVICE_VERSION} or later"
        raise Conflict(f"mixed guests are refused: expected {expected}, but not yet: {each}")
    return fleet


def behind(hosts: Sequence[Host]) -> list[Host]:
    """Those for which mixed guests are refused everywhere: one of them could be chosen for such a
    guest later, by whoever migrates it.
    """
    return [host for host in hosts if not host.knows_mixed]
