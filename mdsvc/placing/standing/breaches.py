"""Which rules the guests of a host would break on it, all together and each where it is (R26).

What counts is what the layouts say, and nothing that is stored of the host's use. Where something
is too small for all guests that share it, each of them is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mdsvc.errors import Reason
from mdsvc.placing.standing.dedicated import dedicated_cpus, thread_policy
from mdsvc.placing.standing.memory import memory, pages
from mdsvc.placing.standing.residents import Broken, Resident
from mdsvc.placing.standing.shared import shared_cpus
from mdsvc.topology import MIXED_SERVICE_VERSION, Host


def breaches(host: Host, guests: Sequence[Resident]) -> list[Reason]:
    """All that forbids these guests to be on this host where they are; none where they fit it."""
    reasons = (
        Reason(host=host.name, instance=guest.uuid, rule=name, message=message)
        for name, rule in RULES.items()
        for guest, message in rule(host, guests)
    )
    return list(dict.fromkeys(reasons))


def _service_version(host: Host, guests: Sequence[Resident]) -> Broken:
    """R17."""
    for guest in guests:
        if guest.layout.cpu_policy == "mixed" and not host.knows_mixed:
            expected = f"{MIXED_SERVICE_VERSION} or later for a mixed guest"
            yield guest, f"expected {expected}, got {host.service_version}"


def _guest_numa(host: Host, guests: Sequence[Resident]) -> Broken:
    """R30."""
    for guest in guests:
        if len(guest.layout.cells) > 1 and not host.gives_nodes:
            yield (
                guest,
                f"expected at most one NUMA node on {host.arch}, got {len(guest.layout.cells)}",
            )


def _host_cell(host: Host, guests: Sequence[Resident]) -> Broken:
    for guest in guests:
        for used in guest.layout.cells:
            if used.host_cell not in host.by_id:
                yield guest, f"host cell {used.host_cell}, where its cell {used.id} is, is gone"


RULES: Mapping[str, Callable[[Host, Sequence[Resident]], Broken]] = {
    "service_version": _service_version,
    "guest_numa": _guest_numa,
    "host_cell": _host_cell,
    "dedicated_cpus": dedicated_cpus,
    "thread_policy": thread_policy,
    "shared_cpus": shared_cpus,
    "pages": pages,
    "memory": memory,
}
"""By the names that the fitter's reasons have too."""
