"""The Debian package in a guest that runs: installed, booted, upgraded, removed, purged.

Each step is a fixture that goes on from the one before, and keeps what it saw.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.guest.packaging.building import ROOT, build, copy_of_the_checkout
from tests.vm.machine import Machine
from tests.vm.snapshot import Snapshot
from tests.vm.tool import INSIDE, PROGRAMS, SLOW, until

FIRST = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'grep Cpus_allowed_list /proc/self/status >/var/first'
[Install]
WantedBy=multi-user.target
"""
"""An ordinary service that says where it may run."""

UNITS = ("mdguest-early", "mdguest-network", "mdguest-watch")
PARTITION = "/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition"
LOOK_FOR_TRACES = (
    "find /etc /run /usr /var -xdev -name '*mdguest*' ! -path '/var/lib/dpkg/*' ! -name '*.deb'"
    "; find /run/systemd /etc/systemd -name '*dedicated*'"
)


class Seen(NamedTuple):
    """One look, after a step."""

    state: str
    problems: list[str]
    partition: str
    forwarder: str
    """Its process and CPUs."""
    started: dict[str, str]
    """Which run of each unit it is: '' for one that does not run."""
    failed: str


class Packaged:
    """A guest with a package manager at work."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def run(self, command: str, *, check: bool = True) -> str:
        return self.machine.run(command, check=check, timeout=SLOW).stdout.strip()

    def dpkg(self, arguments: str) -> str:
        return self.run(f"DEBIAN_FRONTEND=noninteractive dpkg {arguments} 2>&1")

    def is_forwarding(self) -> bool:
        """Whether `mdguest run` has become the program."""
        pid = self.run("systemctl show -P MainPID forwarder")
        return self.run(f"cat /proc/{pid}/comm", check=False) == "sleep"

    def values(self) -> dict[str, str]:
        return Snapshot.read(self.run(f"python3 {PROGRAMS}/look.py")).values

    def seen(self) -> Seen:
        status = json.loads(self.run("mdguest status --json"))
        held = {subset["name"]: subset["cpus"] for subset in status["subsets"]}
        pid = self.run("systemctl show -P MainPID forwarder")
        return Seen(
            state=status["state"],
            problems=status["problems"],
            partition=self.run(f"cat {PARTITION}", check=False),
            forwarder=f"{pid} on {held.get('forwarder')}",
            started={unit: self.run(f"systemctl show -P InvocationID {unit}") for unit in UNITS},
            failed=self.run("systemctl --failed --no-legend --plain"),
        )


def forwarder() -> str:
    """The service of docs/guest.md, with another program."""
    text = (ROOT / "docs/guest.md").read_text()
    [unit] = re.findall(r"```ini\n# \S+/forwarder.service\n(.*?)```", text, re.DOTALL)
    assert unit.count("/usr/bin/dpdk-testpmd -l {lcores} -- --forward-mode=io") == 1
    return re.sub(r"/usr/bin/dpdk-testpmd .*", "/bin/sh -c 'exec sleep inf' {lcores}", unit)


@pytest.fixture(scope="module")
def guest(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packaged]:
    """One with both packages at hand, and two services that are to start at boot."""
    older = copy_of_the_checkout(tmp_path_factory.mktemp("older"), version="0.0.1")
    packages = {"old": build(older / "dist", older), "new": build(ROOT / "dist")}
    with Machine(suite, network=True) as machine:
        for name, built in packages.items():
            machine.put(f"/var/{name}.deb", built.deb.read_bytes())
        machine.put(f"{PROGRAMS}/look.py", (INSIDE / "look.py").read_bytes())
        machine.put("/etc/layout", "2-3")
        machine.put("/etc/systemd/system/forwarder.service", forwarder())
        machine.put("/etc/systemd/system/first.service", FIRST)
        machine.run("systemctl daemon-reload; systemctl enable first forwarder")
        yield Packaged(machine)


class Installed(NamedTuple):
    """After the installation, and after the settings named a source."""

    before: dict[str, str]
    without_source: Seen
    refused: str
    with_source: Seen


@pytest.fixture(scope="module")
def installed(guest: Packaged) -> Installed:
    before = guest.values()
    guest.dpkg("--install /var/old.deb")
    without_source = guest.seen()
    refused = guest.run("systemctl start forwarder 2>&1", check=False)
    guest.run("echo MDGUEST_SOURCE=file:/etc/layout >>/etc/default/mdguest")
    guest.run("systemctl restart mdguest-network mdguest-watch && systemctl start forwarder")
    until(guest.is_forwarding)
    return Installed(before, without_source, refused, guest.seen())


def test_a_guest_without_metadata_is_left_as_it_is(installed: Installed) -> None:
    assert installed.without_source.state == "off"
    assert installed.without_source.failed == ""
    assert installed.without_source.partition == ""


def test_a_service_that_needs_dedicated_cpus_does_not_start_without(installed: Installed) -> None:
    assert "dependency" in installed.refused
    assert installed.without_source.forwarder == "0 on None"


def test_once_there_is_a_source_the_cpus_are_isolated_and_the_service_has_them(
    installed: Installed,
) -> None:
    seen = installed.with_source
    assert (seen.state, seen.partition, seen.failed) == ("isolated", "isolated", "")
    assert seen.problems == []
    assert seen.forwarder.endswith(" on 2-3")


@pytest.fixture(scope="module")
def booted(guest: Packaged, installed: Installed) -> Seen:
    guest.machine.reboot()
    until(guest.is_forwarding)
    return guest.seen()


def test_ordinary_services_start_on_the_other_cpus(guest: Packaged, booted: Seen) -> None:
    assert guest.machine.get("/var/first").split() == [b"Cpus_allowed_list:", b"0-1"]


def test_after_a_boot_all_is_as_before_it(booted: Seen) -> None:
    assert (booted.state, booted.partition, booted.failed) == ("isolated", "isolated", "")
    assert booted.problems == []
    assert booted.forwarder.endswith(" on 2-3")
    assert all(booted.started.values())


@pytest.fixture(scope="module")
def healed(guest: Packaged, booted: Seen) -> Seen:
    """Somebody breaks what the service must mend from inside its sandbox."""
    guest.run(f"echo member >{PARTITION}; echo f >/proc/irq/default_smp_affinity")
    guest.run("systemctl set-property --runtime dedicated.slice AllowedCPUs=3")
    until(lambda: not guest.machine.run("mdguest verify", check=False, timeout=SLOW).code)
    return guest.seen()


def test_the_service_can_mend_what_others_change(healed: Seen, booted: Seen) -> None:
    assert (healed.state, healed.partition) == ("isolated", "isolated")
    assert healed.forwarder == booted.forwarder


@pytest.fixture(scope="module")
def upgraded(guest: Packaged, healed: Seen) -> tuple[str, Seen]:
    said = guest.dpkg("--install /var/new.deb")
    until(lambda: not guest.machine.run("mdguest verify", check=False, timeout=SLOW).code)
    return said, guest.seen()


def test_an_upgrade_keeps_the_isolation_and_stops_no_program(
    upgraded: tuple[str, Seen], healed: Seen
) -> None:
    said, seen = upgraded
    assert re.search(r"over \(0\.0\.1\)", said)
    assert (seen.partition, seen.failed, seen.problems) == ("isolated", "", [])
    assert seen.forwarder == healed.forwarder


def test_an_upgrade_starts_the_watch_anew_and_nothing_else(
    upgraded: tuple[str, Seen], healed: Seen
) -> None:
    changed = {unit for unit in UNITS if upgraded[1].started[unit] != healed.started[unit]}
    assert changed == {"mdguest-watch"}


class Removed(NamedTuple):
    """After the removal, and when the program had ended."""

    said: str
    program: str
    values: dict[str, str]
    running: str
    traces: str


@pytest.fixture(scope="module")
def removed(guest: Packaged, upgraded: tuple[str, Seen]) -> Removed:
    guest.run("systemctl stop forwarder")
    said = guest.dpkg("--remove mdguest")
    return Removed(
        said,
        guest.run("command -v mdguest", check=False),
        guest.values(),
        guest.run(
            "systemctl list-units --state=loaded --plain --no-legend 'mdguest*' 'dedicated*'"
        ),
        guest.run(LOOK_FOR_TRACES, check=False),
    )


def test_a_removal_puts_back_every_setting(removed: Removed, installed: Installed) -> None:
    assert re.search(r"(?m)^\d+ settings put back$", removed.said)
    assert removed.values == installed.before


def test_a_removal_leaves_no_unit_and_no_program(removed: Removed) -> None:
    assert (removed.running, removed.program) == ("", "")


def test_a_removal_keeps_the_settings_file_for_another_day(removed: Removed) -> None:
    assert "/etc/default/mdguest" in removed.traces.split()


def test_a_purge_leaves_nothing(guest: Packaged, removed: Removed) -> None:
    guest.dpkg("--purge mdguest")
    assert guest.run(LOOK_FOR_TRACES, check=False) == ""
