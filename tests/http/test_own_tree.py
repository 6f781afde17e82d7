"""The project's own tree, and what no guest may learn: its host's CPU numbers."""

from __future__ import annotations

import pytest

from mdsvc.documents import Documents
from mdsvc.forms import from_builtins
from mdsvc.topology import Host
from mdsvc.versions import Options
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import HOST, poor, rich
from tests.http.tree import every_path, segments

TEXT = "text/plain; charset=UTF-8"

OTHER_HOST = from_builtins(
    {
        "name": "another",
        "cpu_shared_set": "300-307,732-739",
        "cpu_dedicated_set": "308-331,740-763",
        "cells": [
            {"id": 66, "memory_mb": 8192, "cpus": "300-331"},
            {"id": 77, "memory_mb": 8192, "cpus": "732-763"},
        ],
    },
    Host,
)

_FLAVORS: tuple[dict[str, str], ...] = (
    {},
    {"hw:numa_nodes": "2"},
    {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"},
    {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"},
    {
        "hw:cpu_policy": "mixed",
        "hw:cpu_realtime": "yes",
        "hw:cpu_realtime_mask": "^0-1",
        "hw:emulator_threads_policy": "share",
    },
)


async def test_the_tree_lists_what_it_has(serve: Serve) -> None:
    ask = await serve()
    assert (await ask("/mdsvc")).lines == ["v1/"]
    assert (await ask("/mdsvc/v1")).lines == ["layout", "dedicated_cpus", "shared_cpus", "status"]


async def test_the_leaves_are_cpu_lists(serve: Serve) -> None:
    ask = await serve()
    for name, cpus in (("dedicated_cpus", "2-3,5-7"), ("shared_cpus", "0-1,4")):
        reply = await ask(f"/mdsvc/v1/{name}")
        assert (reply.text, reply.type) == (cpus, TEXT)


async def test_ec2_has_them_for_guests_with_dedicated_vcpus_alone(serve: Serve) -> None:
    ask = await serve()
    expected = {"dedicated": "2-3,5-7", "generation": "3", "shared": "0-1,4"}
    for version in ("1.0", "2009-04-04", "latest"):
        assert (await ask(f"/{version}/meta-data/cpu/")).lines == list(expected)
        for name, text in expected.items():
            assert (await ask(f"/{version}/meta-data/cpu/{name}")).text == text
    ask = await serve(FakeStore(poor()))
    for path in ("cpu", "cpu/dedicated", "cpu/shared", "cpu/generation"):
        assert (await ask(f"/latest/meta-data/{path}")).status == 404


async def test_the_layout_is_the_guests_own_side_of_it(serve: Serve) -> None:
    reply = await (await serve())("/mdsvc/v1/layout")
    assert reply.type == "application/json"
    assert reply.json == {
        "dedicated_cpus": "2-3,5-7",
        "shared_cpus": "0-1,4",
        "realtime_cpus": "",
        "cpu_policy": "mixed",
        "cpu_thread_policy": None,
        "emulator_threads_policy": "share",
        "cells": [
            {"id": 0, "cpuset": "0-1", "pcpuset": "2-3", "memory_mb": 256, "pagesize_kb": 4},
            {"id": 1, "cpuset": "4", "pcpuset": "5-7", "memory_mb": 256, "pagesize_kb": 4},
        ],
        "generation": 3,
        "etag": reply.headers["ETag"].removeprefix("W/").strip('"'),
    }


async def test_a_guest_without_numa_topology_has_an_empty_layout(serve: Serve) -> None:
    layout = (await (await serve(FakeStore(poor())))("/mdsvc/v1/layout")).json
    assert (layout["cells"], layout["dedicated_cpus"], layout["shared_cpus"]) == ([], "", "")


@pytest.mark.parametrize("specs", _FLAVORS, ids=str)
def test_a_guest_cannot_tell_one_hosts_cpu_numbers_from_anothers(specs: dict[str, str]) -> None:
    flavor = {"vcpus": 8, "memory_mb": 512, "extra_specs": specs}
    here, there = (poor(host=host, flavor=flavor) for host in (HOST, OTHER_HOST))
    assert not here.layout.cells or here.layout != there.layout
    documents = [Documents(Options(), entropy=bytes) for _ in range(2)]
    paths = every_path(documents[0], here)
    assert every_path(documents[1], there) == paths
    for path in map(segments, paths):
        assert documents[0].find(here, path) == documents[1].find(there, path)


async def test_nothing_of_the_host_is_told(serve: Serve) -> None:
    ask = await serve()
    for path in every_path(Documents(Options()), rich()):
        body = (await ask(path)).text
        assert "compute-7" not in body
        assert "100-103" not in body
