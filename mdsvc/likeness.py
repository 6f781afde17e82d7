"""What tells hosts and cells apart but for their labels, so that those that are alike share work.

It is read off the fields, and never listed: a field that is added counts from then on, until it is
said here that it is only a label, or that less of it matters.
"""

from __future__ import annotations

from collections.abc import Hashable
from operator import attrgetter
from typing import NamedTuple

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.topology import Host, HostCell

LABELS = frozenset({"name", "id", "socket"})
"""Fields that say which host or cell it is, and not what it is."""

SEEN_AS = {
    "arch": "gives_nodes",
    "siblings": "core_masks",
    "service_version": "knows_mixed",
}
"""Fields that say more than matters, and the attribute with that which does."""


def likeness(host: Host) -> Hashable:
    """Equal for hosts that take the same guests at the same price. CPU numbers count: hosts of one
    model have the same ones.
    """
    return _HOST(host), tuple([_CELL(cell) for cell in host.cells])


class Shape(NamedTuple):
    """The fields of a kind of value that are no labels, by what is left of them where the numbers
    of CPUs are labels too. Each is the name of an attribute, which may have dots.
    """

    plain: tuple[str, ...]  # as they are
    masks: tuple[str, ...]  # sets of CPUs, as masks: how many CPUs they have
    groups: tuple[str, ...]  # tuples of these: how many there are
    structs: tuple[str, ...]  # tuples of other values, in any order


def shape_of(kind: type[msgspec.Struct]) -> Shape:
    """Of a cell it is what tells those of one host apart but for labels."""
    by_sort: dict[str, list[str]] = {sort: [] for sort in Shape._fields}
    for field in msgspec.structs.fields(kind):
        if field.name not in LABELS:
            by_sort[_sort_of(field)].append(_seen(field))
    return Shape(**{sort: tuple(names) for sort, names in by_sort.items()})


def _sort_of(field: msgspec.structs.FieldInfo) -> str:
    if field.type is CpuSet:
        return "masks"
    of_what = msgspec.inspect.type_info(field.type)
    if not isinstance(of_what, msgspec.inspect.VarTupleType):
        return "plain"
    return "structs" if isinstance(of_what.item_type, msgspec.inspect.StructType) else "groups"


def telling(kind: type[msgspec.Struct], but: frozenset[str] = frozenset()) -> list[str]:
    """All fields of a kind of value that are no labels."""
    return [_seen(f) for f in msgspec.structs.fields(kind) if f.name not in LABELS | but]


def _seen(field: msgspec.structs.FieldInfo) -> str:
    name = SEEN_AS.get(field.name, field.name)
    return f"{name}.mask" if field.type is CpuSet else name


_HOST = attrgetter(*telling(Host, frozenset({"cells"})))
_CELL = attrgetter(*telling(HostCell))
