"""The checker catches each violation of a rule: a sound layout, spoilt in one way at a time."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

import pytest

from .checker import check
from .facts import Json

# ---- one sound layout to spoil: cell 0 has pairs of threads, cell 1 single CPUs ----

HOST: Json = {
    "name": "h1",
    "service_version": 2,
    "cpu_shared_set": "0-1,10-11",
    "cpu_dedicated_set": "2-9,12-15",
    "cpu_allocation_ratio": 1.5,
    "ram_allocation_ratio": 2.0,
    "cells": [
        {
            "id": 0,
            "memory_mb": 1024,
            "cpus": "0-9",
            "siblings": ["0-1", "2-3", "4-5", "6-7", "8-9"],
            "pinned": "8",
            "shared_used": 1,
            "memory_used_mb": 512,
            "pages": [
                {"size_kb": 4, "total": 131072, "used": 0},
                {"size_kb": 2048, "total": 256, "used": 128},
            ],
        },
        {
            "id": 3,
            "memory_mb": 1024,
            "cpus": "10-15",
            "pages": [
                {"size_kb": 4, "total": 131072, "used": 0},
                {"size_kb": 2048, "total": 256, "used": 0},
            ],
        },
    ],
}
REQUEST: Json = {
    "policy": "mixed",
    "thread_policy": None,
    "emulator_threads_policy": "isolate",
    "page_size": "large",
    "vcpus": 6,
    "memory_mb": 384,
    "realtime": [],
    "cells": [
        {"shared": [0, 1], "dedicated": [4, 5], "memory_mb": 256},
        {"shared": [], "dedicated": [2, 3], "memory_mb": 128},
    ],
}
LAYOUT: Json = {
    "dedicated_cpus": "2-5",
    "shared_cpus": "0-1",
    "realtime_cpus": "",
    "cpu_policy": "mixed",
    "cpu_thread_policy": None,
    "emulator_threads_policy": "isolate",
    "emulator_cpus": "9",
    "cells": [
        {
            "id": 0,
            "host_cell": 0,
            "cpuset": "0-1",
            "pcpuset": "4-5",
            "cpu_pinning": {"4": 2, "5": 3},
            "cpuset_reserved": "9",
            "memory_mb": 256,
            "pagesize_kb": 2048,
        },
        {
            "id": 1,
            "host_cell": 3,
            "cpuset": "",
            "pcpuset": "2-3",
            "cpu_pinning": {"2": 12, "3": 13},
            "cpuset_reserved": "",
            "memory_mb": 128,
            "pagesize_kb": 2048,
        },
    ],
}

Change = Mapping[str, object]


def changed(form: Json, changes: Change) -> Json:
    """A copy with values replaced, at paths such as `cells.0.pinned`."""
    copy: Any = deepcopy(form)
    for path, value in changes.items():
        *outer, last = path.split(".")
        inner = copy
        for key in outer:
            inner = inner[_key(key)]
        inner[_key(last)] = value
    return cast("Json", copy)


def _key(text: str) -> str | int:
    """A list's index, or a name."""
    return int(text) if text.isdigit() else text


def test_the_checker_finds_nothing_in_a_sound_layout() -> None:
    assert check(HOST, REQUEST, LAYOUT) == []


