"""The answer to a what-if: where it would go, drawn; or what is in the way, nearest hosts first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from mdsvc.control.hosts import get_host
from mdsvc.errors import NotFound, Reason
from mdsvc.instance import Instance, place_instance
from mdsvc.occupancy import guests_of
from mdsvc.placing.usage import place
from mdsvc.placing.what_if import Fits, HostAnswer, OpenQuestion, Refusal
from mdsvc.store import Store
from mdsvc.web.host_map import host_map
from mdsvc.web.markup import Child, Html, foreign, h
from mdsvc.web.parts import Column, count, host_link, table

_SHOWN = 100
"""Hosts that take it, and as many that do not."""

_OPEN = 20
"""Of those that do not, how many show every reason at once."""

_NOBODY = "00000000-0000-0000-0000-000000000000"
"""The guest that is drawn where it would be."""

_TAKING = (Column("Host"), Column("Fits"), Column("Cores broken", is_number=True))
_REFUSING = (Column("Host"), Column("Fits"), Column("Why not, the nearest first"))
_WAYS = (Column("What is in the way"), Column("Hosts", is_number=True), Column("Nearest"))

_CELLS = (
    Column("NUMA node", is_number=True),
    Column("Host cell", is_number=True),
    Column("vCPU on pCPU"),
    Column("Shared vCPUs"),
    Column("Emulator on pCPU"),
)

_RULES: Mapping[str, str] = {
    "draining": "The host drains",
    "service_version": "The host is too old for mixed guests",
    "guest_numa": "The guest's NUMA nodes",
    "dedicated_cpus": "Free dedicated pCPUs",
    "thread_policy": "pCPUs by the thread policy",
    "shared_cpus": "Shared vCPUs",
    "memory": "Memory",
    "pages": "Pages of that size",
    "assignment": "Each NUMA node has room, but not all at once",
}


async def answered(store: Store, question: OpenQuestion, answer: Fits | Refusal) -> Sequence[Child]:
    """All of it, warnings first."""
    warnings = [h("p", f"Warning: {text}", class_="warning") for text in answer.warnings]
    if isinstance(answer, Fits):
        return [warnings, await _fits(store, question, answer)]
    return [warnings, _refusal(answer)]


async def _fits(store: Store, question: OpenQuestion, answer: Fits) -> Sequence[Child]:
    name = answer.host or ""
    rows = [
        (
            cell.id,
            cell.host_cell,
            " ".join(f"{vcpu}→{pcpu}" for vcpu, pcpu in cell.cpu_pinning.items()) or "–",
            str(cell.cpuset) or "–",
            str(cell.cpuset_reserved) or "–",
        )
        for cell in answer.layout.cells
    ]
    floats = h("p", "It has no NUMA topology, and floats over the host's shared pCPUs.")
    return (
        h("p", "It fits, and would go to ", host_link(name), ".", class_="good", role="status"),
        table("Where its vCPUs would be", _CELLS, rows) if rows else floats,
        await _drawn(store, question, answer) if rows else None,
        _hosts(answer.hosts or ()),
    )


async def _drawn(store: Store, question: OpenQuestion, answer: Fits) -> Sequence[Html]:
    """The host with the guest on it; nothing where the host is gone since."""
    try:
        host, instances = await get_host(store, answer.host or "")
    except NotFound:
        return ()
    flavor, layout = question.flavor, answer.layout
    guest = Instance(uuid=_NOBODY, project_id="–", name="this guest", flavor=flavor)
    placed = place_instance(guest, host.name, layout)
    guests = guests_of(host, [*instances, placed])
    drawn = host_map(place(host, layout, flavor), guests, only=_NOBODY)
    return h("h3", "There on ", foreign(host.name)), drawn


def _refusal(answer: Refusal) -> Sequence[Child]:
    reasons = [h("li", foreign(reason.message)) for reason in answer.reasons or ()]
    return (
        h("p", foreign(f"{answer.error}: {answer.message}"), class_="problem", role="alert"),
        h("ol", reasons) if reasons else None,
        _hosts(answer.hosts or ()),
    )


def _hosts(hosts: Sequence[HostAnswer]) -> Iterator[Child]:
    taking = [host for host in hosts if host.fits]
    refusing = sorted((host for host in hosts if not host.fits), key=_distance)
    if taking:
        caption = f"{count(len(taking), 'host')} would take it, the best first"
        best = [(host_link(host.host), "yes", host.cores_broken or 0) for host in taking[:_SHOWN]]
        yield table(caption, _TAKING, best)
    if refusing:
        yield _ways(refusing)
        caption = f"{count(len(refusing), 'host')} would not, the nearest first"
        rows = (_row(host, at < _OPEN) for at, host in enumerate(refusing[:_SHOWN]))
        yield table(caption, _REFUSING, rows)
    left = max(0, len(taking) - _SHOWN) + max(0, len(refusing) - _SHOWN)
    if left:
        every = "mdsvc fit --explain has every one"
        yield h("p", f"{left} more are not shown here; {every}.", class_="aside")


def _first(host: HostAnswer) -> Reason | None:
    return next(iter(host.reasons or ()), None)


def _distance(host: HostAnswer) -> tuple[float, int, str]:
    """How far a host is from taking it: what is short for the nearest reason, and how much else."""
    first = _first(host)
    return first.share_missing if first else 1.0, len(host.reasons or ()), host.host


def _ways(refusing: Sequence[HostAnswer]) -> Html:
    """What is in the way on how many hosts, and how near the nearest of them is."""
    rule_of = {host.host: (first.rule if (first := _first(host)) else "") for host in refusing}
    by_rule = sorted(refusing, key=lambda host: rule_of[host.host])
    groups = [(rule, list(of)) for rule, of in groupby(by_rule, lambda host: rule_of[host.host])]
    rows = [
        (_RULES.get(rule, rule), len(of), _nearest(of[0]))
        for rule, of in sorted(groups, key=lambda group: -len(group[1]))
    ]
    return table("What is in the way first", _WAYS, rows)


def _nearest(host: HostAnswer) -> Sequence[Child]:
    first = _first(host)
    return [host_link(host.host), ": ", foreign(first.message) if first else ""]


def _row(host: HostAnswer, is_open: bool) -> Sequence[Child]:
    """The nearest reason, and the others, which can be shut."""
    reasons = [h("li", foreign(reason.message)) for reason in host.reasons or ()]
    more = len(reasons) - 1
    rest = h(
        "details", h("summary", f"and {more} more"), h("ol", reasons[1:], start="2"), open=is_open
    )
    return host_link(host.host), "no", [h("ol", reasons[:1]), rest if more > 0 else None]
