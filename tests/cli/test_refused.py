"""What cannot be granted is exit 3, what is not there exit 4; neither changes anything."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.cli.command import Mdsvc
from tests.cli.conftest import Dump
from tests.cli.values import DEDICATED, OTHER_UUID, UUID, flavor, guest, host, plain

CREATE = ("instance", "create", "-")


class Case(NamedTuple):
    claim: str
    args: tuple[str, ...]
    stdin: object
    names: tuple[str, ...]


def _asking(vcpus: int, memory_mb: int = 64, extra_specs: object = None) -> object:
    return plain(1, flavor=flavor(vcpus, memory_mb, extra_specs or {}))


ON_TAKEN_ADDRESS = [{"network": "net-a", "ip": "10.0.0.5"}]

REFUSED = (
    Case("a host's name twice", ("host", "add", "-"), host(), ("host h1", "already")),
    Case("a host's name twice, imported", ("host", "import", "h1", "--local"), b"", ("host h1",)),
    Case("a UUID twice", CREATE, guest(addresses=[]), (f"uuid {UUID}", "already")),
    Case("a UUID twice, in capitals", CREATE, guest(UUID.upper(), addresses=[]), (UUID,)),
    Case("an address twice", CREATE, guest(OTHER_UUID), ("addresses", "10.0.0.5", "net-a", UUID)),
    Case("an address twice, in another spelling", CREATE,
         plain(1, addresses=[*ON_TAKEN_ADDRESS, {"network": "net-b", "ip": "::1"}]), (UUID,)),
    Case("a host that is not empty", ("host", "remove", "h1"), b"", ("host h1", UUID)),
    Case("more dedicated CPUs than are free", CREATE, _asking(9, 64, DEDICATED), ("h1", "pCPU")),
    Case("more memory than there is", CREATE, _asking(1, 8193), ("h1", "8193", "memory")),
    Case("more memory in a cell than there is", CREATE, _asking(1, 4000, DEDICATED),
         ("h1", "memory")),
    Case("more vCPUs than one guest may have", CREATE, _asking(500), ("h1", "vCPU")),
    Case("more nodes than the host has", CREATE, _asking(3, 63, {"hw:numa_nodes": "3"}),
         ("h1", "cells")),
    Case("pages that the host does not have", CREATE, _asking(1, 64, {"hw:mem_page_size": "1GB"}),
         ("h1", "page")),
    Case("that one host cannot take it", (*CREATE, "--host", "h1"), _asking(9, 64, DEDICATED),
         ("h1", "pCPU")),
)  # fmt: skip

MISSING = (
    Case("show an unknown host", ("host", "show", "h2"), b"", ("host h2",)),
    Case("a host's name minds the case", ("host", "show", "H1"), b"", ("host H1",)),
    Case("remove an unknown host", ("host", "remove", "h2"), b"", ("host h2",)),
    Case("show an unknown guest", ("instance", "show", OTHER_UUID), b"", (OTHER_UUID,)),
    Case("show what is no UUID", ("instance", "show", "dpdk-0"), b"", ("dpdk-0",)),
    Case("show what is not on one line", ("instance", "show", "a\nb\x1b"), b"", (r"a\nb\x1b",)),
    Case("the domain of an unknown guest", ("instance", "xml", OTHER_UUID), b"", (OTHER_UUID,)),
    Case("delete an unknown guest", ("instance", "delete", OTHER_UUID), b"", (OTHER_UUID,)),
    Case("create on an unknown host", (*CREATE, "--host", "h2"), plain(1), ("host h2",)),
)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.claim)
def test_what_cannot_be_granted_is_refused(with_guest: Mdsvc, dump: Dump, case: Case) -> None:
    _check(with_guest, dump, case, 3)


@pytest.mark.parametrize("case", MISSING, ids=lambda case: case.claim)
def test_what_is_not_there_is_not_found(with_guest: Mdsvc, dump: Dump, case: Case) -> None:
    _check(with_guest, dump, case, 4)


def _check(mdsvc: Mdsvc, dump: Dump, case: Case, code: int) -> None:
    before = dump()
    done = mdsvc(*case.args, stdin=case.stdin)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("mdsvc: ")
    assert done.err.count("\n") == 1
    for name in case.names:
        assert name in done.err
    assert dump() == before


def test_without_a_host_no_guest_fits(mdsvc: Mdsvc) -> None:
    done = mdsvc(*CREATE, stdin=guest())
    assert (done.code, done.out) == (3, "")
    assert "no host is registered" in done.err


def test_bytes_that_are_no_text_are_bad_input(with_guest: Mdsvc) -> None:
    done = with_guest("instance", "show", "\udcff")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_refusal_reads_the_same_with_json(with_guest: Mdsvc, json: tuple[str, ...]) -> None:
    done = with_guest(*CREATE, *json, stdin=guest())
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"mdsvc: uuid {UUID}: ")


# ---- R17 ----

MIXED_FLAVORS = {
    "by resources": flavor(),
    "by mask": flavor(4, 512, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}),
}


@pytest.mark.parametrize("asked", MIXED_FLAVORS.values(), ids=MIXED_FLAVORS)
def test_mixed_is_refused_while_one_host_is_old(mdsvc: Mdsvc, asked: object) -> None:
    """R17. It is refused on the hosts that know it too, and named are those that do not."""
    assert mdsvc("host", "add", "-", stdin=host()).code == 0
    assert mdsvc("host", "add", "-", stdin=host("old-1", service_version=1)).code == 0
    for where in ((), ("--host", "h1"), ("--host", "old-1")):
        done = mdsvc(*CREATE, *where, stdin=plain(1, flavor=asked))
        assert (done.code, done.out) == (3, "")
        assert "mixed" in done.err
        assert "old-1" in done.err
        assert "h1" not in done.err
    assert mdsvc("instance", "list", "--json").json == []
    assert mdsvc("host", "remove", "old-1").code == 0
    assert mdsvc(*CREATE, stdin=plain(1, flavor=asked)).code == 0


def test_other_policies_do_not_mind_an_old_host(mdsvc: Mdsvc) -> None:
    assert mdsvc("host", "add", "-", stdin=host("old-1", service_version=1)).code == 0
    for number, policy in enumerate(("shared", "dedicated")):
        asked = plain(number, flavor=flavor(2, 512, {"hw:cpu_policy": policy}))
        assert mdsvc(*CREATE, stdin=asked).code == 0