SPOILT: list[tuple[str, Change]] = [
    ("given twice", {"cells.0.cpu_pinning": {"4": 2, "5": 2}}),
    ("pCPU 12 is not a dedicated CPU", {"cells.0.cpu_pinning": {"4": 2, "5": 12}}),
    ("pCPU 1 is not a dedicated CPU", {"cells.0.cpu_pinning": {"4": 2, "5": 1}}),
    ("pCPU 8 is pinned already", {"cells.0.cpu_pinning": {"4": 2, "5": 8}}),
    ("pinned vCPUs", {"cells.0.cpu_pinning": {"4": 2}}),
    ("pinned vCPUs", {"cells.0.cpu_pinning": {"4": 2, "3": 3}}),
    ("not vCPU texts", {"cells.0.cpu_pinning": {"4": "2", "5": 3}}),
    ("not vCPU texts", {"cells.0.cpu_pinning": {"4": 2, "x": 3}}),
    ("reserved pCPUs: 0", {"cells.0.cpuset_reserved": "", "emulator_cpus": ""}),
    ("reserved pCPUs: 2", {"cells.1.cpuset_reserved": "14", "emulator_cpus": "9,14"}),
    ("reserved pCPUs: 2", {"cells.0.cpuset_reserved": "6,9", "emulator_cpus": "6,9"}),
    ("reserved pCPU 8 is not a free", {"cells.0.cpuset_reserved": "8", "emulator_cpus": "8"}),
    ("reserved pCPU 0 is not a free", {"cells.0.cpuset_reserved": "0", "emulator_cpus": "0"}),
    ("reserved pCPU 2 is pinned", {"cells.0.cpuset_reserved": "2", "emulator_cpus": "2"}),
    ("emulator_cpus", {"emulator_cpus": "2-3,9"}),
    ("share a host cell", {"cells.1.host_cell": 0, "cells.1.cpu_pinning": {"2": 6, "3": 7}}),
    ("host cell 1 does not exist", {"cells.1.host_cell": 1}),
    ("cells' ids", {"cells.1.id": 2}),
    ("cells' ids", {"cells": LAYOUT["cells"][:1]}),
    ("cpuset", {"cells.0.cpuset": "0"}),
    ("pcpuset", {"cells.0.pcpuset": "3-4"}),
    ("memory_mb", {"cells.0.memory_mb": 255}),
    ("page size in KiB: 4, not 2048", {"cells.0.pagesize_kb": 4}),
    ("page size in KiB: None, not 2048", {"cells.0.pagesize_kb": None}),
    ("dedicated_cpus", {"dedicated_cpus": "2-4"}),
    ("shared_cpus", {"shared_cpus": "0-2"}),
    ("realtime_cpus", {"realtime_cpus": "2"}),
    ("cpu_policy", {"cpu_policy": "dedicated"}),
    ("cpu_thread_policy", {"cpu_thread_policy": "prefer"}),
    ("emulator_threads_policy", {"emulator_threads_policy": "share"}),
    ("not a canonical CPU set: '2,3,4,5'", {"dedicated_cpus": "2,3,4,5"}),
    ("not a canonical CPU set: '5,2-4'", {"dedicated_cpus": "5,2-4"}),
    ("not a canonical CPU set: '0,1'", {"cells.0.cpuset": "0,1"}),
    ("not a canonical CPU set: [9]", {"emulator_cpus": [9]}),
]


@pytest.mark.parametrize(("fault", "changes"), SPOILT)
def test_the_checker_catches_a_spoilt_layout(fault: str, changes: Change) -> None:
    assert fault in "; ".join(check(HOST, REQUEST, changed(LAYOUT, changes)))


def test_the_checker_misses_each_key_of_the_contract() -> None:
    for key in LAYOUT:
        assert f"{key}: missing" in check(HOST, REQUEST, {k: LAYOUT[k] for k in LAYOUT if k != key})
    for key in LAYOUT["cells"][0]:
        cell = {k: v for k, v in LAYOUT["cells"][0].items() if k != key}
        spoilt = changed(LAYOUT, {"cells.0": cell})
        assert f"cells[0].{key}: missing" in check(HOST, REQUEST, spoilt)


FULL_HOSTS: list[tuple[str, Change]] = [
    ("service version", {"service_version": 1}),
    ("pCPU 2 is pinned already", {"cells.0.pinned": "2,8"}),
    ("2 shared vCPUs on 1 shared CPUs", {"cpu_shared_set": "0,10-11"}),
    ("exceed the CPU allocation ratio", {"cells.0.shared_used": 2}),
    ("exceed the CPU allocation ratio", {"cpu_allocation_ratio": 1.0}),
    ("do not fit beside the memory in use", {"cells.0.pages.1.used": 129}),
    ("do not fit beside the memory in use", {"ram_allocation_ratio": 0.99}),
    ("do not fit beside the memory in use", {"cells.0.pages": []}),
    ("do not fit beside the memory in use", {"cells.0.pages": HOST["cells"][0]["pages"][:1]}),
    (
        "page size in KiB: 2048, not 16384",
        {"cells.1.pages": [*HOST["cells"][1]["pages"], {"size_kb": 16384, "total": 8, "used": 0}]},
    ),
]


@pytest.mark.parametrize(("fault", "changes"), FULL_HOSTS)
def test_the_checker_catches_a_host_without_the_room(fault: str, changes: Change) -> None:
    assert fault in "; ".join(check(changed(HOST, changes), REQUEST, LAYOUT))


def test_a_host_with_just_enough_room_is_enough() -> None:
    just_enough = {"cells.0.memory_used_mb": 9999, "cells.0.pages.1.used": 128}
    assert check(changed(HOST, just_enough), REQUEST, LAYOUT) == []


