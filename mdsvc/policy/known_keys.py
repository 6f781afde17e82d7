"""The keys of flavors and images that are known, by their names behind ``hw:`` and ``hw_`` (R28).

The names are those of Nova 34.0.0: ``nova/api/validation/extra_specs`` for flavors (with
``hw:maxphysaddr_*``, which only its libvirt driver reads), ``nova/objects/image_meta.py`` for
images, ``os_resource_classes`` 1.1 for resources. What Nova knows and is no CPU business is known
here too, so that it is taken in silence. Whoever needs other keys has a namespace of his own.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


INDEXED = _words("numa_cpus numa_mem")
"""Followed by a node: ``hw:numa_cpus.0``, ``hw_numa_mem.1``."""

_CPU_OF_BOTH = _words("""
    cpu_cores cpu_max_cores cpu_max_sockets cpu_max_threads cpu_policy cpu_realtime_mask
    cpu_sockets cpu_thread_policy cpu_threads mem_page_size numa_nodes
    """)
"""As ``hw:…`` in a flavor, as ``hw_…`` in an image."""

CPU_OF_FLAVORS = _CPU_OF_BOTH | {"cpu_dedicated_mask", "cpu_realtime", "emulator_threads_policy"}

OF_FLAVORS = CPU_OF_FLAVORS | _words("""
    boot_menu ephemeral_encryption ephemeral_encryption_format hide_hypervisor_id locked_memory
    maxphysaddr_bits maxphysaddr_mode mem_encryption mem_encryption_model
    pci_numa_affinity_policy pmem pmu redirected_usb_ports serial_port_count sound_model tpm_model
    tpm_secret_security tpm_version usb_model vif_multiqueue_enabled viommu_model
    virtio_packed_ring watchdog_action
    """)

OF_IMAGES = _CPU_OF_BOTH | _words("""
    architecture auto_disk_config boot_menu cdrom_bus device_id disk_bus disk_type
    emulation_architecture ephemeral_encryption ephemeral_encryption_format
    ephemeral_encryption_secret_uuid firmware_stateless firmware_type floppy_bus input_bus
    ipxe_boot locked_memory machine_type maxphysaddr_bits maxphysaddr_mode mem_encryption
    mem_encryption_model pci_numa_affinity_policy pmu pointer_model qemu_guest_agent
    redirected_usb_ports rescue_bus rescue_device rng_model scsi_model serial_port_count
    sound_model time_hpet tpm_model tpm_version usb_model vif_model vif_multiqueue_enabled
    video_model video_ram viommu_model virtio_packed_ring vm_mode watchdog_action
    """)

SCOPES = _words("""
    accel aggregate_instance_extra_specs capabilities hw_rng hw_video os pci_passthrough quota
    vmware
    """)
"""What else may stand before the ``:`` of a flavor's key, besides ``resources`` and ``trait``."""

RESOURCES = _words("""
    DISK_GB FPGA IPV4_ADDRESS MEMORY_MB MEM_ENCRYPTION_CONTEXT NET_BW_EGR_KILOBIT_PER_SEC
    NET_BW_IGR_KILOBIT_PER_SEC NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC
    NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC NET_PACKET_RATE_KILOPACKET_PER_SEC NUMA_CORE
    NUMA_MEMORY_MB NUMA_SOCKET NUMA_THREAD PCI_DEVICE PCPU PGPU SRIOV_NET_VF VCPU VGPU
    VGPU_DISPLAY_HEAD
    """)
"""Resource classes that are nobody's own; these begin with ``CUSTOM_``."""

HYPERTHREADING = "HW_CPU_HYPERTHREADING"
"""The one trait that is CPU policy (R10). Of all others Placement knows whether they are real."""
