"""The fake guest against what was seen in real ones: Debian 12, 13 and sid, kernels 6.1 to 7.2."""

from __future__ import annotations

import errno
import os

import pytest
from mdguest import procfs
from mdguest.cpuset import CpuSet
from mdguest.knobs.systemctl import RUNTIME

from tests.guest.fake import Crashed, FakeGuest, Killed, guest
from tests.guest.fake.devices import WORKQUEUES

POOL = "/sys/fs/cgroup/dedicated.slice"
PARTITION = f"{POOL}/cpuset.cpus.partition"
NOT_EXCLUSIVE = "isolated invalid (Cpu list in cpuset.cpus not exclusive)"

each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])
older = pytest.mark.parametrize("kernel", ["6.1", "6.12"])


def partitioned(kernel: str = "6.1", cpus: str = "2-3", kind: str = "isolated") -> FakeGuest:
    made = guest(kernel, worker="3")
    assert made.systemd is not None
    made.run("systemctl", "start", "dedicated.slice")
    made.run("systemctl", "set-property", "--runtime", "dedicated.slice", f"AllowedCPUs={cpus}")
    made.write(PARTITION, kind)
    return made


def effective(made: FakeGuest, group: str = "") -> str:
    return made.read(f"/sys/fs/cgroup{group}/cpuset.cpus.effective")


def task(made: FakeGuest, name: str) -> int:
    return next(task.tid for task in made.tasks if task.name == name)


def affinity(made: FakeGuest, name: str) -> str:
    return str(made.affinity(task(made, name)))


@each_kernel
def test_a_partition_takes_its_cpus_from_everyone_else(kernel: str) -> None:
    made = partitioned(kernel)
    assert made.read(PARTITION) == "isolated"
    assert effective(made) == "0-1"
    assert affinity(made, "systemd") == "0-1"
    assert affinity(made, "rcu_preempt") == "0-1"
    with pytest.raises(OSError, match="Invalid argument") as raised:
        made.set_affinity(task(made, "cron"), CpuSet.of([2]))
    assert raised.value.errno == errno.EINVAL


@each_kernel
def test_threads_bound_to_a_cpu_stay(kernel: str) -> None:
    made = partitioned(kernel)
    assert affinity(made, "ksoftirqd/2") == "2"
    with pytest.raises(OSError, match="Invalid argument"):
        made.set_affinity(task(made, "ksoftirqd/2"), CpuSet.of([0]))


@pytest.mark.parametrize(("kernel", "left"), [("6.1", "0-1"), ("6.12", "0-3"), ("7.2", "0-1")])
def test_linux_6_12_leaves_rescuers_in_the_partition(kernel: str, left: str) -> None:
    assert affinity(partitioned(kernel), "kworker/R-rcu_g") == left


@pytest.mark.parametrize(("kernel", "left"), [("6.1", "0-1"), ("6.12", "0-1"), ("7.2", "0-3")])
def test_linux_7_moves_its_threads_for_isolated_partitions_alone(kernel: str, left: str) -> None:
    assert affinity(partitioned(kernel, kind="root"), "kswapd0") == left
    assert affinity(partitioned(kernel), "kswapd0") == "0-1"


@pytest.mark.parametrize(("kernel", "mask"), [("6.1", "f"), ("6.12", "3"), ("7.2", "3")])
def test_workqueues_follow_by_themselves_from_linux_6_8_on(kernel: str, mask: str) -> None:
    assert partitioned(kernel).read(WORKQUEUES) == mask


@older
def test_a_sibling_that_claims_the_cpus_makes_the_partition_invalid(kernel: str) -> None:
    made = partitioned(kernel)
    made.set_property("user.slice", "AllowedCPUs=0-3")
    assert made.read(PARTITION) == NOT_EXCLUSIVE
    assert effective(made) == "0-3"
    made.set_property("user.slice", "AllowedCPUs=0-1")
    assert made.read(PARTITION) == NOT_EXCLUSIVE