@pytest.mark.parametrize(
    ("host_changes", "policy", "cpus"),
    [
        ({}, "share", "0-1,10-11"),
        ({"cpu_shared_set": ""}, "share", "2-3,12-13"),
        ({}, None, "0-3,12-13"),
    ],
    ids=["the shared set", "the pins where there is no shared set", "the pins and shared CPUs"],
)
def test_the_emulator_threads_float_by_their_policy(
    host_changes: Change, policy: str | None, cpus: str
) -> None:
    host, request = (
        changed(HOST, host_changes),
        changed(REQUEST, {"emulator_threads_policy": policy}),
    )
    layout = changed(
        LAYOUT,
        {"emulator_threads_policy": policy, "emulator_cpus": cpus, "cells.0.cpuset_reserved": ""},
    )
    if not host["cpu_shared_set"]:
        request = changed(request, {"policy": "dedicated", "cells.0.shared": []})
        layout = changed(
            layout, {"cpu_policy": "dedicated", "shared_cpus": "", "cells.0.cpuset": ""}
        )
    assert check(host, request, layout) == []
    assert "emulator_cpus" in check(host, request, changed(layout, {"emulator_cpus": "9"}))[0]


PLAIN_REQUEST: Json = {
    "policy": "shared",
    "thread_policy": None,
    "emulator_threads_policy": None,
    "page_size": None,
    "vcpus": 4,
    "memory_mb": 1024,
    "realtime": [],
    "cells": [],
}
PLAIN_LAYOUT: Json = {
    "dedicated_cpus": "",
    "shared_cpus": "",
    "realtime_cpus": "",
    "cpu_policy": "shared",
    "cpu_thread_policy": None,
    "emulator_threads_policy": None,
    "emulator_cpus": "",
    "cells": [],
}


@pytest.mark.parametrize(
    ("fault", "host", "request_changes", "layout"),
    [
        ("shared_cpus", {}, {}, {"shared_cpus": "0-3"}),
        ("emulator_cpus", {}, {}, {"emulator_cpus": "0-1"}),
        ("cells", {}, {}, {"cells": LAYOUT["cells"]}),
        ("has shared CPUs", {}, {"vcpus": 5}, {}),
        ("CPU allocation ratio leaves", {"cells.0.shared_used": 3}, {}, {}),
        ("than the host has", {}, {"memory_mb": 1025}, {}),
        ("RAM allocation ratio leaves", {"cells.1.memory_used_mb": 1}, {}, {}),
        ("RAM allocation ratio leaves", {"floating_memory_mb": 1}, {}, {}),
        ("CPU allocation ratio leaves", {"floating_vcpus": 1}, {}, {}),
    ],
)
def test_the_checker_knows_guests_without_numa_topology(
    fault: str, host: Change, request_changes: Change, layout: Change
) -> None:
    roomy = changed(HOST, {"cells.0.shared_used": 2, "cells.0.memory_used_mb": 1281})
    assert check(roomy, PLAIN_REQUEST, PLAIN_LAYOUT) == []
    found = check(
        changed(roomy, host), changed(PLAIN_REQUEST, request_changes), changed(PLAIN_LAYOUT, layout)
    )
    assert fault in "; ".join(found)


def test_a_cell_that_is_overfull_takes_no_room_from_the_others() -> None:
    overfull = changed(HOST, {"cells.0.shared_used": 9, "cells.0.memory_used_mb": 9999})
    assert check(overfull, PLAIN_REQUEST | {"vcpus": 3}, PLAIN_LAYOUT) == []
    assert check(overfull, PLAIN_REQUEST, PLAIN_LAYOUT) != []


@pytest.mark.parametrize(
    ("fault", "policy", "pinning", "reserved"),
    [
        ("", "require", {"0": 2, "1": 3}, ""),
        ("", "require", {"0": 2, "1": 3, "2": 4}, ""),
        ("", "require", {"0": 2, "1": 3, "2": 4}, "5"),
        ("", "require", {"0": 2, "1": 3, "2": 4}, "9"),
        ("2 cores give a single thread", "require", {"0": 2, "1": 4}, ""),
        ("no second thread free", "require", {"0": 2, "1": 3, "2": 9}, ""),
        ("no second thread free", "require", {"0": 9}, ""),
        ("", "isolate", {"0": 2, "1": 4}, ""),
        ("", "isolate", {"0": 2, "1": 4}, "6"),
        ("gives several threads", "isolate", {"0": 2, "1": 3}, ""),
        ("is not wholly free", "isolate", {"0": 2, "1": 9}, ""),
        ("gives several threads", "isolate", {"0": 2, "1": 4}, "5"),
        ("is not wholly free", "isolate", {"0": 2, "1": 4}, "9"),
        ("", "prefer", {"0": 2, "1": 4, "2": 9}, "6"),
    ],
)
def test_the_checker_knows_the_thread_policies(
    fault: str, policy: str, pinning: dict[str, int], reserved: str
) -> None:
    emulator = "isolate" if reserved else "share"
    vcpus = [int(vcpu) for vcpu in pinning]
    request = REQUEST | {"policy": "dedicated", "page_size": None, "thread_policy": policy}
    request |= {"emulator_threads_policy": emulator}
    request |= {"cells": [{"shared": [], "dedicated": vcpus, "memory_mb": 1}]}
    text = f"0-{len(vcpus) - 1}" if len(vcpus) > 1 else "0"
    cell = LAYOUT["cells"][0] | {"cpuset": "", "pcpuset": text, "cpu_pinning": pinning}
    cell |= {"memory_mb": 1, "cpuset_reserved": reserved, "pagesize_kb": None}
    layout = LAYOUT | {"cpu_policy": "dedicated", "cpu_thread_policy": policy, "cells": [cell]}
    layout |= {"emulator_threads_policy": emulator, "dedicated_cpus": text, "shared_cpus": ""}
    layout |= {"emulator_cpus": reserved or HOST["cpu_shared_set"]}
    found = "; ".join(check(HOST, request, layout))
    assert fault in found if fault else not found


