"""What is written is what is read, whatever form it has, and nothing else is read."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.errors import BadInput
from mdsvc.forms import to_builtins
from mdsvc.instance import Address, Base64, File, PlacedInstance
from mdsvc.placing.usage import place
from mdsvc.store.listing import BadRecord
from mdsvc.store.records import GUEST, HOST, pack, unpack
from mdsvc.topology import Host, PagePool

from .values import guest, host

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no finding."""

LABELS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
INTEGERS = st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
ENCODED = st.binary().map(lambda data: Base64(base64.b64encode(data).decode()))


@st.composite
def guests(draw: st.DrawFn) -> PlacedInstance:
    addresses = st.builds(Address, network=LABELS, ip=st.ip_addresses().map(str))
    return replace(
        guest(),
        name=draw(LABELS),
        addresses=tuple(draw(st.lists(addresses, max_size=3, unique_by=lambda a: a.network))),
        meta=draw(st.dictionaries(LABELS, TEXTS, max_size=3)),
        user_data=draw(st.none() | TEXTS | ENCODED),
        files=tuple(File(path="/etc/motd", content=draw(TEXTS | ENCODED)) for _ in range(2)),
        network_data=draw(st.none() | st.dictionaries(TEXTS, JSON, max_size=3)),
        generation=draw(st.integers(1, 2**31)),
    )


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    filled = place(host(), guest().layout, guest().flavor)
    total = draw(st.integers(0, 2**40))
    pool = PagePool(size_kb=draw(st.integers(1, 2**40)), total=total, used=0)
    return replace(
        filled,
        cells=(replace(filled.cells[0], pages=(pool,)), *filled.cells[1:]),
        ram_allocation_ratio=draw(st.floats(0, 1000, exclude_min=True)),
        floating_vcpus=draw(st.integers(0, 2**40)),
    )


@unhurried
@given(guests())
def test_a_guest_is_read_as_it_was_written(stored: PlacedInstance) -> None:
    assert unpack(GUEST, stored.uuid, pack(GUEST, stored.uuid, stored)) == stored


@unhurried
@given(hosts())
def test_a_host_is_read_as_it_was_written(stored: Host) -> None:
    assert unpack(HOST, stored.name, pack(HOST, stored.name, stored)) == stored


@unhurried
@given(st.binary() | JSON.map(msgpack.packb) | JSON.map(lambda v: _record(2, v)))
def test_bytes_that_are_no_record_are_told_in_one_message(record: bytes) -> None:
    with pytest.raises(BadRecord, match="the stored guest g1"):
        unpack(GUEST, "g1", record)


