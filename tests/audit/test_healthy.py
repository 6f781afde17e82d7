"""On a fleet that is well placed the audit is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.auditing import audit
from mdsvc.cpuset import CpuSet
from mdsvc.topology import Host
from tests.audit.fleets import domain, facts_of, random_fleet, with_domains
from tests.libvirt.guests import KINDS, guests, host
from tests.strategies import THOROUGH, grid, host_of


@THOROUGH
@given(seed=st.integers(0, 2**32))
def test_what_our_fitter_placed_is_well_placed_however_the_host_changed(seed: int) -> None:
    on, placed = random_fleet(seed)
    assert audit([facts_of(on, placed)]) == []


def test_random_fleets_are_not_empty() -> None:
    sizes = [len(random_fleet(seed)[1]) for seed in range(40)]
    assert sum(sizes) > 80


@pytest.mark.parametrize("kind", KINDS)
def test_each_guest_of_every_combination_is_well_placed(kind: str) -> None:
    for guest in guests(kind).values():
        assert audit([facts_of(host(), [guest])]) == []


SMALL: Host = host_of(grid(2, 4, shared=1))


def test_a_shared_vcpu_with_one_pcpu_is_not_dedicated() -> None:
    """As Nova pins it where the cell has one shared pCPU; several guests may be there."""
    domains = [domain("a", "0", "1", emulator="0-1"), domain("b", "0", "2", emulator="0")]
    assert audit([with_domains(SMALL, domains)]) == []


def test_isolcpus_of_dedicated_cpus_is_as_it_should_be() -> None:
    facts = with_domains(SMALL, [domain("a", "0", "1", emulator="0")])
    assert audit([replace(facts, isolated=CpuSet.parse("1-3,5-7"))]) == []


def test_a_host_without_guests_is_well() -> None:
    assert audit([with_domains(SMALL, [])]) == []
    assert audit([]) == []
