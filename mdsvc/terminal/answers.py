"""The answers of ``mdsvc fit`` in words: a layout or reasons, a choice of hosts, Placement."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from mdsvc.placing.what_if import Answer, Fits, HostAnswer, PlacementAnswer, Refusal
from mdsvc.terminal.tables import columns, facts, layout_table
from mdsvc.terminal.words import Printable, plain

_SHOWN = 10
"""Hosts of each kind, and reasons, that a short table shows."""


def in_words(answer: Answer) -> Printable:
    """An answer for people, its warnings last."""
    warnings = [plain(f"warning: {text}") for text in answer.warnings]
    return Printable(*_lines(answer), *warnings, "")


def _lines(answer: Answer) -> Sequence[RenderableType]:
    match answer:
        case Fits():
            return _fits(answer)
        case Refusal():
            return _refusal(answer)
        case PlacementAnswer():
            return _placement(answer)


def _fits(answer: Fits) -> Sequence[RenderableType]:
    """The layout; among several hosts, on which, and then the hosts."""
    layout = layout_table(answer.layout)
    if not answer.hosts:
        return [layout]
    return [plain(f"on host {answer.host}:", "bold"), layout, "", *_hosts(answer.hosts)]


def _refusal(answer: Refusal) -> Sequence[RenderableType]:
    """The message; then the reasons after the first, which the message quotes, or the hosts."""
    lines = [plain(f"{answer.error}: {answer.message}", "bold")]
    if answer.hosts:
        return [*lines, "", *_hosts(answer.hosts)]
    reasons = answer.reasons or ()
    lines += [plain(f"  {reason.message}") for reason in reasons[1:_SHOWN]]
    more = len(reasons) - _SHOWN
    return [*lines, *([plain(f"  and {more} more reasons")] if more > 0 else [])]


def _hosts(hosts: Sequence[HostAnswer]) -> Sequence[RenderableType]:
    """The hosts, each with what decided, and how many of them are not shown."""
    table = columns("host", "fits", ">cores broken", "why not, the nearest first")
    taking = [host for host in hosts if host.fits]
    refusing = [host for host in hosts if not host.fits]
    for host in taking[:_SHOWN]:
        table.add_row(plain(host.host), "yes", str(host.cores_broken), "")
    for host in refusing[:_SHOWN]:
        nearest = [reason.message for reason in (host.reasons or ())[:1]]
        table.add_row(plain(host.host), "no", "", plain("".join(nearest)))
    left = {"more take it": len(taking) - _SHOWN, "more do not": len(refusing) - _SHOWN}
    return [table, "; ".join(f"{number} {what}" for what, number in left.items() if number > 0)]


def _placement(answer: PlacementAnswer) -> Sequence[RenderableType]:
    """The query for Placement, then the host's inventories."""
    query = {
        "query": f"GET {answer.query}",
        "resources": ", ".join(f"{name} {n}" for name, n in answer.resources.items()),
        "required": ", ".join(answer.required) or "no traits",
        **({"forbidden": ", ".join(answer.forbidden)} if answer.forbidden else {}),
    }
    if not answer.inventories:
        return [facts(query)]
    table = columns("inventory", ">total", ">used", ">max_unit", ">allocation_ratio")
    usages = answer.usages or {}
    for name, inventory in answer.inventories.items():
        numbers = (inventory["total"], usages[name], inventory["max_unit"])
        table.add_row(name, *map(str, numbers), f"{inventory['allocation_ratio']:g}")
    offered = {**query, "host's traits": ", ".join(answer.traits or ()) or "none"}
    return [facts(offered), "", table]
