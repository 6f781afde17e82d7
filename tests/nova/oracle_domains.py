"""The oracle's `domains` operation: guests placed by Nova's fitter, as its libvirt driver writes
them. No libvirt is asked: the host is the one of the request.
"""
# mypy: disable-error-code="import-not-found,import-untyped,attr-defined,misc,no-untyped-def"

import contextlib
from types import SimpleNamespace
from typing import Any

import oracle_flavors

from nova import conf, exception, objects
from nova.network import model
from nova.virt import driver as virt
from nova.virt import hardware
from nova.virt.libvirt import config, driver

Json = dict[str, Any]


class Driver(driver.LibvirtDriver):
    """Nova's driver on a host that is given, and not asked of libvirt."""

    def __init__(self, topology: Any) -> None:
        self._topology = topology
        cpus = {cpu for cell in topology.cells for cpu in cell.cpuset | cell.pcpuset}
        self._host = SimpleNamespace(get_online_cpus=lambda: cpus)

    def _has_numa_support(self) -> bool:
        return True

    def _get_host_numa_topology(self) -> Any:
        return self._topology

    def _get_vcpu_available(self) -> set[int]:
        return {cpu for cell in self._topology.cells for cpu in cell.cpuset}


def answer(request: Json) -> Json:
    """The domain of each guest in turn, null for one that does not fit."""
    form = request["host"]
    for name in ("cpu_shared_set", "cpu_dedicated_set"):
        conf.CONF.set_override(name, form[name] or None, group="compute")
    host = _host(form)
    domains = []
    for guest in request["guests"]:
        host, xml = _placed(host, guest)
        domains.append(xml)
    return {"domains": domains}


def _placed(host: Any, form: Json) -> tuple[Any, str | None]:
    flavor = oracle_flavors.nova_flavor(form["flavor"])
    image = oracle_flavors.nova_image(form.get("image"))
    wanted = hardware.numa_get_constraints(flavor, image)
    fitted = wanted
    if wanted is not None:
        limits = objects.NUMATopologyLimits(cpu_allocation_ratio=16.0, ram_allocation_ratio=1.0)
        fitted = hardware.numa_fit_instance_to_host(host, wanted, None, limits)
        if fitted is None:
            return host, None
    xml = _domain(Driver(host), form, flavor, image, fitted)
    # what Nova took for a place may be none: the guest is written all the same
    with contextlib.suppress(exception.NovaException):
        host = hardware.numa_usage_from_instance_numa(host, fitted)
    return host, xml


def _domain(on: Driver, form: Json, flavor: Any, image: Any, topology: Any) -> str:
    """As `_get_guest_config` puts it together, without what is no CPU business."""
    numa = on._get_guest_numa_config(topology, flavor, image)
    guest = config.LibvirtConfigGuest()
    guest.virt_type = "kvm"
    guest.name = form["name"]
    guest.uuid = form["uuid"]
    guest.memory = flavor.memory_mb * 1024
    guest.vcpus = flavor.vcpus
    guest.cpuset, guest.cputune, guest.numatune = numa.cpuset, numa.cputune, numa.numatune
    guest.membacking = on._get_guest_memory_backing_config(topology, numa.numatune, flavor, image)
    guest.cpu = config.LibvirtConfigGuestCPU()
    guest.cpu.numa = numa.numaconfig
    if form.get("metadata", True):
        guest.metadata.append(on._get_guest_config_meta(_metadata(form, flavor)))
    xml: str = guest.to_xml()
    return xml


def _metadata(form: Json, flavor: Any) -> Any:
    """What Nova 34 says of the guest beside its CPUs."""
    properties = {key: str(value) for key, value in _properties(form).items()}
    return virt.InstanceDriverMetadata(
        root_type="image",
        root_id="1",
        instance_meta=virt.NovaInstanceMeta(form["name"], form["uuid"]),
        owner=virt.OwnerMeta("u", "user", "p", "project"),
        image=virt.ImageMeta("1", "image", None, None, None, None, properties),
        flavor=flavor,
        network_info=model.NetworkInfo([]),
    )


def _properties(form: Json) -> Json:
    properties: Json = (form.get("image") or {}).get("properties", {})
    return properties


def _host(form: Json) -> Any:
    """The host of the project's JSON form, with its use."""
    shared, dedicated = (
        hardware.parse_cpu_spec(form[f"cpu_{kind}_set"]) for kind in ("shared", "dedicated")
    )
    return objects.NUMATopology(cells=[_cell(cell, shared, dedicated) for cell in form["cells"]])


def _cell(form: Json, shared: set[int], dedicated: set[int]) -> Any:
    cpus = hardware.parse_cpu_spec(form["cpus"])
    small = {"size_kb": 4, "total": form["memory_mb"] * 256}
    pages = [
        objects.NUMAPagesTopology(
            size_kb=pool["size_kb"], total=pool["total"], used=pool.get("used", 0), reserved=0
        )
        for pool in form.get("pages") or [small]
    ]
    return objects.NUMACell(
        id=form["id"],
        cpuset=cpus & shared,
        pcpuset=cpus & dedicated,
        memory=form["memory_mb"],
        socket=form["id"],
        cpu_usage=0,
        memory_usage=0,
        pinned_cpus=hardware.parse_cpu_spec(form.get("pinned", "")),
        siblings=[hardware.parse_cpu_spec(core) for core in form.get("siblings", map(str, cpus))],
        mempages=pages,
    )
