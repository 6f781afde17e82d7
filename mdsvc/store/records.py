"""Guests and hosts as the bytes that are stored: msgpack that carries its form's version.

A record is ``{"form": N, "value": VALUE}``. An older form is read by upgrading it step by step. A
change of what stands in ``VALUE`` is a new form here: a field that was added, or one more step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import from_store, to_builtins
from mdsvc.instance import PlacedInstance
from mdsvc.store.listing import BadRecord
from mdsvc.topology import Host

T = TypeVar("T")

Value = dict[str, Any]
Upgrade = Callable[[Value], Value]


class Kind(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """What is kept in records: a value's type, and how each older form becomes the next one.

    A form of ``upgrades`` says things otherwise than the one before; all records are written so.
    A form of ``added`` only has more fields: each with the value at which it says nothing, so that
    it is left out, and a record has the oldest form that can say all that it does. So programs that
    do not know the field go on reading all records in which it is not used; and it is used once
    all programs know it (``store.sql.forms``).
    """

    name: str
    type: type[T]
    upgrades: Mapping[int, Upgrade] = {}
    added: Mapping[int, Mapping[str, object]] = {}

    @property
    def oldest_written(self) -> int:
        """The form of records that use nothing which was added: the last upgrade leads to it."""
        return max(self.upgrades, default=0) + 1

    @property
    def form(self) -> int:
        """The newest form."""
        return max(self.added, default=self.oldest_written)


def pack(kind: Kind[T], key: str, value: T) -> bytes:
    """The record of a value. Raises BadInput where msgpack cannot hold it."""
    form, fields = kind.oldest_written, to_builtins(value)
    for newer, added in kind.added.items():
        for field, silent in added.items():
            if fields[field] == silent:
                del fields[field]
            else:
                form = max(form, newer)
    try:
        record = msgpack.packb({"form": form, "value": fields})
    except (OverflowError, ValueError, RecursionError) as error:
        expected = "expected whole numbers of at most 64 bits and text in UTF-8"
        raise BadInput(f"{kind.name} {key}: {expected} ({error})") from None
    assert isinstance(record, bytes)
    return record


_START = b"\x82\xa4form"


def form_of(record: bytes) -> int | None:
    """The form of a record, at a glance; None for what does not begin as records do here."""
    form = record[len(_START)] if record.startswith(_START) and len(record) > len(_START) else 0
    return form if 1 <= form < 128 else None


def unpack(kind: Kind[T], key: str, record: bytes) -> T:
    """The value of a record of any known form. Raises BadRecord naming the record."""
    where = f"the stored {kind.name} {key}"
    form, value = _open(where, key, record)
    if not 1 <= form <= kind.form:
        known = ", ".join(map(str, range(1, kind.form + 1)))
        expected = f"expected one that is known here: {known}"
        raise BadRecord(f"{where} is of form {form}; {expected}", key, newer=form > kind.form)
    try:
        for step in range(form, kind.oldest_written):
            value = kind.upgrades[step](value)
        return from_store(value, kind.type)
    except (BadInput, KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"{where}, of form {form}, is damaged: {_told(error)}", key) from None


def _open(where: str, key: str, record: bytes) -> tuple[int, Value]:
    """The form and the value, neither of them looked into."""
    try:
        document = msgpack.unpackb(record)
        form, value = document["form"], document["value"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadRecord(f"{where} is damaged: {_told(error)}", key) from None
    if type(form) is not int:
        expected = f"expected the number of its form, got {form!r}"
        raise BadRecord(f"{where} is damaged: {expected}", key)
    return form, value


def _told(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or "it is no msgpack"


def _dedicated_into_pcpuset(guest: Value) -> Value:
    """Form 1 → 2 (R19, R20): the layout's dedicated vCPUs leave their cell's ``cpuset``."""
    return {**guest, "layout": with_pcpusets(guest["layout"])}


def with_pcpusets(layout: Value) -> Value:
    """A layout whose cells have one ``cpuset`` for all vCPUs, with the dedicated ones apart: all of
    a dedicated guest's, and none of others'. A cell that has a ``pcpuset`` stays as it is.

    The guest's own sets are what its cells add up to.
    """
    dedicated = layout["cpu_policy"] == "dedicated"
    cells = [_with_pcpuset(cell, dedicated) for cell in layout["cells"]]
    sets = {
        "dedicated_cpus": _union(cell["pcpuset"] for cell in cells),
        "shared_cpus": _union(cell["cpuset"] for cell in cells),
    }
    return {**layout, **sets, "cells": cells}


def _with_pcpuset(cell: Value, dedicated: bool) -> Value:
    if cell.get("pcpuset"):
        return cell
    return (
        {**cell, "cpuset": "", "pcpuset": cell["cpuset"]} if dedicated else {**cell, "pcpuset": ""}
    )


def _union(sets: Iterable[str]) -> str:
    mask = 0
    for cpus in sets:
        mask |= CpuSet.parse(cpus).mask
    return str(CpuSet(mask))


GUEST = Kind("guest", PlacedInstance, {1: _dedicated_into_pcpuset}, {3: {"tokens": None}})
HOST = Kind("host", Host, added={2: {"draining": False}})
