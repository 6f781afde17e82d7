"""What Nova's own fitter places wrongly the audit finds, in the domains that Nova's own driver
writes; the same guests placed by ours are silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mdsvc.auditing import Finding, audit
from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, place_instance
from mdsvc.layout import fit
from mdsvc.policy.flavor import request
from mdsvc.topology import Host
from tests.audit.fleets import facts_of, with_domains
from tests.reference.nova_cases import NOVA_CASES, NovaCase

from .client import Oracle

FAULTS: Mapping[str, set[str]] = {
    # pinned nowhere
    "empty host of 3 cells of 4 pCPUs, guest cells of 2, 2 and 5": {"dedicated_unpinned"},
    "free pCPUs 3, 2, 1, guest cells of 1, 1 and 3": {"dedicated_unpinned"},
    "free pCPUs 3, 2, 3, guest cells of 1, 1 and 4": {"dedicated_unpinned"},
    # free pages go to -512, and pinned nowhere too
    "empty host with 2 GiB of 2 MiB pages a cell, guest of 512, 512 and 3072 MiB": {
        "dedicated_unpinned",
        "memory_overbooked",
    },
    # outside the cell, and one given twice
    "free pCPUs 1, 3, 0, 2, guest cells of 1, 1 and 3": {"pinned_twice", "memory_elsewhere"},
}
"""What Nova 34 places, and how that is wrong. It refuses the other cases, rightly or not."""


def form(case: NovaCase) -> dict[str, Any]:
    return {
        "uuid": "00000000-0000-4000-8000-000000000001",
        "project_id": "p",
        "name": "instance-1",
        "flavor": case.flavor,
    }


def by_nova(oracle: Oracle, case: NovaCase, metadata: bool = True) -> list[Finding] | None:
    """The findings, or None where Nova refuses the guest."""
    (xml,) = oracle.domains(case.host, [form(case) | {"metadata": metadata}])
    host = from_builtins(case.host, Host)
    return None if xml is None else audit([with_domains(host, [xml])])


@pytest.mark.parametrize("case", NOVA_CASES, ids=lambda case: case.name)
def test_what_nova_places_wrongly_is_found(oracle: Oracle, case: NovaCase) -> None:
    findings = by_nova(oracle, case)
    expected = FAULTS.get(case.name)
    assert (None if findings is None else {f.code for f in findings}) == expected
    for finding in findings or ():
        assert finding.guests == ("instance-1",)


@pytest.mark.parametrize("case", NOVA_CASES, ids=lambda case: case.name)
def test_it_is_found_without_extra_specs_too(oracle: Oracle, case: NovaCase) -> None:
    """Nova writes them from 2025.2 on; vCPUs that nothing pins are then outside of the sets."""
    findings = by_nova(oracle, case, metadata=False)
    assert bool(findings) is (case.name in FAULTS)


@pytest.mark.parametrize("case", NOVA_CASES, ids=lambda case: case.name)
def test_the_same_guest_by_our_fitter_is_silence(case: NovaCase) -> None:
    host, guest = from_builtins(case.host, Host), from_builtins(form(case), Instance)
    try:
        layout = fit(host, request(guest.flavor, guest.image))
    except DoesNotFit:
        assert not case.fits
        return
    assert audit([facts_of(host, [place_instance(guest, host.name, layout)])]) == []


FLEET: Mapping[str, dict[str, Any]] = {
    "dedicated": {"extra_specs": {"hw:cpu_policy": "dedicated"}},
    "mixed": {"extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1-3"}},
    "emulator": {
        "extra_specs": {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"}
    },
    "another mixed": {"extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}},
    "shared": {"vcpus": 1, "extra_specs": {"hw:numa_nodes": "1"}},
    "plain": {},
}


@pytest.mark.parametrize("shared", ["0-1,16-17", "0,16"], ids=["two", "one"])
def test_what_nova_places_well_is_silence(oracle: Oracle, shared: str) -> None:
    """A mixed fleet, also where each cell has a single shared pCPU, to which Nova pins alone."""
    dedicated = "2-15,18-31"
    cells = [{"id": at, "memory_mb": 16384, "cpus": f"{16 * at}-{16 * at + 15}"} for at in (0, 1)]
    host = {"name": "h1", "cpu_shared_set": shared, "cpu_dedicated_set": dedicated, "cells": cells}
    guests = [
        {
            "uuid": f"00000000-0000-4000-8000-{number:012}",
            "name": name,
            "flavor": {"name": name, "vcpus": 4, "memory_mb": 512, **flavor},
        }
        for number, (name, flavor) in enumerate(FLEET.items())
    ]
    domains = oracle.domains(host, guests)
    assert all(domains)
    assert audit([with_domains(from_builtins(host, Host), [xml for xml in domains if xml])]) == []
