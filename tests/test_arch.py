"""A host's architecture, as libvirt tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.errors import BadInput
from tests.machines.capabilities import capabilities
from tests.machines.known import MACHINES

ONE = MACHINES["s390x-1n-4"]


@pytest.mark.parametrize("name", MACHINES)
def test_of_every_known_machine_it_is_read(name: str) -> None:
    host = host_from_capabilities(capabilities(MACHINES[name]), "h1").host
    assert host.arch == MACHINES[name].arch


def test_space_around_it_is_no_matter() -> None:
    xml = capabilities(ONE).replace("<arch>s390x", "<arch>\n  s390x  ")
    assert host_from_capabilities(xml, "h1").host.arch == "s390x"


def test_a_part_that_tells_none_is_of_x86_64() -> None:
    xml = capabilities(ONE)
    topology = xml[xml.index("<topology>\n") : xml.rindex("</topology>") + len("</topology>")]
    assert host_from_capabilities(topology, "h1").host.arch == "x86_64"


@pytest.mark.parametrize("arch", ["", "vax", "X86_64", "amd64", "x" * 500])
def test_one_that_nobody_knows_is_refused(arch: str) -> None:
    with pytest.raises(BadInput) as error:
        host_from_capabilities(capabilities(replace(ONE, arch=arch)), "h1")
    assert str(error.value).startswith("<cpu><arch>: expected one of aarch64, armv7l, ")
    assert str(error.value).endswith(f", got {arch[:60]!r}")
    assert len(str(error.value)) < 250
