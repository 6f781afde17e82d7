"""Whoever asked for dedicated CPUs outside the pool is named: before, after, and later on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mdguest import control
from mdguest.cpuset import CpuSet
from mdguest.errors import Refused
from mdguest.layout import Layout
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import SOURCE, isolate, named, plan, problems, state_of, undo, view

each_kernel = pytest.mark.parametrize("kernel", ["5.15", "6.1", "6.12", "7.2"])


def pinned_thread(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.add("ovs-vswitchd.service", "/system.slice")
    leader = made.spawn("ovs-vswitchd", "/system.slice/ovs-vswitchd.service")
    group = "/system.slice/ovs-vswitchd.service"
    made.spawn("pmd-c03/id:7", group, CpuSet.parse("3"), pid=leader.pid)


def service_below_a_slice(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.add("dpdk.service", "/system.slice")
    made.set_property("dpdk.service", "AllowedCPUs=2-3")
    made.spawn("testpmd", "/system.slice/dpdk.service")


def docker(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.add("docker-4e1f.scope", "/system.slice")
    made.set_property("docker-4e1f.scope", "AllowedCPUs=2-3")
    made.spawn("nginx", "/system.slice/docker-4e1f.scope")


def podman(made: FakeGuest) -> None:
    """The runtime sets a cpuset of its own below the scope that systemd gave it."""
    assert made.systemd
    made.systemd.add("machine.slice")
    _delegated(made, "libpod-9a.scope", "/machine.slice", "container")


def crun(made: FakeGuest) -> None:
    """From 1.21 on it has systemd give the scope its cpuset, too, and names that at the kernel."""
    podman(made)
    made.set_property("libpod-9a.scope", "AllowedCPUs=2-3")


def session(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.add("user-1000.slice")
    _delegated(made, "user@1000.service", "/user.slice/user-1000.slice", "app.slice/run-7.scope")


def _delegated(made: FakeGuest, unit: str, parent: str, below: str) -> None:
    assert made.systemd
    owner = made.systemd.add(unit, parent)
    owner.delegated = True
    group = made.tree.make(f"{owner.group}/{below}")
    made.systemd._enable(group.parent)
    made.tree.write_cpus(group, "2-3")
    made.spawn("nginx", group.path)


def affine_unit(made: FakeGuest) -> None:
    assert made.systemd
    text = "[Service]\nExecStart=/usr/bin/vpp\nCPUAffinity=2-3\n"
    made.disk.put("/etc/systemd/system/vpp.service", text)
    made.systemd.add("vpp.service", "/system.slice")
    made.spawn("vpp_main", "/system.slice/vpp.service", CpuSet.parse("2-3"))


CASES = {
    "thread": (pinned_thread, ("ovs-vswitchd.service", "affinity", "3")),
    "service": (service_below_a_slice, ("dpdk.service", "AllowedCPUs=", "2-3")),
    "docker": (docker, ("docker-4e1f.scope", "AllowedCPUs=", "2-3")),
    "podman": (podman, ("libpod-9a.scope", "cpuset.cpus", "2-3")),
    "crun 1.21": (crun, ("libpod-9a.scope", "AllowedCPUs=", "2-3")),
    "session": (session, ("run-7.scope", "AllowedCPUs=", "2-3")),
    "unit": (affine_unit, ("vpp.service", "CPUAffinity=", "2-3")),
}
each_case = pytest.mark.parametrize(("make", "claim"), CASES.values(), ids=CASES)


@each_kernel
@each_case
@pytest.mark.parametrize("mode", ["partition", "fence", "kubernetes"])
def test_they_are_named_before_and_after_and_until_the_undo(
    make: Callable[[FakeGuest], None], claim: tuple[str, str, str], kernel: str, mode: str
) -> None:
    made = guest(kernel)
    make(made)
    assert named(made, mode=mode) == [claim]
    outcome = isolate(made, "2-3", mode=mode)
    assert [found.where for found in outcome.plan.claims] == [claim[0]]
    assert named(made, mode=mode) == [claim]
    assert problems(made, "2-3") == []
    assert state_of(made, "2-3") == "displaced"
    isolate(made, "2-3", mode=mode)
    assert named(made, mode=mode) == [claim], "a second apply forgets nobody"
    undo(made)
    assert state_of(made, "") == "off"


@each_case
def test_what_comes_after_the_isolation_is_named_too(
    make: Callable[[FakeGuest], None], claim: tuple[str, str, str]
) -> None:
    made = guest("7.2")
    isolate(made, "2-3")
    assert named(made) == []
    make(made)
    if claim[1] != "affinity":  # the kernel clips it, or refuses it, and says so to the program
        assert named(made) == [claim]


@each_case
def test_the_pool_itself_and_what_is_ignored_are_not_named(
    make: Callable[[FakeGuest], None], claim: tuple[str, str, str]
) -> None:
    made = guest()
    make(made)
    assert named(made, ignore=f"nothing, {claim[0]}") == []
    assert state_of(made, "2-3", ignore=claim[0]) == "broken", "not applied yet"
    isolate(made, "2-3", ignore=claim[0])
    program = made.spawn("testpmd", "/dedicated.slice/dpdk.service", CpuSet.parse("3"))
    assert state_of(made, "2-3", ignore=claim[0]) == "isolated"
    made.end(program)


@each_case
def test_a_careful_apply_changes_nothing_over_their_heads(
    make: Callable[[FakeGuest], None], claim: tuple[str, str, str]
) -> None:
    made = guest()
    make(made)
    made.count_anew()
    with pytest.raises(Refused, match="not isolated yet") as refused:
        control.apply_layout(made, layout("2-3"), Settings(), lambda _: None, careful=True)
    assert claim[0] in str(refused.value)
    assert "dedicated.slice" in str(refused.value) or "mdguest run" in str(refused.value)
    assert not made.exists("/run/mdguest/journal")
    control.apply_layout(made, layout("2-3"), Settings(), lambda _: None)
    assert state_of(made, "2-3") == "displaced"
    control.apply_layout(made, layout("2-3"), Settings(), lambda _: None, careful=True)


def layout(cpus: str) -> Layout:
    return Layout(CpuSet.parse(cpus), SOURCE)


# ---- who it is, and what mends it ----

PLACES = {
    "a systemd in a container has units of its own": (
        "/system.slice/docker-4e1f.scope/system.slice/ovs-vswitchd.service",
        ("docker-4e1f.scope", "--cgroup-parent=dedicated.slice"),
    ),
    "LXC": (
        "/lxc.payload.web/system.slice/ovs-vswitchd.service",
        ("/lxc.payload.web", "lxc.cgroup.dir = dedicated.slice/NAME"),
    ),
    "nspawn as a service": (
        "/machine.slice/systemd-nspawn@web.service/payload/system.slice/app.service",
        ("systemd-nspawn@web.service", "systemctl edit systemd-nspawn@web.service"),
    ),
    "nspawn": (
        "/machine.slice/machine-web.scope/payload",
        ("machine-web.scope", "systemd-nspawn --slice=dedicated.slice"),
    ),
    "nspawn of systemd 262": (
        "/machine.slice/web.scope/payload",
        ("web.scope", "systemd-nspawn --slice=dedicated.slice"),
    ),
    "libvirt": (
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/libvirt/vcpu0",
        (r"machine-qemu\x2d1\x2dvm.scope", "<partition>/dedicated</partition>"),
    ),
    "a user's service": (
        "/user.slice/user-7.slice/user@7.service/app.slice/dpdk.service",
        ("dpdk.service", "as root"),
    ),
    "a user's systemd": (
        "/user.slice/user-7.slice/user@7.service/init.scope",
        ("user@7.service", "systemctl edit user@7.service"),
    ),
    "rootless podman": (
        "/user.slice/user-7.slice/user@7.service/user.slice/libpod-9a.scope/container",
        ("libpod-9a.scope", "be in dedicated.slice: start the container with --cgroup-parent="),
    ),
    "a session": (
        "/user.slice/user-7.slice/session-3.scope",
        ("session-3.scope", "mdguest run --on 3 -- COMMAND"),
    ),
    "Docker": (
        "/system.slice/docker-4e1f.scope",
        ("docker-4e1f.scope", "--cgroup-parent=dedicated.slice, and without --cpuset-cpus"),
    ),
    "Docker's other driver": ("/docker/4e1f", ("/docker/4e1f", "--cgroup-parent=/dedicated.slice")),
    "Podman without systemd": (
        "/libpod_parent/libpod-9a",
        ("/libpod_parent/libpod-9a", "--cgroup-manager=systemd run --cgroup-parent=dedicated"),
    ),
    "a name with a backslash": (
        r"/system.slice/srv-my\x2ddisk.mount",
        (
            r"srv-my\x2ddisk.mount",
            r"systemctl edit 'srv-my\x2ddisk.mount': [Mount] Slice=dedicated.slice; "
            r"systemctl restart 'srv-my\x2ddisk.mount'",
        ),
    ),
    "Quadlet": (
        "/system.slice/web.service/libpod-payload-9a",
        ("web.service", "systemctl edit web.service: [Service] Slice=dedicated.slice"),
    ),
    "a socket's unit": ("/system.slice/web.socket", ("web.socket", "[Socket] Slice=")),
    "no unit at all": ("/", ("/", "mdguest run")),
    "a template's instance": (
        "/system.slice/system-vpp.slice/vpp@a.service",
        ("vpp@a.service", "systemctl edit vpp@a.service: [Service] Slice=dedicated.slice; systemc"),
    ),
}


@pytest.mark.parametrize(("path", "expected"), PLACES.values(), ids=PLACES)
def test_a_claim_is_named_by_what_its_user_can_change(path: str, expected: tuple[str, str]) -> None:
    made = guest("7.2")
    made.spawn("pmd", path, CpuSet.parse("3"))
    [claim] = plan(made, "2-3").claims
    assert claim.where == expected[0]
    assert expected[1] in claim.remedy
    assert not isolate(made, "2-3").failures
    assert [again.where for again in view(made, "2-3").plan.claims] == [expected[0]]


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("fast.slice", "add fast.slice=2-3 to MDGUEST_EXEMPT"),
        ("system.slice", "give its services Slice=dedicated.slice"),
        ("app-fast.slice", "give its services Slice=dedicated.slice"),
    ],
)
def test_a_slice_with_dedicated_cpus_may_keep_them_or_its_services_move(
    name: str, mend: str
) -> None:
    made = guest("7.2")
    assert made.systemd
    made.systemd.add("app.slice")
    group = made.systemd.add(name).group
    made.set_property(name, "AllowedCPUs=2-3")
    made.spawn("dpdk", f"{group}/dpdk.service")
    [claim] = plan(made, "2-3").claims
    assert (claim.where, claim.remedy) == (name, mend)
    if "EXEMPT" in mend:
        assert plan(made, "2-3", exempt=mend.split()[1]).claims == ()


def test_without_systemd_the_pool_has_its_other_name() -> None:
    made = guest(systemd=None)
    made.spawn("nginx", "/docker/4e1f", CpuSet.parse("3"))
    [claim] = plan(made, "2-3").claims
    assert claim.whose == "the pool's"
    assert "--cgroup-parent=/dedicated," in claim.remedy


def test_a_pod_in_the_wrong_mode_is_told_of_the_right_one() -> None:
    made = guest()
    made.spawn("nginx", "/kubepods.slice/kubepods-pod1.slice/crio-1.scope", CpuSet.parse("3"))
    [claim] = plan(made, "2-3", mode="partition").claims
    assert claim.remedy.startswith("MDGUEST_MODE=kubernetes")


def test_systemds_own_affinity_is_named_by_its_file() -> None:
    made = guest()
    first = made.tasks.find(1)
    first.user = first.mask = CpuSet.parse("0,2")
    [claim] = plan(made, "2-3").claims
    assert (claim.where, claim.threads) == ("init.scope", ("systemd (1)",))
    assert "/etc/systemd/system.conf" in claim.remedy


@pytest.mark.parametrize("name", ["evil\nname", "red\x1b[31m", "bell\a", "\x9b2J"])
def test_a_name_that_would_upset_a_terminal_is_shown_without_that(name: str) -> None:
    made = guest()
    made.spawn(name, "/system.slice/cron.service", CpuSet.parse("3"))
    [claim] = plan(made, "2-3").claims
    assert claim.line.isprintable()


@pytest.mark.parametrize(
    "pattern",
    [
        "pmd one",
        "pmd*",
        "libpod-9a.scope",
        "libpod-*",
        "machine.slice",
        "/machine.slice/*",
        "nobody, pmd one",
    ],
)
def test_who_is_ignored_may_be_named_by_program_unit_or_what_it_is_in(pattern: str) -> None:
    made = guest()
    made.spawn("pmd one", "/machine.slice/libpod-9a.scope", CpuSet.parse("3"))
    assert named(made) == [("libpod-9a.scope", "affinity", "3")]
    assert named(made, ignore=pattern) == []


# ---- CPUAffinity= wherever systemd takes it from ----


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/systemd/system/vpp@.service", "[Service]\nCPUAffinity=2-3\n"),
        ("/etc/systemd/system/vpp@a.service.d/9.conf", "[Service]\n  CPUAffinity = 2-3\n"),
        ("/etc/systemd/system/vpp@.service.d/9.conf", "[Service]\nCPUAffinity=2-3\n"),
        ("/usr/local/lib/systemd/system/vpp@.service", "[Service]\nCPUAffinity=2-3\n"),
        ("/run/systemd/generator/vpp@a.service", "[Service]\nCPUAffinity=2-3\n"),
        ("/etc/systemd/system/service.d/9.conf", "[Service]\nCPUAffinity=2-3\n"),
        ("/run/systemd/system.control/vpp@a.service.d/9.conf", "[Service]\nCPUAffinity=2-3\n"),
    ],
)
def test_an_affinity_is_found_in_each_file_that_systemd_reads(path: str, text: str) -> None:
    made = guest()
    assert made.systemd
    made.disk.put(path, text)
    made.systemd.add("vpp@a.service", "/system.slice", active=False).affinity = "2-3"
    assert named(made) == [("vpp@a.service", "CPUAffinity=", "2-3")]


@pytest.mark.parametrize(
    ("state", "runs", "is_named"),
    [
        ("enabled", False, True),
        ("static", False, True),
        ("disabled", False, False),
        ("masked", False, False),
        ("disabled", True, True),
    ],
)
def test_a_unit_that_nobody_starts_asks_for_nothing(state: str, runs: bool, is_named: bool) -> None:
    made = guest()
    assert made.systemd
    made.disk.put("/etc/systemd/system/vpp.service", "[Service]\nCPUAffinity=2-3\n")
    made.systemd.add("vpp.service", "/system.slice", active=runs).file_state = state
    assert bool(named(made)) == is_named
