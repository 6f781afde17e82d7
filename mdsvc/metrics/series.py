"""The counters that every process of a kind has: a row says all that monitoring is told of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from prometheus_client import CollectorRegistry, Counter

__all__ = ["COUNTERS", "Of", "counters"]


class Of(Flag):
    """Which processes have a counter: those with a store, or those in front of Nova."""

    STORE = auto()
    OVERLAY = auto()
    ANY = STORE | OVERLAY


@dataclass(frozen=True, slots=True)
class Row:
    """A counter: its text for people, its labels, and whose it is."""

    text: str
    labels: tuple[str, ...] = ()
    of: Of = Of.ANY


COUNTERS = {
    "mdsvc_requests": Row("Guests' requests that were answered.", ("document", "client", "status")),
    "mdsvc_fits": Row(
        "Placements asked for and what-if questions; rule is the nearest that failed.",
        ("outcome", "rule"),
    ),
    "mdsvc_refused": Row("What guests asked and were not given, by why.", ("reason",)),
    "mdsvc_vendordata_requests": Row(
        "Requests to the operator's own services for vendor data, by what came of them.",
        ("target", "outcome"),
    ),
    "mdsvc_target_requests": Row(
        "Nova's requests to this as a target of its vendor data, by what they were answered.",
        ("document", "status"),
    ),
    "mdsvc_upstream_requests": Row(
        "Requests to Nova's metadata service, by what came of them.", ("outcome",), Of.OVERLAY
    ),
    "mdsvc_upstream_last_good": Row(
        "Guests' requests for which an answer had to do that was kept.", of=Of.OVERLAY
    ),
}


def counters(of: Of, registry: CollectorRegistry | None) -> dict[str, Counter]:
    """The counters of a process of this kind, at zero, by name."""
    return {
        name: Counter(name, row.text, row.labels, registry=registry)
        for name, row in COUNTERS.items()
        if of in row.of
    }
