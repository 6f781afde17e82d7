"""Hosts come, by a file, by libvirt's XML or from this machine, are shown, and go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mdsvc.cpuset import CpuSet
from tests.cli.command import Mdsvc
from tests.cli.values import UUID, guest, host
from tests.machines.capabilities import capabilities
from tests.machines.known import MACHINES

# The cells, CPUs and cores of some machines; offline CPUs do not count.
SIZES = {
    "amd-epyc9654-24n-384": (24, 384, 192),
    "amd-epyc9654-8n-384": (8, 384, 192),
    "amd-opteron6274-4n-32": (4, 32, 16),
    "ia64-altix-64n-256": (64, 256, 256),
    "intel-cascadelake-2n-96": (2, 96, 48),
    "intel-hugepages-2n-32": (2, 32, 16),
    "intel-offline-2n-13": (2, 13, 7),
}


def test_a_host_from_a_file_is_printed_as_it_is_stored(mdsvc: Mdsvc, tmp_path: Path) -> None:
    file = tmp_path / "h1.json"
    added = mdsvc("host", "add", "-", "--json", stdin=host())
    assert (added.code, added.err) == (0, "")
    assert added.json == mdsvc("host", "show", "h1", "--json").json
    assert [added.json] == mdsvc("host", "list", "--json").json
    file.write_text(added.out)
    assert mdsvc("host", "remove", "h1").code == 0
    again = mdsvc("host", "add", str(file), "--json")
    assert (again.code, again.json) == (0, added.json)


def test_what_a_host_does_not_say_has_the_contract_s_defaults(mdsvc: Mdsvc) -> None:
    bare = {"name": "bare", "cells": [{"id": 7, "memory_mb": 1, "cpus": "0-1"}]}
    added = mdsvc("host", "add", "-", "--json", stdin=bare).json
    assert added["cells"][0]["socket"] == 7
    assert (added["cpu_allocation_ratio"], added["ram_allocation_ratio"]) == (16.0, 1.0)
    assert (added["packing"], added["service_version"]) == ("spread", 2)
    assert (added["cpu_shared_set"], added["cpu_dedicated_set"]) == ("", "")


def test_cpu_sets_are_printed_ascending_with_their_ranges_collapsed(mdsvc: Mdsvc) -> None:
    untidy = host(cpu_shared_set="12, 8,4 ,0", cpu_dedicated_set="3,2,1,5-6,7,9-11,13-14,15,15")
    added = mdsvc("host", "add", "-", "--json", stdin=untidy).json
    assert added["cpu_shared_set"] == "0,4,8,12"
    assert added["cpu_dedicated_set"] == "1-3,5-7,9-11,13-15"


def test_hosts_are_listed_by_name(mdsvc: Mdsvc) -> None:
    for name in ("h2", "h10", "H1"):
        assert mdsvc("host", "add", "-", stdin=host(name)).code == 0
    assert [h["name"] for h in mdsvc("host", "list", "--json").json] == ["H1", "h10", "h2"]
    lines = mdsvc("host", "list").out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["H1", "h10", "h2"]


def test_no_hosts_are_an_empty_list_and_a_word_to_people(mdsvc: Mdsvc) -> None:
    assert mdsvc("host", "list", "--json").json == []
    assert "mdsvc host add" in mdsvc("host", "list").out


def test_a_host_shows_what_its_guests_use(with_guest: Mdsvc) -> None:
    done = with_guest("host", "show", "h1", "--json")
    assert (done.code, done.err) == (0, "")
    placed = with_guest("instance", "show", UUID, "--json").json
    for cell in placed["layout"]["cells"]:
        used = done.json["cells"][cell["host_cell"]]
        assert CpuSet.parse(used["pinned"]) == CpuSet.of(cell["cpu_pinning"].values())
        assert used["shared_used"] == len(CpuSet.parse(cell["cpuset"]))
        assert used["memory_used_mb"] == cell["memory_mb"]


def test_a_host_is_drawn_with_the_names_of_its_guests(with_guest: Mdsvc) -> None:
    done = with_guest("host", "show", "h1")
    assert (done.code, done.err) == (0, "")
    assert "dpdk-0" in done.out
    assert "7 of 12 dedicated pCPUs free" in done.out


def test_the_use_of_a_host_cannot_be_brought_along(with_guest: Mdsvc) -> None:
    """What `host show` prints of a host in use is no host to register."""
    used = with_guest("host", "show", "h1", "--json").json
    done = with_guest("host", "add", "-", stdin={**used, "name": "h2"})
    assert (done.code, done.out) == (2, "")
    assert "pinned" in done.err


def test_a_host_is_removed_once_it_is_empty(with_guest: Mdsvc) -> None:
    assert with_guest("host", "remove", "h1").code == 3
    assert with_guest("instance", "delete", UUID).code == 0
    done = with_guest("host", "remove", "h1")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert with_guest("host", "list", "--json").json == []


# ---- import ----


Xml = Callable[[str], Path]


@pytest.fixture
def xml(tmp_path: Path) -> Xml:
    """A file with what `virsh capabilities` prints on the machine of a name."""

    def write(name: str) -> Path:
        file = tmp_path / f"{name}.xml"
        file.write_text(capabilities(MACHINES[name]))
        return file

    return write


@pytest.mark.parametrize("name", SIZES)
def test_a_machine_is_imported_from_libvirt_s_xml(mdsvc: Mdsvc, xml: Xml, name: str) -> None:
    file = xml(name)
    added = mdsvc("host", "import", "big", "--capabilities", str(file), "--json")
    assert (added.code, added.err) == (0, "")
    cells = added.json["cells"]
    cpus = [CpuSet.parse(cell["cpus"]) for cell in cells]
    cores = [siblings for cell in cells for siblings in cell["siblings"]]
    assert (len(cells), sum(map(len, cpus)), len(cores)) == SIZES[name]
    assert mdsvc("host", "show", "big", "--json").json == added.json
    assert mdsvc("host", "show", "big").code == 0
    piped = mdsvc("host", "import", "piped", "--capabilities", "-", stdin=file.read_bytes())
    assert piped.code == 0


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_that_is_known_is_imported_and_drawn(
    mdsvc: Mdsvc, xml: Xml, name: str
) -> None:
    added = mdsvc("host", "import", "big", "--capabilities", str(xml(name)))
    assert (added.code, bool(added.err)) == (0, name in ODD)
    drawn = mdsvc("host", "show", "big")
    assert (drawn.code, drawn.err) == (0, "")
    assert "big" in drawn.out


ODD = {
    "guest-crossing-2n-8": "mdsvc: cell 0: the cores of CPUs 0-3 reach into another cell, ",
    "guest-cut-1n-8": "mdsvc: cell 0 is taken without its L3 caches: expected whole cores, ",
}
"""What is said of machines that cannot be taken quite as they are."""


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_of_a_machine_is_said_on_stderr(mdsvc: Mdsvc, xml: Xml, name: str) -> None:
    added = mdsvc("host", "import", "odd", "--capabilities", str(xml(name)), "--json")
    assert added.err.startswith(ODD[name])
    assert added.json["name"] == "odd", "and what is on stdout is the host alone"


def test_isolate_shares_no_core_that_reaches_into_another_cell(mdsvc: Mdsvc, xml: Xml) -> None:
    file = str(xml("guest-crossing-2n-8"))
    added = mdsvc("host", "import", "h", "--capabilities", file, "--dedicated", "0-7", "--json")
    assert [(c["siblings"], c["split"]) for c in added.json["cells"]] == [([], "0-3"), ([], "4-7")]
    drawn = mdsvc("host", "show", "h").out
    assert "split      0-3" in drawn
    assert "cores that reach into another cell" in drawn
    alone = {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"}
    flavor = {"vcpus": 3, "memory_mb": 512, "extra_specs": alone}
    refused = mdsvc("instance", "create", "-", stdin=guest(flavor=flavor))
    assert (refused.code, refused.out) == (3, "")
    assert "needs 3 pCPUs by the thread policy, 0 there" in refused.err
    flavor["extra_specs"] = {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "prefer"}
    assert mdsvc("instance", "create", "-", stdin=guest(flavor=flavor)).code == 0


def test_a_set_that_names_offline_cpus_is_one_clear_message(mdsvc: Mdsvc, xml: Xml) -> None:
    file = str(xml("intel-offline-2n-13"))
    for cpus, said in (("2-3", "CPUs 3 are offline"), ("2,99", "CPUs 99 are not among the host")):
        refused = mdsvc("host", "import", "h", "--capabilities", file, "--dedicated", cpus)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"mdsvc: cpu_dedicated_set: {said}")


SETS = {
    "neither: all is shared": ((), "0-31", ""),
    "shared alone": (("--shared", "0-3"), "0-3", ""),
    "dedicated alone": (("--dedicated", "8-31"), "", "8-31"),
    "both": (("--shared", "0,16", "--dedicated", "1-15,17-31"), "0,16", "1-15,17-31"),
    "none shared": (("--shared", ""), "", ""),
}


@pytest.mark.parametrize(("flags", "shared", "dedicated"), SETS.values(), ids=SETS)
def test_the_sets_are_those_of_the_flags(
    mdsvc: Mdsvc, xml: Xml, flags: tuple[str, ...], shared: str, dedicated: str
) -> None:
    file = str(xml("intel-hugepages-2n-32"))
    added = mdsvc("host", "import", "h", "--capabilities", file, *flags, "--json").json
    assert (added["cpu_shared_set"], added["cpu_dedicated_set"]) == (shared, dedicated)


def test_the_seed_s_guest_fits_on_an_imported_machine(mdsvc: Mdsvc, xml: Xml) -> None:
    file = str(xml("intel-cascadelake-2n-96"))
    cells = mdsvc("host", "import", "all-shared", "--capabilities", file, "--json").json["cells"]
    shared = CpuSet.of(cpu for cell in cells for cpu in sorted(CpuSet.parse(cell["cpus"]))[:2])
    flags = ("--shared", str(shared), "--dedicated", str(CpuSet.first(96) - shared))
    assert mdsvc("host", "import", "big", "--capabilities", file, *flags).code == 0
    placed = mdsvc("instance", "create", "-", "--json", stdin=guest())
    assert placed.code == 0
    assert placed.json["layout"]["dedicated_cpus"] == "2-3,5-7"


def test_this_machine_is_imported_from_its_sysfs(mdsvc: Mdsvc) -> None:
    added = mdsvc("host", "import", "me", "--local", "--json")
    assert added.code == 0, "whatever it says of an odd machine"
    cpus = [cpu for cell in added.json["cells"] for cpu in CpuSet.parse(cell["cpus"])]
    assert len(cpus) == len(set(cpus)) == os.cpu_count()
    assert sum(cell["memory_mb"] for cell in added.json["cells"]) > 0
    assert CpuSet.parse(added.json["cpu_shared_set"]) == CpuSet.of(cpus)
    assert mdsvc("host", "show", "me", "--json").json == added.json


def test_this_machine_is_imported_with_sets_of_its_own(mdsvc: Mdsvc) -> None:
    first = str(min(os.sched_getaffinity(0)))
    added = mdsvc("host", "import", "me", "--local", "--dedicated", first, "--json").json
    assert (added["cpu_shared_set"], added["cpu_dedicated_set"]) == ("", first)
