"""The answers of ``mdsvc fit`` in words: a layout or reasons, a choice of hosts, Placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mdsvc.terminal.tables import columns, facts, layout_table
from mdsvc.terminal.words import Printable, plain

_SHOWN = 10
"""Hosts of each kind, and reasons, that a short table shows."""

Answer = Mapping[str, Any]


def fit_answer(answer: Answer) -> Printable:
    """The layout, or why there is none."""
    if answer["fits"]:
        return Printable(layout_table(answer["layout"]), "")
    return Printable(*_refusal(answer), "")


def choice_answer(answer: Answer) -> Printable:
    """The host chosen and the layout on it; then the hosts, each with what decided."""
    if "hosts" not in answer:
        return fit_answer(answer)
    table = columns("host", "fits", ">cores broken", "why not, the nearest first")
    taking = [host for host in answer["hosts"] if host["fits"]]
    refusing = [host for host in answer["hosts"] if not host["fits"]]
    for host in taking[:_SHOWN]:
        table.add_row(plain(host["host"]), "yes", str(host["cores_broken"]), "")
    for host in refusing[:_SHOWN]:
        reason = host["reasons"][0]["message"]
        table.add_row(plain(host["host"]), "no", "", plain(reason))
    left = [f"{_more(taking)} more take it", f"{_more(refusing)} more do not"]
    end = "; ".join(text for text in left if not text.startswith("0 "))
    chosen = layout_table(answer["layout"]) if answer["fits"] else plain(answer["message"])
    title = plain(f"on host {answer['host']}:", "bold") if answer["fits"] else ""
    return Printable(title, chosen, "", table, end)


def placement_answer(answer: Answer) -> Printable:
    """The query for Placement, then the host's inventories."""
    if "query" not in answer:
        return fit_answer(answer)
    asked = {
        "query": f"GET {answer['query']}",
        "resources": ", ".join(f"{name} {n}" for name, n in answer["resources"].items()),
        "required": ", ".join(answer["required"]) or "no traits",
    }
    if "inventories" not in answer:
        return Printable(facts(asked), "")
    table = columns("inventory", ">total", ">used", ">max_unit", ">allocation_ratio")
    for name, inventory in answer["inventories"].items():
        numbers = (inventory["total"], answer["usages"][name], inventory["max_unit"])
        table.add_row(name, *map(str, numbers), f"{inventory['allocation_ratio']:g}")
    offered = {**asked, "host's traits": ", ".join(answer["traits"]) or "none"}
    return Printable(facts(offered), "", table, "")


def _refusal(answer: Answer) -> Sequence[Any]:
    """The message, then the reasons after the first, which the message quotes."""
    shown = answer.get("reasons", ())[1:_SHOWN]
    more = len(answer.get("reasons", ())) - 1 - len(shown)
    lines = [plain(f"{answer['error']}: {answer['message']}", "bold")]
    lines += [plain(f"  {reason['message']}") for reason in shown]
    return [*lines, *([plain(f"  and {more} more reasons")] if more > 0 else [])]


def _more(hosts: Sequence[Any]) -> int:
    return max(0, len(hosts) - _SHOWN)
