"""Guests and hosts as the bytes that are stored: msgpack that carries its form's version.

A record is ``{"form": N, "value": VALUE}``. An older form is read by upgrading it step by step to
the current one; a change of what stands in ``VALUE`` is a new form and one more step here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput, MdsvcError
from mdsvc.forms import from_store, to_builtins
from mdsvc.instance import PlacedInstance
from mdsvc.topology import Host

T = TypeVar("T")

Value = dict[str, Any]
Upgrade = Callable[[Value], Value]


class BadRecord(MdsvcError):
    """A stored record that this program cannot read: damaged, or of a newer form."""


class Kind(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """What is kept in records: a value's type, and how each older form becomes the next one.

    ``newer`` are fields that some programs of the same form do not know yet, with the value at
    which they say nothing. Then they are left out, so that these programs go on reading the record;
    one in which they say something, these must not read as if it were not there.
    """

    name: str
    type: type[T]
    upgrades: Mapping[int, Upgrade] = {}
    newer: Mapping[str, object] = {}

    @property
    def form(self) -> int:
        """The current form: the one that the last upgrade leads to."""
        return max(self.upgrades, default=0) + 1


def pack(kind: Kind[T], key: str, value: T) -> bytes:
    """The record of a value, in the current form. Raises BadInput where msgpack cannot hold it."""
    form = to_builtins(value)
    for field, silent in kind.newer.items():
        if form[field] == silent:
            del form[field]
    try:
        record = msgpack.packb({"form": kind.form, "value": form})
    except (OverflowError, ValueError, RecursionError) as error:
        expected = "expected whole numbers of at most 64 bits and text in UTF-8"
        raise BadInput(f"{kind.name} {key}: {expected} ({error})") from None
    assert isinstance(record, bytes)
    return record


def unpack(kind: Kind[T], key: str, record: bytes) -> T:
    """The value of a record of any known form. Raises BadRecord naming the record."""
    where = f"the stored {kind.name} {key}"
    form, value = _open(where, record)
    if not 1 <= form <= kind.form:
        known = ", ".join(map(str, range(1, kind.form + 1)))
        raise BadRecord(f"{where} is of form {form}; expected one that is known here: {known}")
    try:
        for step in range(form, kind.form):
            value = kind.upgrades[step](value)
        return from_store(value, kind.type)
    except (BadInput, KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"{where}, of form {form}, is damaged: {_told(error)}") from None


def _open(where: str, record: bytes) -> tuple[int, Value]:
    """The form and the value, neither of them looked into."""
    try:
        document = msgpack.unpackb(record)
        form, value = document["form"], document["value"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadRecord(f"{where} is damaged: {_told(error)}") from None
    if type(form) is not int:
        raise BadRecord(f"{where} is damaged: expected the number of its form, got {form!r}")
    return form, value


def _told(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _dedicated_into_pcpuset(guest: Value) -> Value:
    """Form 1 → 2 (R19, R20): a guest's dedicated vCPUs leave their cell's ``cpuset``.

    The guest's own sets are what its cells add up to.
    """
    layout = guest["layout"]
    dedicated = layout["cpu_policy"] == "dedicated"
    cells = [
        {**cell, "cpuset": "", "pcpuset": cell["cpuset"]} if dedicated else {**cell, "pcpuset": ""}
        for cell in layout["cells"]
    ]
    sets = {
        "dedicated_cpus": _union(cell["pcpuset"] for cell in cells),
        "shared_cpus": _union(cell["cpuset"] for cell in cells),
    }
    return {**guest, "layout": {**layout, **sets, "cells": cells}}


def _union(sets: Iterable[str]) -> str:
    mask = 0
    for cpus in sets:
        mask |= CpuSet.parse(cpus).mask
    return str(CpuSet(mask))


GUEST = Kind("guest", PlacedInstance, {1: _dedicated_into_pcpuset})
HOST = Kind("host", Host, newer={"draining": False})
