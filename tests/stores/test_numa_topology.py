"""Nova's rows, in the five forms that they have had, are read as what they mean.

The rows are made here as Nova's objects make them: wrapped, with versions that say what they like.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput
from mdsvc.layout import Layout
from mdsvc.store.numa_topology import layout_of

PINNED = ({0: 6, 1: 7}, {2: 14, 3: 15})


def wrapped(name: str, version: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
        "nova_object.changes": sorted(data),
    }


def row(*cells: dict[str, Any], version: str = "1.6", **topology: Any) -> str:
    objects = [wrapped("InstanceNUMACell", version, cell) for cell in cells]
    return json.dumps(
        wrapped("InstanceNUMATopology", "1.3", {"cells": objects, "instance_uuid": "u", **topology})
    )


def cell(host_cell: int, **fields: Any) -> dict[str, Any]:
    pinning = fields.pop("pinned", None)
    raw = pinning and {str(vcpu): pcpu for vcpu, pcpu in pinning.items()}
    return {"id": host_cell, "memory": 512, "cpu_pinning_raw": raw, **fields}


def sets(layout: Layout) -> list[tuple[str, str]]:
    return [(str(one.cpuset), str(one.pcpuset)) for one in layout.cells]


def test_before_liberty_all_are_shared() -> None:
    cells = [
        {"id": 1, "cpus": "0-3", "mem": {"total": 512}, "pagesize": 4},
        {"id": 0, "cpus": "4,6", "mem": {"total": 256}},
    ]
    layout = layout_of(json.dumps({"cells": cells}))
    assert sets(layout) == [("0-3", ""), ("4,6", "")]
    assert [(c.id, c.host_cell, c.memory_mb, c.pagesize_kb) for c in layout.cells] == [
        (0, 1, 512, 4),
        (1, 0, 256, None),
    ]
    assert (layout.cpu_policy, str(layout.shared_cpus)) == ("shared", "0-4,6")
    assert not layout.dedicated_cpus


OLD = [
    cell(3, cpuset=[0, 1], pinned=PINNED[0], cpu_policy="dedicated", cpuset_reserved=None),
    cell(2, cpuset=[3, 2], pinned=PINNED[1], cpu_policy="dedicated", cpuset_reserved=[9]),
]
NEW = [{**one, "cpuset": [], "pcpuset": one["cpuset"]} for one in OLD]


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4", "1.5", "1.6"])
@pytest.mark.parametrize("cells", [OLD, NEW, [OLD[0], NEW[1]]], ids=["old", "new", "both"])
def test_a_dedicated_guest_is_read_by_its_content_whatever_the_version_says(
    version: str, cells: list[dict[str, Any]]
) -> None:
    layout = layout_of(row(*cells, version=version, emulator_threads_policy="isolate"))
    assert sets(layout) == [("", "0-1"), ("", "2-3")]
    assert [c.cpu_pinning for c in layout.cells] == list(PINNED)
    assert [(c.id, c.host_cell) for c in layout.cells] == [(0, 3), (1, 2)]
    assert [str(c.cpuset_reserved) for c in layout.cells] == ["", "9"]
    assert (layout.cpu_policy, layout.emulator_threads_policy) == ("dedicated", "isolate")
    assert (str(layout.dedicated_cpus), str(layout.shared_cpus)) == ("0-3", "")
    assert not layout.realtime_cpus
    assert not layout.emulator_cpus


def test_pinned_cells_of_before_there_was_a_policy_are_dedicated() -> None:
    layout = layout_of(row(cell(0, cpuset=[0, 1], pinned=PINNED[0]), version="1.2"))
    assert (layout.cpu_policy, sets(layout)) == ("dedicated", [("", "0-1")])


@pytest.mark.parametrize("version", ["1.4", "1.6"])
def test_a_mixed_guest_keeps_both_sets(version: str) -> None:
    cells = (
        cell(0, cpuset=[2], pcpuset=[0, 1], pinned=PINNED[0], cpu_policy="mixed"),
        cell(1, cpuset=[3], pcpuset=[], pinned={}, cpu_policy="mixed"),
    )
    layout = layout_of(row(*cells, version=version))
    assert (layout.cpu_policy, sets(layout)) == ("mixed", [("2", "0-1"), ("3", "")])
    assert (str(layout.dedicated_cpus), str(layout.shared_cpus)) == ("0-1", "2-3")


@pytest.mark.parametrize("policy", [{}, {"cpu_policy": None}, {"cpu_policy": "shared"}])
@pytest.mark.parametrize("more", [{}, {"pcpuset": []}, {"pcpuset": None}])
def test_a_shared_guest_has_one_set(policy: dict[str, Any], more: dict[str, Any]) -> None:
    layout = layout_of(row(cell(0, cpuset=[0, 1], **policy, **more)))
    assert (layout.cpu_policy, sets(layout)) == ("shared", [("0-1", "")])


@pytest.mark.parametrize("text", ["null", '{"cells": []}', row()])
def test_without_cells_it_is_a_guest_that_floats(text: str) -> None:
    layout = layout_of(text)
    assert (layout.cpu_policy, layout.cells) == ("shared", ())


BAD = {
    "no JSON": ("{", "this is no JSON document"),
    "a list": ("[]", "expected"),
    "no host cell": (
        row(cell(-1, cpuset=[0])),
        r"numa_topology: cells\[0\]\.id: expected the host",
    ),
    "a pin too few": (
        row(cell(0, cpuset=[0, 1], pinned={0: 6}, cpu_policy="dedicated")),
        r"numa_topology: cells\[0\]\.cpu_pinning_raw: expected a pCPU for each of the vCPUs 0-1",
    ),
    "a text for a set": (row(cell(0, cpuset="0-1")), r"numa_topology: cells\[0\]\.cpuset"),
    "no memory": (row({"id": 0, "cpuset": [0]}), r"numa_topology: cells\[0\]\.memory"),
    "no list of cells": (
        row().replace('"cells": []', '"cells": 5'),
        "numa_topology: cells: expected",
    ),
    "no data": ('{"nova_object.name": "InstanceNUMATopology"}', "document: expected one of Nova"),
    "a cell without data": (
        row().replace('"cells": []', '"cells": [{"id": 0}]'),
        r"cells\[0\]: expected one of Nova's versioned objects",
    ),
    "odd CPUs": ('{"cells": [{"id": 0, "cpus": "3-1", "mem": {"total": 1}}]}', "3-1"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_no_such_row_is_one_message_that_names_the_field(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        layout_of(text)
    assert "\n" not in str(error.value)


@given(
    st.lists(
        st.tuples(st.integers(0, 7), st.sets(st.integers(0, 15), max_size=3), st.booleans()),
        max_size=4,
    )
)
def test_of_old_and_new_rows_of_one_guest_the_same_is_read(
    drawn: list[tuple[int, set[int], bool]],
) -> None:
    cells = []
    for at, (host_cell, offsets, new) in enumerate(drawn):
        vcpus = sorted(at * 16 + offset for offset in offsets)
        pinned = {vcpu: 100 + vcpu for vcpu in vcpus}
        where = {"cpuset": [], "pcpuset": vcpus} if new else {"cpuset": vcpus}
        cells.append(cell(host_cell, pinned=pinned, cpu_policy="dedicated", **where))
    layout = layout_of(row(*cells))
    every = {at * 16 + offset for at, (_, offsets, _) in enumerate(drawn) for offset in offsets}
    assert layout.dedicated_cpus == CpuSet.of(every)
    assert not layout.shared_cpus
