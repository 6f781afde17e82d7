"""What is followed of very many guests: so much of a record, and not the rest of it unpacked."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.instance import PlacedInstance
from mdsvc.reports.drift import Told
from mdsvc.store.listing import BadRecord
from mdsvc.store.records import GUEST, unpack


class Outline(NamedTuple):
    """What a guest is told, and whose it is."""

    told: Told
    host: str
    project_id: str


class _Layout(msgspec.Struct, frozen=True):
    dedicated_cpus: str


class _Value(msgspec.Struct, frozen=True):
    host: str
    project_id: str
    layout: _Layout
    generation: int


class _Record(msgspec.Struct, frozen=True):
    form: int
    value: _Value


_FORMS = range(GUEST.oldest_written, GUEST.form + 1)

_cpus = lru_cache(maxsize=4096)(CpuSet.parse)
"""Many guests have the same."""

_DECODER = msgspec.msgpack.Decoder(_Record)


def outline_of(guest: PlacedInstance) -> Outline:
    """That of a guest."""
    return Outline(Told.of(guest), guest.host, guest.project_id)


def outlined(uuid: str, record: bytes, host: str) -> Outline | BadRecord:
    """That of a record. One that cannot be read so is read as a whole, which says what is wrong;
    where something else is wrong with it, whoever reads the guest finds out.
    """
    try:
        form, value = msgspec.structs.astuple(_DECODER.decode(record))
        if form in _FORMS:  # what was added since is none of it
            told = Told(value.generation, _cpus(value.layout.dedicated_cpus))
            return Outline(told, value.host, value.project_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadInput, ValueError):
        pass
    try:
        return outline_of(unpack(GUEST, uuid, record))
    except BadRecord as bad:
        return bad.found(0, host)