def test_shared_guests_may_overcommit_memory_but_not_against_themselves() -> None:
    cell = LAYOUT["cells"][0] | {"pcpuset": "", "cpu_pinning": {}, "cpuset_reserved": ""}
    cell |= {"pagesize_kb": None, "memory_mb": 512}
    layout = PLAIN_LAYOUT | {"shared_cpus": "0-1", "emulator_cpus": "0-1", "cells": [cell]}
    wanted = {"shared": [0, 1], "dedicated": [], "memory_mb": 512}
    request = PLAIN_REQUEST | {"cells": [wanted]}
    assert check(changed(HOST, {"cells.0.memory_used_mb": 256 + 512}), request, layout) == []
    over = "; ".join(check(changed(HOST, {"cells.0.memory_used_mb": 256 + 513}), request, layout))
    assert "do not fit beside the memory in use" in over
    request = PLAIN_REQUEST | {"cells": [wanted | {"memory_mb": 513}]}
    layout = layout | {"cells": [cell | {"memory_mb": 513}]}
    assert "do not fit" in "; ".join(check(HOST, request, layout)), "more than the whole pool"


def test_guests_in_cells_leave_the_base_pools_to_those_that_float() -> None:
    """Cell 0 has 256 MiB of its base pool left, cell 1 all 512."""
    small, sized = REQUEST | {"page_size": "small"}, {"cells.0.pagesize_kb": 4}
    layout = changed(LAYOUT, sized | {"cells.1.pagesize_kb": 4})
    floating = {"floating_memory_mb": 256 + 512 - 256 - 128}
    assert check(changed(HOST, floating), small, layout) == []
    more = changed(HOST, {"floating_memory_mb": floating["floating_memory_mb"] + 1})
    assert "384 MiB do not fit beside the guests that float" in check(more, small, layout)
    assert check(more, REQUEST, LAYOUT) == [], "huge pages are nothing to them"
    shared = changed(HOST, {"floating_vcpus": 6 - 1 - 2})
    assert check(shared, REQUEST, LAYOUT) == []
    shared["floating_vcpus"] += 1
    assert "2 shared vCPUs do not fit beside the guests that float" in check(
        shared, REQUEST, LAYOUT
    )


@pytest.mark.parametrize(
    ("page_size", "chosen", "sound"),
    [
        ("small", 4, True),
        ("small", 2048, False),
        ("large", 2048, True),
        ("large", 4, False),
        ("any", 2048, True),
        ("any", 4, False),
        (4, 4, True),
        (2048, 2048, True),
        (2048, 4, False),
        (None, None, True),
        (None, 4, False),
        (None, 2048, False),
    ],
)
def test_the_checker_knows_the_page_sizes(
    page_size: str | int | None, chosen: int | None, sound: bool
) -> None:
    layout = changed(LAYOUT, {"cells.0.pagesize_kb": chosen, "cells.1.pagesize_kb": chosen})
    found = "; ".join(check(HOST, REQUEST | {"page_size": page_size}, layout))
    assert ("page" in found) is not sound


def test_memory_is_a_multiple_of_its_page_size() -> None:
    layout = changed(LAYOUT, {"cells.0.memory_mb": 255, "cells.0.pagesize_kb": 2048})
    request = changed(REQUEST, {"cells.0.memory_mb": 255})
    assert "255 MiB do not fit" in "; ".join(check(HOST, request, layout))
    small = changed(layout, {"cells.0.pagesize_kb": 4})
    assert check(HOST, request | {"page_size": "any"}, small) == []
