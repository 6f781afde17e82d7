"""What the demonstration is about: one big host, and guests as operators ask for them."""

from __future__ import annotations

from msgspec.structs import replace

from mdsvc.cpuset import CpuSet
from mdsvc.instance import Address, Instance, KeyPair
from mdsvc.policy.flavor import Flavor
from mdsvc.topology import Host, HostCell, PagePool

NETWORK = "demo-net"
_CORES = 16
_THREADS = 2 * _CORES  # of one NUMA cell, two a core


def big_host() -> Host:
    """Two NUMA cells of 16 cores with two threads; the first two cores of each are shared."""
    shared = [(cell * _THREADS) + cpu for cell in (0, 1) for cpu in range(4)]
    everything = CpuSet.first(2 * _THREADS)
    return Host(
        name="compute-1",
        cells=tuple(_cell(number) for number in (0, 1)),
        cpu_shared_set=CpuSet.of(shared),
        cpu_dedicated_set=everything - CpuSet.of(shared),
    )


def _cell(number: int) -> HostCell:
    first = number * _THREADS
    cores = [CpuSet.of((first + 2 * core, first + 2 * core + 1)) for core in range(_CORES)]
    return HostCell(
        id=number,
        cpus=CpuSet.of(range(first, first + _THREADS)),
        memory_mb=64 * 1024,
        siblings=tuple(cores),
        pages=(PagePool(size_kb=4, total=16 * 1024**2),),
    )


def _guest(number: int, name: str, vcpus: int, specs: dict[str, str]) -> Instance:
    return Instance(
        uuid=f"d5c0ffee-0000-4000-8000-{number:012}",
        project_id="demo",
        name=name,
        flavor=Flavor(name=f"demo.{name}", vcpus=vcpus, memory_mb=1024 * vcpus, extra_specs=specs),
        addresses=(Address(NETWORK, f"10.0.0.{4 + number}", f"fa:16:3e:00:00:{4 + number:02x}"),),
    )


def asking_guest() -> Instance:
    """The guest that boots and asks: three shared and five dedicated vCPUs on two NUMA nodes."""
    specs = {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"}
    plain = _guest(1, "dpdk-0", 8, specs)
    mac = plain.addresses[0].mac
    return replace(
        plain,
        key_pairs=(KeyPair("ops", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoKeyOfNobody ops"),),
        meta={"role": "dataplane"},
        user_data="#cloud-config\nfinal_message: the demonstration guest is up\n",
        availability_zone="az1",
        version_list="newest",
        network_data={
            "links": [{"id": "tap0", "type": "ovs", "ethernet_mac_address": mac, "mtu": 1500}],
            "networks": [{"id": "net0", "type": "ipv4_dhcp", "link": "tap0", "network_id": "n0"}],
            "services": [{"type": "dns", "address": "10.0.0.2"}],
        },
    )


def neighbours() -> list[Instance]:
    """Guests that are there before, of every policy."""
    isolated = {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"}
    paired = {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"}
    masked = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0-1"}
    realtime = {
        "hw:cpu_policy": "mixed",
        "hw:cpu_realtime": "yes",
        "hw:cpu_realtime_mask": "1-3",
        "hw:emulator_threads_policy": "isolate",
    }
    return [
        _guest(2, "k8s-node", 6, masked),
        _guest(3, "database", 8, paired),
        _guest(4, "radio", 4, realtime),
        _guest(5, "latency", 2, isolated),
        _guest(6, "web", 4, {}),
    ]