@unhurried
@given(st.data(), st.sampled_from([1, 2]))
def test_a_record_with_a_flipped_byte_is_read_or_told(data: st.DataObject, form: int) -> None:
    record = bytearray(pack(GUEST, "g1", guest()) if form == 2 else _record(1, _form_1(guest())))
    record[data.draw(st.integers(0, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        unpack(GUEST, "g1", bytes(record))
    except BadRecord as error:
        assert "\n" not in str(error)  # noqa: PT017  # either way is right


def test_a_record_carries_the_current_form() -> None:
    assert msgpack.unpackb(pack(GUEST, "g1", guest())).keys() == {"form", "value"}
    assert msgpack.unpackb(pack(GUEST, "g1", guest()))["form"] == 2
    assert msgpack.unpackb(pack(HOST, "h1", host()))["form"] == 1


@pytest.mark.parametrize("form", [0, 4, 2**63])
def test_a_form_that_is_not_known_is_named_with_those_that_are(form: int) -> None:
    record = _record(form, to_builtins(guest()))
    expected = f"the stored guest g1 is of form {form}; expected one that is known here: 1, 2, 3"
    with pytest.raises(BadRecord, match=expected):
        unpack(GUEST, "g1", record)


def test_what_is_no_msgpack_is_told_in_words() -> None:
    with pytest.raises(BadRecord, match=r"the stored guest u is damaged: it is no msgpack$"):
        unpack(GUEST, "u", b"\xc1")


def test_a_damaged_field_is_named() -> None:
    value = to_builtins(guest())
    value["layout"]["cells"][0]["pcpuset"] = "2-"
    with pytest.raises(BadRecord, match=r"form 2, is damaged: layout\.cells\[0\]\.pcpuset: '2-'"):
        unpack(GUEST, "g1", _record(2, value))
    with pytest.raises(BadRecord, match="form 1, is damaged: no 'layout'"):
        unpack(GUEST, "g1", _record(1, {}))
    with pytest.raises(BadRecord, match="expected the number of its form, got '2'"):
        unpack(GUEST, "g1", msgpack.packb({"form": "2", "value": {}}))


def test_a_number_that_msgpack_cannot_hold_is_bad_input() -> None:
    with pytest.raises(BadInput, match="guest g1: expected whole numbers of at most 64 bits"):
        pack(GUEST, "g1", replace(guest(), network_data={"n": 2**64}))


def test_a_host_from_before_its_l3_domains_were_told_has_none() -> None:
    value = to_builtins(host())
    for cell in value["cells"]:
        del cell["l3"]
    assert unpack(HOST, "h1", _record(1, value)) == host()
    assert host().cells[0].l3 == ()


# ---- R19, R20: form 1, from before the dedicated vCPUs had a set of their own ----

FORM_1 = {
    "uuid": "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52",
    "project_id": "p",
    "name": "old",
    "flavor": {"vcpus": 4, "memory_mb": 512, "extra_specs": {"hw:cpu_policy": "dedicated"}},
    "host": "h1",
    "generation": 7,
    "layout": {
        "dedicated_cpus": "0-3",
        "shared_cpus": "",
        "realtime_cpus": "3",
        "cpu_policy": "dedicated",
        "cpu_thread_policy": None,
        "emulator_threads_policy": None,
        "emulator_cpus": "2-5",
        "cells": [
            {"id": 0, "host_cell": 0, "cpuset": "0-1", "cpu_pinning": {"0": 2, "1": 3}}
            | {"memory_mb": 256, "cpuset_reserved": "", "pagesize_kb": 4},
            {"id": 1, "host_cell": 1, "cpuset": "2-3", "cpu_pinning": {"2": 4, "3": 5}}
            | {"memory_mb": 256, "cpuset_reserved": "", "pagesize_kb": 4},
        ],
    },
}
"""Frozen: records like this one are out there."""


def _record(form: int, value: Any) -> bytes:
    record = msgpack.packb({"form": form, "value": value})
    assert isinstance(record, bytes)
    return record


def _form_1(stored: PlacedInstance) -> Any:
    """The guest as it was stored then: one set of vCPUs in each cell."""
    value = to_builtins(stored)
    for cell in value["layout"]["cells"]:
        pcpuset = cell.pop("pcpuset")
        cell["cpuset"] = pcpuset or cell["cpuset"]
    return value


def test_a_dedicated_guest_of_form_1_has_its_vcpus_in_pcpuset() -> None:
    read = unpack(GUEST, "old", _record(1, FORM_1))
    assert [(str(cell.cpuset), str(cell.pcpuset)) for cell in read.layout.cells] == [
        ("", "0-1"),
        ("", "2-3"),
    ]
    assert [cell.cpu_pinning for cell in read.layout.cells] == [{0: 2, 1: 3}, {2: 4, 3: 5}]
    assert (str(read.layout.dedicated_cpus), str(read.layout.shared_cpus)) == ("0-3", "")
    assert (str(read.layout.realtime_cpus), read.generation) == ("3", 7)


def test_a_shared_guest_of_form_1_keeps_its_vcpus_in_cpuset() -> None:
    layout = {**FORM_1["layout"], "cpu_policy": "shared"}  # type: ignore[dict-item]  # a dict
    read = unpack(GUEST, "old", _record(1, {**FORM_1, "layout": layout}))
    assert [str(cell.cpuset) for cell in read.layout.cells] == ["0-1", "2-3"]
    assert not any(cell.pcpuset for cell in read.layout.cells)
    assert (str(read.layout.dedicated_cpus), str(read.layout.shared_cpus)) == ("", "0-3")


def test_what_was_upgraded_is_written_in_the_current_form() -> None:
    read = unpack(GUEST, "old", _record(1, FORM_1))
    written = pack(GUEST, "old", read)
    assert msgpack.unpackb(written)["form"] == 2
    assert unpack(GUEST, "old", written) == read


# ---- fields that older programs do not know ----


@pytest.mark.parametrize("field", HOST.added[2])
def test_a_field_that_says_nothing_is_left_out_for_programs_that_do_not_know_it(field: str) -> None:
    silent = msgpack.unpackb(pack(HOST, "h1", host()))["value"]
    assert field not in silent
    assert getattr(unpack(HOST, "h1", pack(HOST, "h1", host())), field) == HOST.added[2][field]


def test_a_draining_host_is_none_that_they_may_read_as_another() -> None:
    """They refuse fields that they do not know."""
    draining = replace(host(), draining=True)
    assert msgpack.unpackb(pack(HOST, "h1", draining))["value"]["draining"] is True
    assert unpack(HOST, "h1", pack(HOST, "h1", draining)) == draining