def test_on_6_1_only_the_way_over_member_heals() -> None:
    made = partitioned("6.1")
    made.set_property("user.slice", "AllowedCPUs=0-3")
    made.set_property("user.slice", "AllowedCPUs=0-1")
    made.write(PARTITION, "isolated")
    assert made.read(PARTITION) == NOT_EXCLUSIVE
    made.write(PARTITION, "member")
    made.write(PARTITION, "isolated")
    assert made.read(PARTITION) == "isolated"


def test_on_6_12_writing_it_again_heals() -> None:
    made = partitioned("6.12")
    made.set_property("user.slice", "AllowedCPUs=0-3")
    made.set_property("user.slice", "AllowedCPUs=0-1")
    made.write(PARTITION, "isolated")
    assert made.read(PARTITION) == "isolated"


def test_linux_7_clips_the_sibling_instead() -> None:
    made = partitioned("7.2")
    made.set_property("user.slice", "AllowedCPUs=0-3")
    assert made.read(PARTITION) == "isolated"
    assert effective(made, "/user.slice") == "0-1"


def test_growing_into_a_sibling_makes_it_invalid() -> None:
    made = partitioned("6.1")
    made.set_property("user.slice", "AllowedCPUs=0-1")
    made.set_property("dedicated.slice", "AllowedCPUs=1-3")
    assert made.read(PARTITION) == NOT_EXCLUSIVE


@each_kernel
def test_resizing_keeps_the_partition_and_tasks_follow(kernel: str) -> None:
    made = partitioned(kernel)
    made.spawn("worker", "/dedicated.slice/worker.service")
    for cpus, rest in (("3", "0-2"), ("1-3", "0"), ("2-3", "0-1")):
        made.set_property("dedicated.slice", f"AllowedCPUs={cpus}")
        assert made.read(PARTITION) == "isolated"
        assert (affinity(made, "worker"), affinity(made, "systemd")) == (cpus, rest)


@pytest.mark.parametrize(("kernel", "kept"), [("6.1", "0-3"), ("6.12", "0-3"), ("7.2", "")])
def test_a_populated_cgroup_cannot_be_emptied_before_linux_7(kernel: str, kept: str) -> None:
    made = guest(kernel)
    made.set_property("user.slice", "AllowedCPUs=0-3")
    made.set_property("dedicated.slice", "AllowedCPUs=2-3")
    made.run("systemctl", "start", "dedicated.slice")
    made.set_property("user.slice", "AllowedCPUs=")
    path = "/sys/fs/cgroup/user.slice/cpuset.cpus"
    if made.exists(path):
        assert made.read(path) == kept
    shown = made.run("systemctl", "show", "--property=AllowedCPUs", "--value", "user.slice")
    assert shown.out == ""


@each_kernel
def test_all_cpus_cannot_be_a_partition(kernel: str) -> None:
    made = partitioned(kernel, "0-3")
    assert made.read(PARTITION) == "isolated invalid (Parent unable to distribute cpu downstream)"


@each_kernel
def test_cpu_0_can_be_a_partition(kernel: str) -> None:
    made = partitioned(kernel, "0")
    assert (made.read(PARTITION), effective(made)) == ("isolated", "1-3")


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        ("6.1", "cpuset.cpus is empty"),
        ("7.2", "cpuset.cpus and cpuset.cpus.exclusive are empty"),
    ],
)
def test_no_cpus_are_no_partition(kernel: str, reason: str) -> None:
    made = guest(kernel, systemd=None)
    made.write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset")
    made.mkdir("/sys/fs/cgroup/dedicated")
    made.write("/sys/fs/cgroup/dedicated/cpuset.cpus.partition", "isolated")
    text = made.read("/sys/fs/cgroup/dedicated/cpuset.cpus.partition")
    assert text == f"isolated invalid ({reason})"


@each_kernel
def test_systemctl_accepts_a_cpu_that_is_not_there_and_the_kernel_keeps_the_old(
    kernel: str,
) -> None:
    made = partitioned(kernel)
    made.set_property("dedicated.slice", "AllowedCPUs=7")
    assert made.read(f"{POOL}/cpuset.cpus") == "2-3"


