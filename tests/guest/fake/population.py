"""Guests with what lives in every one: services, kernel threads, interrupts, queues."""

from __future__ import annotations

from mdguest.cpuset import EMPTY, CpuSet

from tests.guest.fake.cpusets import Hierarchy
from tests.guest.fake.devices import WORKQUEUES, Devices, Irq, Irqbalance
from tests.guest.fake.disk import Disk
from tests.guest.fake.files import BOOT
from tests.guest.fake.guest import FakeGuest
from tests.guest.fake.kernels import KERNELS, Shape
from tests.guest.fake.systemd import Systemd
from tests.guest.fake.tasks import Tasks

SYSTEMD = {"5.15": 249, "6.1": 252, "6.12": 257, "7.2": 262}
"""The systemd that comes with each kernel."""


def guest(
    kernel: str = "6.1",
    cpus: str = "0-3",
    *,
    systemd: int | None = -1,
    irqbalance: bool = True,
    cgroup2: bool = True,
    online: str = "",
    possible: str = "",
    isolcpus: str = "",
    nohz_full: str = "",
    numa: tuple[str, ...] = (),
    cores: tuple[str, ...] = (),
    worker: str = "",
) -> FakeGuest:
    """A guest after boot. ``systemd``: its version, None without one, -1 for what is usual;
    ``worker``: the CPUs that a thread of a service has chosen, the first one if not said.
    """
    present = CpuSet.parse(cpus)
    boot = [f"isolcpus={isolcpus}"] * bool(isolcpus) + [f"nohz_full={nohz_full}"] * bool(nohz_full)
    shape = Shape(
        present=present,
        online=CpuSet.parse(online) or present,
        possible=CpuSet.parse(possible) or present,
        numa=tuple(map(CpuSet.parse, numa)) or (present,),
        cores=tuple(map(CpuSet.parse, cores)) or tuple(CpuSet.of([cpu]) for cpu in present),
        isolcpus=CpuSet.parse(isolcpus),
        nohz_full=CpuSet.parse(nohz_full),
        cmdline=" ".join(["BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet", *boot]),
    )
    made = _bare(kernel, shape, cgroup2)
    version = SYSTEMD[kernel] if systemd == -1 else systemd
    if version is not None:
        made.disk.folders |= {"/run/systemd/system", "/run/systemd", "/run"}
        made.systemd = Systemd(version, made.tree, made.disk)
    if irqbalance:
        default = shape.isolcpus | shape.nohz_full
        made.irqbalance = Irqbalance(default, shape.possible, banned=default)
    return _populated(made, CpuSet.parse(worker) or CpuSet.of(list(shape.online)[:1]))


def _populated(made: FakeGuest, worker: CpuSet) -> FakeGuest:
    _programs(made, worker)
    _threads(made)
    _devices(made)
    if made.systemd and made.systemd.version >= 257:
        made.spawn_kernel("psimon")  # watches for want of memory
    made.uptime = 600.0
    return made


def _bare(kernel: str, shape: Shape, cgroup2: bool) -> FakeGuest:
    """A kernel and its files, and nobody in it."""
    tasks = Tasks(KERNELS[kernel])
    tree = Hierarchy(KERNELS[kernel], shape, tasks)
    disk = Disk()
    disk.put("/proc/sys/kernel/random/boot_id", BOOT)
    return FakeGuest(KERNELS[kernel], shape, tasks, tree, Devices(tree), disk, cgroup2=cgroup2)


def _programs(made: FakeGuest, worker: CpuSet) -> None:
    systemd = made.systemd
    if systemd is None:
        made.spawn("init").parent = 0
        made.spawn("dropbear")
        return
    systemd.add("init.scope")
    made.spawn("systemd", "/init.scope").parent = 0
    for name, parent in (
        ("system.slice", ""),
        ("user.slice", ""),
        ("cron.service", "/system.slice"),
        ("db.service", "/system.slice"),
        ("user@0.service", "/user.slice"),
    ):
        systemd.add(name, parent)
    made.spawn("cron", "/system.slice/cron.service")
    leader = made.spawn("db (main) R 1", "/system.slice/db.service")
    made.spawn("db) worker", "/system.slice/db.service", worker, pid=leader.pid)
    made.spawn("(sd-pam)", "/user.slice/user@0.service")


def _threads(made: FakeGuest) -> None:
    shape = made.shape
    fresh = shape.possible - shape.isolcpus - shape.nohz_full or shape.possible
    made.spawn_kernel("kthreadd", fresh)
    made.spawn_kernel("rcu_preempt", fresh)
    made.spawn_kernel("kworker/R-rcu_g", fresh)
    for number, cell in enumerate(shape.numa):
        made.spawn_kernel(f"kswapd{number}", cell & shape.online or fresh)
    for cpu in list(shape.present)[:4]:
        made.spawn_kernel(f"ksoftirqd/{cpu}", CpuSet.of([cpu]), bound=True)


def _devices(made: FakeGuest) -> None:
    shape, devices = made.shape, made.devices
    cpus = shape.possible - shape.isolcpus or shape.possible
    last = CpuSet.of(list(shape.online)[-1:])
    devices.irqs += [
        Irq(0, "", cpus),
        Irq(24, "virtio0-config", cpus),
        Irq(25, "virtio0-req.0", last, managed=True),
        Irq(26, "virtio1-input.0", last),
        Irq(27, "", cpus),
    ]
    devices.workqueues, devices.watchdog = cpus, shape.possible
    network = "/sys/class/net/eth0/queues"
    devices.masks |= {
        "/proc/irq/default_smp_affinity": cpus,
        WORKQUEUES.replace("cpumask", "writeback/cpumask"): shape.possible,
        f"{network}/rx-0/rps_cpus": EMPTY,
        f"{network}/rx-1/rps_cpus": cpus - shape.nohz_full,
        f"{network}/tx-0/xps_cpus": last,
        "/sys/class/net/single/queues/tx-0/xps_cpus": EMPTY,
    }
    if made.kernel.version >= (6, 4):
        devices.masks["/proc/sys/net/core/rps_default_mask"] = EMPTY
