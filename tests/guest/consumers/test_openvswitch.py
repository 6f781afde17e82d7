"""Open vSwitch's own database and ovs-vsctl take the masks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mdguest.cpuset import CpuSet
from mdguest.render import render

from tests.guest.render.splits import split

OVS = Path(__file__).parents[3] / ".cache/openvswitch-switch/usr"
Shell = Callable[[str], str]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Runs a script where ovs-vsctl finds an empty database."""
    database, socket = tmp_path / "conf.db", tmp_path / "db.sock"
    schema = OVS / "share/openvswitch/vswitch.ovsschema"
    subprocess.run(["ovsdb-tool", "create", database, schema], check=True)
    server = subprocess.Popen(
        ["ovsdb-server", database, f"--remote=punix:{socket}", "-vconsole:warn"],
        env={**os.environ, "OVS_RUNDIR": str(tmp_path)},
    )

    def run(script: str) -> str:
        # It would look for the database at a fixed place, and wait for a switch to follow.
        named = script.replace(
            "ovs-vsctl ", f"ovs-vsctl --no-wait --timeout=20 --db=unix:{socket} "
        )
        environment = {**os.environ, "PATH": f"{OVS}/bin:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", "-euc", named], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        while not socket.exists():
            assert server.poll() is None
            time.sleep(0.02)
        run("ovs-vsctl --no-wait init")
        yield run
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize(
    ("dedicated", "control", "polling"),
    [("2-3", "2", "3"), ("1,65-127", "1", "65-127"), ("3", "3", "3")],
)
def test_polling_threads_and_all_others_share_the_dedicated_cpus(
    dedicated: str, control: str, polling: str, shell: Shell
) -> None:
    script = render("ovs", split(dedicated, "0"))
    assert shell(script) == ""

    def mask(name: str) -> CpuSet:
        text = shell(f"ovs-vsctl get Open_vSwitch . other_config:{name}")
        return CpuSet(int(text.strip('"'), 16))

    assert str(mask("pmd-cpu-mask")) == polling
    assert str(mask("dpdk-lcore-mask")) == control
    assert f"CPUAffinity={control}\n" in script
    [undo] = [line for line in script.splitlines() if line.startswith("# Undo:")]
    shell(undo.partition(":")[2].strip())
    assert shell("ovs-vsctl get Open_vSwitch . other_config") == "{}"


def test_a_control_cpu_that_dpdk_has_no_lcore_for_is_left_to_the_service(shell: Shell) -> None:
    shell("ovs-vsctl set Open_vSwitch . other_config:dpdk-lcore-mask=0x2")
    script = render("ovs", split("130-199", "0-129"))
    shell(script)
    assert "CPUAffinity=130\n" in script
    config = shell("ovs-vsctl get Open_vSwitch . other_config")
    assert "dpdk-lcore-mask" not in config
    mask = shell("ovs-vsctl get Open_vSwitch . other_config:pmd-cpu-mask").strip('"')
    assert str(CpuSet(int(mask, 16))) == "131-199"
    [undo] = [line for line in script.splitlines() if line.startswith("# Undo:")]
    shell(undo.partition(":")[2].strip())
    assert shell("ovs-vsctl get Open_vSwitch . other_config") == "{}"
