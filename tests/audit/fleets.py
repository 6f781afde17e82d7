"""Fleets for the audit: placed by our own fitter on random hosts that change, and read back from
the domains that are written of them; and small ones by hand.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from random import Random

import msgspec

from mdsvc.auditing import Facts
from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.errors import MdsvcError
from mdsvc.instance import PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.libvirt import domain_xml
from mdsvc.placing.standing import Resident, stand
from mdsvc.placing.usage import place, remove
from mdsvc.policy.flavor import request
from mdsvc.topology import Host
from tests.books.world import changed, random_host, random_instance


def random_fleet(seed: int) -> tuple[Host, list[PlacedInstance]]:
    """A host through which guests have come and gone, and that was described anew under them."""
    random = Random(seed)
    host, guests = random_host(random, "h1"), list[PlacedInstance]()
    for number in range(random.randint(1, 30)):
        match random.randint(0, 5):
            case 0 if guests:
                gone = guests.pop(random.randrange(len(guests)))
                host = remove(host, gone.layout, gone.flavor)
            case 1:
                host, guests = _described_anew(random, host, guests)
            case _:
                host, guests = _arrived(random, host, guests, number)
    return host, guests


def _arrived(
    random: Random, host: Host, guests: list[PlacedInstance], number: int
) -> tuple[Host, list[PlacedInstance]]:
    new = random_instance(random, number)
    try:
        layout = fit(host, request(new.flavor, new.image))
    except MdsvcError:
        return host, guests
    return place(host, layout, new.flavor), [*guests, place_instance(new, host.name, layout)]


def _described_anew(
    random: Random, host: Host, guests: list[PlacedInstance]
) -> tuple[Host, list[PlacedInstance]]:
    residents = [Resident(g.uuid, g.name, g.flavor, g.image, g.layout) for g in guests]
    try:
        standing = stand(host, changed(random, host), residents)
    except MdsvcError:
        return host, guests
    layouts = {each.uuid: each.layout for each in standing.renewed}
    renewed = [msgspec.structs.replace(g, layout=layouts.get(g.uuid, g.layout)) for g in guests]
    return standing.host, renewed


def facts_of(host: Host, guests: Sequence[PlacedInstance]) -> Facts:
    """The host and its guests as an audit reads them."""
    return with_domains(host, [domain_xml(guest, host) for guest in guests])


def with_domains(host: Host, domains: Sequence[str]) -> Facts:
    return Facts(
        name=host.name,
        guests=tuple(map(guest_from_domain, domains)),
        topology=msgspec.structs.replace(
            host.without_use(), cpu_shared_set=EMPTY, cpu_dedicated_set=EMPTY
        ),
        shared=host.cpu_shared_set,
        dedicated=host.cpu_dedicated_set,
    )


# ---- by hand ----


def domain(
    name: str,
    *pins: str,
    emulator: str | None = "0-1",
    iothread: str | None = None,
    specs: dict[str, str] | None = None,
    memory_mb: int = 256,
    memory_node: int | None = None,
    pages_kb: int | None = None,
    cpuset: str | None = None,
) -> str:
    """A domain with these pCPUs for its vCPUs, in order; "" for none."""
    pinned = "".join(
        f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins) if cpus
    )
    if emulator is not None:
        pinned += f"<emulatorpin cpuset='{emulator}'/>"
    if iothread is not None:
        pinned += f"<iothreadpin iothread='1' cpuset='{iothread}'/>"
    return f"""<domain type='kvm'>
  <name>{name}</name><uuid>{uuid_of(name)}</uuid>
  {_metadata(name, len(pins), memory_mb, specs) if specs is not None else ""}
  <memory unit='MiB'>{memory_mb}</memory>
  <vcpu placement='static'{f" cpuset='{cpuset}'" if cpuset else ""}>{len(pins)}</vcpu>
  {"<iothreads>1</iothreads>" if iothread is not None else ""}
  <cputune>{pinned}</cputune>
  {_pages(pages_kb)}{_numatune(memory_node)}
</domain>"""


def uuid_of(name: str) -> str:
    """That of the domain of this name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _metadata(name: str, vcpus: int, memory_mb: int, specs: dict[str, str]) -> str:
    """As Nova writes it from 2025.2 on."""
    extra = "".join(
        f"<nova:extraSpec name='{key}'>{value}</nova:extraSpec>" for key, value in specs.items()
    )
    return f"""<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
    <nova:name>{name}</nova:name>
    <nova:flavor name="m" id="1">
    <nova:memory>{memory_mb}</nova:memory><nova:vcpus>{vcpus}</nova:vcpus>
    <nova:extraSpecs>{extra}</nova:extraSpecs></nova:flavor></nova:instance></metadata>"""


def _pages(size_kb: int | None) -> str:
    page = f"<page size='{size_kb}' unit='KiB'/>"
    return f"<memoryBacking><hugepages>{page}</hugepages></memoryBacking>" if size_kb else ""


def _numatune(node: int | None) -> str:
    return "" if node is None else f"<numatune><memory mode='strict' nodeset='{node}'/></numatune>"


def cpus(text: str) -> CpuSet:
    return CpuSet.parse(text)
