"""`host add --replace` and `host import --replace`: a host changes under its guests, or stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.command import Mdsvc
from tests.cli.conftest import Dump
from tests.cli.values import DEDICATED, UUID, flavor, plain

ADD = ("host", "add", "-", "--replace")
IMPORT = ("host", "import", "h1", "--capabilities", "-", "--replace")
MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}


def capabilities(cpus: int = 6, memory_mb: int = 4096) -> bytes:
    """What libvirt says of a machine of one cell."""
    each = "".join(f"<cpu id='{at}' socket_id='0' siblings='{at}'/>" for at in range(cpus))
    memory = f"<memory unit='KiB'>{memory_mb * 1024}</memory>"
    cell = f"<cell id='0'>{memory}<cpus num='{cpus}'>{each}</cpus></cell>"
    return f"<host><topology><cells num='1'>{cell}</cells></topology></host>".encode()


def small(**fields: Any) -> object:
    cells = [{"id": 0, "memory_mb": 4096, "cpus": "0-5"}]
    sets = {"cpu_shared_set": "0-1", "cpu_dedicated_set": "2-5"}
    return {"name": "h1", **sets, "cells": cells, **fields}


@pytest.fixture
def with_mixed(mdsvc: Mdsvc) -> Mdsvc:
    """A host, and on it a mixed guest whose emulator threads float over 0-2."""
    assert mdsvc("host", "add", "-", stdin=small(packing="pack")).code == 0
    created = mdsvc(
        "instance", "create", "-", "--json", stdin=plain(1, flavor=flavor(2, 64, MIXED))
    )
    assert created.json["layout"]["emulator_cpus"] == "0-2"
    return mdsvc


FIRST, SECOND = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_whose_threads_float_elsewhere_is_told_beside_the_result(
    with_mixed: Mdsvc, as_json: tuple[str, ...]
) -> None:
    moved = small(cpu_shared_set="0", cpu_dedicated_set="1-5")
    done = with_mixed(*ADD, *as_json, stdin=moved)
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert done.err.startswith(f"mdsvc: renewed dpdk-0 ({FIRST}), generation 2: ")
    assert done.out == with_mixed("host", "show", "h1", "--json").out or not as_json
    again = with_mixed(*ADD, stdin=moved)
    assert (again.code, again.err) == (0, "")


def test_no_pcpu_of_one_guest_is_in_another_s_domain(with_mixed: Mdsvc) -> None:
    moved = small(cpu_shared_set="0", cpu_dedicated_set="1-5")
    assert with_mixed(*ADD, stdin=moved).code == 0
    four = plain(2, flavor=flavor(4, 64, DEDICATED))
    assert with_mixed("instance", "create", "-", stdin=four).code == 0
    assert '<emulatorpin cpuset="0,2" />' in with_mixed("instance", "xml", FIRST).out
    assert '<emulatorpin cpuset="1,3-5" />' in with_mixed("instance", "xml", SECOND).out


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_change_that_a_guest_could_not_stay_under_is_refused(
    with_mixed: Mdsvc, dump: Dump, as_json: tuple[str, ...]
) -> None:
    assert with_mixed("instance", "create", "-", stdin=plain(2, flavor=flavor(1, 64, {}))).code == 0
    before = dump()
    done = with_mixed(*ADD, *as_json, stdin=small(service_version=1, cpu_dedicated_set="3-5"))
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("mdsvc: host h1: 1 of 2 instances could not stay as they are: ")
    assert done.err.count("\n") == 1
    for text in (f"dpdk-0 ({FIRST})", "service_version: ", "dedicated_cpus: its pCPUs 2 are not"):
        assert text in done.err
    assert dump() == before


def test_an_import_keeps_what_the_machine_cannot_say(with_mixed: Mdsvc) -> None:
    before = with_mixed("host", "show", "h1", "--json").json
    done = with_mixed(*IMPORT, "--json", stdin=capabilities(memory_mb=8192))
    assert (done.code, done.err) == (0, "")
    assert done.json["cells"][0]["memory_mb"] == 8192
    assert done.json["cells"][0]["pinned"] == "2"
    assert {**done.json, "cells": ()} == {**before, "cells": ()}


def test_an_import_with_other_sets_renews_as_well(with_mixed: Mdsvc) -> None:
    sets = ("--shared", "0", "--dedicated", "1-5")
    done = with_mixed(*IMPORT, *sets, stdin=capabilities())
    assert done.code == 0
    assert done.err.startswith(f"mdsvc: renewed dpdk-0 ({FIRST}), generation 2: ")


def test_an_import_under_which_a_guest_could_not_stay_is_refused(
    with_mixed: Mdsvc, dump: Dump
) -> None:
    before = dump()
    done = with_mixed(*IMPORT, stdin=capabilities(memory_mb=32))
    assert (done.code, done.out) == (3, "")
    assert f"dpdk-0 ({FIRST}): memory: " in done.err
    done = with_mixed(*IMPORT, stdin=capabilities(cpus=4))
    assert (done.code, done.out) == (3, "")
    assert "expected --dedicated" in done.err
    assert dump() == before


def test_without_replace_a_registered_name_is_refused(with_mixed: Mdsvc) -> None:
    done = with_mixed(*IMPORT[:-1], stdin=capabilities())
    assert done.code == 3
    assert "already" in done.err


def test_an_import_of_a_new_machine_may_say_replace(mdsvc: Mdsvc) -> None:
    done = mdsvc(*IMPORT, "--json", stdin=capabilities())
    assert (done.code, done.json["cpu_shared_set"]) == (0, "0-5")


def test_a_host_may_be_put_back_as_it_is_shown(with_guest: Mdsvc) -> None:
    """With its use, which is not taken from there."""
    shown = with_guest("host", "show", "h1", "--json").json
    done = with_guest(*ADD, "--json", stdin={**shown, "floating_vcpus": 7})
    assert (done.code, done.err, done.json) == (0, "", shown)
    assert with_guest("instance", "show", UUID, "--json").json["generation"] == 1


def test_the_use_that_is_shown_is_no_part_of_the_description(with_mixed: Mdsvc) -> None:
    """The guest on pCPU 2 is named, not the `pinned` that says so too."""
    shown = with_mixed("host", "show", "h1", "--json").json
    assert shown["cells"][0]["pinned"] == "2"
    done = with_mixed(*ADD, stdin={**shown, "cpu_shared_set": "0-2", "cpu_dedicated_set": "3-5"})
    assert (done.code, done.out) == (3, "")
    assert f"dpdk-0 ({FIRST}): dedicated_cpus: its pCPUs 2 are not" in done.err
    done = with_mixed(*ADD, stdin={**shown, "cpu_shared_set": "0-5", "floating_vcpus": "many"})
    assert (done.code, done.out) == (2, "")
    assert "cpu_shared_set and cpu_dedicated_set: expected no CPU twice" in done.err
