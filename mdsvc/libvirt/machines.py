"""What differs between the architectures of hosts in a domain (R30): one row for each.

As Nova 34's libvirt driver has them (``get_default_machine_type``, ``_get_guest_cpu_model_config``,
``_configure_guest_by_virt_type``), but for q35, and for features that a machine does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from mdsvc.errors import Refused
from mdsvc.topology import Arch, Host

VirtType = Literal["kvm", "qemu"]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of guest. ``kvm_cpu`` and ``qemu_cpu`` are the CPU's mode with KVM, and with QEMU
    alone; None is what libvirt takes by itself. ``threads``: with which of the two a core can have
    several. ``dmi``: whether firmware tells the guest what machine it is (SMBIOS).
    """

    type: str
    features: tuple[str, ...] = ()
    firmware: str | None = None
    kvm_cpu: str = "host-model"
    qemu_cpu: str | None = None
    threads: tuple[VirtType, ...] = ("kvm", "qemu")
    dmi: bool = False
    iommu: str | None = None  # by which interrupts reach vCPUs of numbers above 255

    def cpu_mode(self, kind: VirtType) -> str | None:
        return self.kvm_cpu if kind == "kvm" else self.qemu_cpu


_POWER = Machine(type="pseries", threads=("kvm",))

MACHINES: Mapping[Arch, Machine] = {
    "x86_64": Machine(type="q35", features=("acpi", "apic"), dmi=True, iommu="intel"),
    # Boots by UEFI only. No CPU model describes an ARM host, and QEMU's own choice has 32 bits.
    "aarch64": Machine(
        type="virt",
        features=("acpi", "gic"),
        firmware="efi",
        dmi=True,
        kvm_cpu="host-passthrough",
        qemu_cpu="maximum",
    ),
    "ppc64": _POWER,
    "ppc64le": _POWER,
    # A core has one thread there, and guests have no NUMA nodes (Host.gives_nodes).
    "s390x": Machine(type="s390-ccw-virtio", threads=()),
}


def machine_of(host: Host) -> Machine:
    """The kind of guest that the host runs. Raises Refused where none is known."""
    machine = MACHINES.get(host.arch)
    if machine is None:
        known = ", ".join(MACHINES)
        raise Refused(f"host {host.name}: arch {host.arch}: domains are known for {known} only")
    return machine
