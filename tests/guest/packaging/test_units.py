"""The systemd units: systemd takes them, and they make no circle with those of a real guest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.guest.packaging.building import GUEST_TOOLS, ROOT, Built

UNITS = sorted(path.name for path in (GUEST_TOOLS / "systemd").iterdir())
CLOUD_INIT = ROOT / ".cache/cloud-init/lib/systemd/system"

ONESHOT = "\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
OTHERS = {
    # cloud-init from 24.3 on
    "cloud-init-network.service": "[Unit]\nDefaultDependencies=no\nAfter=cloud-init-local.service "
    "systemd-networkd-wait-online.service networking.service\n"
    "Before=network-online.target sysinit.target systemd-user-sessions.service",
    "containerd.service": "[Unit]\nAfter=network.target local-fs.target",
    "crio.service": "[Unit]\nWants=network-online.target\nAfter=network-online.target",
    "docker.service": "[Unit]\nAfter=network-online.target containerd.service\n"
    "Wants=network-online.target containerd.service",
    "kubelet.service": "[Unit]\nWants=network-online.target\nAfter=network-online.target",
    "k3s.service": "[Unit]\nWants=network-online.target\nAfter=network-online.target",
    # Debian's ifupdown and openvswitch-switch
    "networking.service": "[Unit]\nDefaultDependencies=no\nWants=network.target\n"
    "After=local-fs.target network-pre.target systemd-sysctl.service\n"
    "Before=network.target network-online.target",
    "ovs-vswitchd.service": "[Unit]\nAfter=network-pre.target\nBefore=network.target",
    "forwarder.service": "[Unit]\nRequires=dedicated-cpus.target\nAfter=dedicated-cpus.target",
}
"""The order that other packages' units ask for, as far as it could contradict ours."""


@pytest.fixture
def units(tmp_path: Path, built: Built) -> Path:
    """Ours, that start what was built, and those of everything that a guest may have."""
    for name in UNITS:
        text = (GUEST_TOOLS / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/mdguest", str(built.pyz)))
    for path in CLOUD_INIT.glob("cloud-*"):
        text = path.read_text().replace("/usr/bin/cloud-init", "/bin/true")
        (tmp_path / path.name).write_text(text)
    for name, text in OTHERS.items():
        (tmp_path / name).write_text(text + ONESHOT)
    names = " ".join(path.name for path in tmp_path.iterdir())
    (tmp_path / "boot.target").write_text(f"[Unit]\nWants={names} multi-user.target\n")
    return tmp_path


def verify(units: Path, *names: str) -> str:
    """What systemd says of them; in no order that matters."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(units / name for name in names)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    ours = [line for line in lines if any(name in line for name in (*UNITS, "cycle"))]
    return "\n".join(ours)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_it_without_a_warning(name: str, units: Path) -> None:
    assert verify(units, name) == ""


def test_a_boot_with_all_of_them_has_no_ordering_cycle(units: Path) -> None:
    assert CLOUD_INIT.is_dir()
    assert verify(units, "boot.target") == ""


def test_a_cycle_would_be_found(units: Path) -> None:
    network = units / "mdguest-network.service"
    network.write_text(
        network.read_text().replace("\nBefore=", "\nBefore=ovs-vswitchd.service\nBefore=", 1)
    )
    assert "ordering cycle" in verify(units, "boot.target")


def test_a_mistake_would_be_found(units: Path) -> None:
    watch = units / "mdguest-watch.service"
    watch.write_text(watch.read_text().replace("[Service]", "[Service]\nNoSuchSetting=yes"))
    assert "NoSuchSetting" in verify(units, watch.name)


# ---- what the order is for ----


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Section → setting → words, of all lines."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in (GUEST_TOOLS / "systemd" / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            setting, _, words = line.partition("=")
            found.setdefault(section, {}).setdefault(setting, []).extend(words.split())
    return found


def test_services_start_when_the_last_layout_is_in_force() -> None:
    early = unit("mdguest-early.service")
    assert "sysinit.target" in early["Unit"]["Before"]
    assert early["Unit"]["DefaultDependencies"] == ["no"]
    assert early["Install"]["WantedBy"] == ["sysinit.target"]


def test_the_network_unit_is_after_cloud_init_under_both_names_and_before_containers() -> None:
    network = unit("mdguest-network.service")["Unit"]
    assert {"cloud-init.service", "cloud-init-network.service"} <= set(network["After"])
    engines = {"kubelet.service", "containerd.service", "crio.service", "docker.service"}
    assert engines <= set(network["Before"])


def test_a_guest_without_metadata_has_no_failed_unit() -> None:
    assert unit("mdguest-network.service")["Service"]["SuccessExitStatus"] == ["4"]


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_each_service_can_be_switched_off_at_boot_and_names_its_manual(name: str) -> None:
    assert unit(name)["Unit"]["ConditionKernelCommandLine"] == ["!mdguest=off"]
    assert unit(name)["Unit"]["Documentation"] == ["man:mdguest(8)"]


@pytest.mark.parametrize("name", ["mdguest-early.service", "mdguest-network.service"])
def test_no_boot_waits_for_it_forever(name: str) -> None:
    assert 0 < int(unit(name)["Service"]["TimeoutStartSec"][0]) <= 120