@each_kernel
def test_one_of_two_cpus_may_go_offline(kernel: str) -> None:
    made = partitioned(kernel)
    made.set_online("0-2")
    assert (made.read(PARTITION), effective(made, "/dedicated.slice")) == ("isolated", "2")


def test_with_all_offline_6_1_says_so_and_heals_by_itself() -> None:
    made = partitioned("6.1")
    made.spawn("worker", "/dedicated.slice/worker.service")
    made.set_online("0-1")
    assert made.read(PARTITION) == "isolated invalid (No cpu available due to hotplug)"
    assert affinity(made, "worker") == "0-1"
    made.set_online("0-2")
    assert made.read(PARTITION) == "isolated"


def test_with_all_offline_7_2_stays_isolated() -> None:
    made = partitioned("7.2")
    made.spawn("worker", "/dedicated.slice/worker.service")
    made.set_online("0-1")
    assert (made.read(PARTITION), effective(made, "/dedicated.slice")) == ("isolated", "")


@pytest.mark.parametrize(("kernel", "after"), [("6.1", "0-3"), ("6.12", "3"), ("7.2", "3")])
def test_affinities_outlive_a_partition_from_linux_6_2_on(kernel: str, after: str) -> None:
    made = partitioned(kernel)
    assert affinity(made, "db) worker") == "0-1"
    made.write(PARTITION, "member")
    assert affinity(made, "db) worker") == after


def test_6_1_takes_isolcpus_into_a_partition() -> None:
    made = guest("6.1", isolcpus="2-3", nohz_full="2-3")
    made.set_property("dedicated.slice", "AllowedCPUs=2-3")
    made.run("systemctl", "start", "dedicated.slice")
    made.write(PARTITION, "isolated")
    assert made.read(PARTITION) == "isolated"


def test_6_12_refuses_a_partition_of_isolcpus() -> None:
    made = guest("6.12", isolcpus="2-3")
    made.set_property("dedicated.slice", "AllowedCPUs=2-3")
    made.run("systemctl", "start", "dedicated.slice")
    made.write(PARTITION, "isolated")
    reason = "partition config conflicts with housekeeping setup"
    assert made.read(PARTITION) == f"isolated invalid ({reason})"


def test_7_2_refuses_only_a_root_partition_of_isolcpus() -> None:
    made = guest("7.2", isolcpus="2-3")
    made.set_property("dedicated.slice", "AllowedCPUs=2-3")
    made.run("systemctl", "start", "dedicated.slice")
    made.write(PARTITION, "root")
    assert "housekeeping" in made.read(PARTITION)
    made.write(PARTITION, "isolated")
    assert made.read(PARTITION) == "isolated"


@older
def test_taking_the_last_cpu_beside_isolcpus_crashes_the_guest(kernel: str) -> None:
    made = guest(kernel, isolcpus="2-3")
    made.set_property("dedicated.slice", "AllowedCPUs=0-1")
    made.run("systemctl", "start", "dedicated.slice")
    with pytest.raises(Crashed):
        made.write(PARTITION, "isolated")


def test_7_2_refuses_to_take_the_last_cpu_beside_isolcpus() -> None:
    made = guest("7.2", isolcpus="2-3")
    made.set_property("dedicated.slice", "AllowedCPUs=0-1")
    made.run("systemctl", "start", "dedicated.slice")
    made.write(PARTITION, "isolated")
    assert "conflicts with housekeeping" in made.read(PARTITION)


def test_5_15_knows_no_isolated_partition() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        partitioned("5.15")
    assert partitioned("5.15", kind="root").read(PARTITION) == "root"


@pytest.mark.parametrize("version", [252, 257, 262])
def test_a_reload_takes_cpuset_from_a_cgroup_that_is_not_systemds(version: int) -> None:
    made = guest("6.12", systemd=version)
    made.write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset")
    made.mkdir("/sys/fs/cgroup/mine")
    made.write("/sys/fs/cgroup/mine/cpuset.cpus", "2-3")
    made.write("/sys/fs/cgroup/mine/cpuset.cpus.partition", "isolated")
    assert effective(made) == "0-1"
    made.daemon_reload()
    assert not made.exists("/sys/fs/cgroup/mine/cpuset.cpus")
    assert effective(made) == "0-3"


@each_kernel
def test_a_slice_of_systemds_survives_a_reload(kernel: str) -> None:
    made = partitioned(kernel)
    made.daemon_reload()
    assert made.read(PARTITION) == "isolated"


def test_a_slice_may_refuse_to_be_stopped() -> None:
    made = partitioned()
    made.save("/run/systemd/system/dedicated.slice", "[Unit]\nRefuseManualStop=yes\n")
    made.run("systemctl", "daemon-reload")
    assert made.run("systemctl", "stop", "dedicated.slice").status == 4
    assert made.read(PARTITION) == "isolated"


def test_stopping_a_slice_kills_what_runs_in_it() -> None:
    made = partitioned()
    made.spawn("worker", "/dedicated.slice/worker.service")
    assert made.run("systemctl", "stop", "dedicated.slice").status == 0
    assert made.tasks.killed == ["worker"]
    assert not made.exists(POOL)


def test_set_property_keeps_its_setting_in_a_drop_in() -> None:
    text = partitioned().read(RUNTIME + "/dedicated.slice.d/50-AllowedCPUs.conf")
    assert text.splitlines()[-3:] == ["[Slice]", "AllowedCPUs=", "AllowedCPUs=2-3"]


def test_systemd_262_makes_partitions_itself_and_only_complains_when_it_fails() -> None:
    made = guest("7.2", isolcpus="2-3")
    made.run("systemctl", "start", "dedicated.slice")
    settings = ("AllowedCPUs=0-1", "CPUSetPartition=isolated")
    done = made.run("systemctl", "set-property", "--runtime", "dedicated.slice", *settings)
    assert done.status == 0
    assert made.systemd is not None
    assert any("conflicts with housekeeping" in line for line in made.systemd.complaints)


@pytest.mark.parametrize(("kernel", "number"), [("6.1", errno.EIO), ("7.2", errno.EPERM)])
def test_managed_interrupts_cannot_be_moved(kernel: str, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        guest(kernel).write("/proc/irq/25/smp_affinity_list", "0-1")
    assert (raised.value.errno, raised.value.filename) == (number, None)


def test_irqbalance_does_at_its_next_scan_what_it_is_told() -> None:
    made = guest()
    assert made.irqbalance is not None
    made.ask(made.irqbalance.socket, "settings cpus 2-3")
    assert made.ask(made.irqbalance.socket, "setup").endswith("BANNED 0")
    made.irqbalance.scan()
    assert made.ask(made.irqbalance.socket, "setup").endswith("BANNED c")
    made.ask(made.irqbalance.socket, "settings cpus 1 3")
    made.irqbalance.scan()
    assert made.ask(made.irqbalance.socket, "setup").endswith("BANNED 2"), "up to the space"


def test_a_missing_file_cannot_be_written() -> None:
    with pytest.raises(FileNotFoundError):
        guest().write("/sys/fs/cgroup/nowhere/cpuset.cpus", "1")


def test_a_stat_file_is_as_proc_5_says_whatever_the_name() -> None:
    made = guest()
    odd = made.spawn("a) S (b", "/system.slice/cron.service")
    text = made.read(f"/proc/{odd.tid}/stat")
    assert text.startswith(f"{odd.tid} (a) S (b) S 1 ")
    assert procfs.stat(text).started == odd.start


@pytest.mark.parametrize(("how", "done"), [("before", False), ("after", True)])
def test_a_process_can_be_killed_at_any_change(how: str, done: bool) -> None:
    made = guest()
    made.kill_at(1, how)
    with pytest.raises(Killed):
        made.save("/run/mdguest/state.json", "{}")
    assert made.exists("/run/mdguest/state.json") == done


def test_a_killed_process_may_leave_half_a_line() -> None:
    made = guest()
    made.append("/run/mdguest/journal", "first")
    made.kill_at(1, "torn")
    with pytest.raises(Killed):
        made.append("/run/mdguest/journal", "\nsecond")
    assert made.read("/run/mdguest/journal") == "first\nse"
