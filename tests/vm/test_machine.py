"""The machines do what the tests of the guest's tools rely on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tests.vm.agent import GuestError
from tests.vm.drives import config_drive
from tests.vm.machine import Machine
from tests.vm.tool import until

# Polls two ports that lead nowhere, until its input ends: a second after it has begun.
TESTPMD = (
    "(timeout 60 sh -c 'until grep -qs Press /tmp/out; do sleep 0.2; done'; sleep 1) |"
    " stdbuf -oL dpdk-testpmd -l 2-3 --no-huge -m 64 --no-pci --no-telemetry"
    " --vdev net_null0 --vdev net_null1 -- --total-num-mbufs=2048 --auto-start | tee /tmp/out"
)
ASK = (
    "import sys, urllib.request as r;"
    "o = r.build_opener(r.ProxyHandler({}));"
    "print(o.open('http://169.254.169.254' + sys.argv[1], timeout=60).read().decode())"
)


@pytest.fixture(scope="module")
def shared_vm(suite: str) -> Iterator[Machine]:
    """One guest for most of these tests, which leave it as they found it."""
    with Machine(suite) as machine:
        yield machine


# ---- commands and files ----


def test_a_guest_has_its_cpus_and_a_command_its_exit_code(shared_vm: Machine) -> None:
    assert shared_vm.run("nproc").stdout == "4\n"
    assert shared_vm.run("echo out; echo err >&2; exit 3", check=False) == (3, "out\n", "err\n")
    with pytest.raises(GuestError, match="code=3"):
        shared_vm.run("exit 3")


def test_a_command_reads_what_it_is_given(shared_vm: Machine) -> None:
    assert shared_vm.run(["tr", "a-z", "A-Z"], stdin="größe\n").stdout == "GRößE\n"


def test_a_command_that_takes_too_long_is_ended(shared_vm: Machine) -> None:
    with pytest.raises(GuestError, match="more than 1 s"):
        shared_vm.run("echo so far; sleep 1234", timeout=1)
    assert shared_vm.run(["pgrep", "--full", "sleep 1234"], check=False).code == 1


def test_a_spawned_command_goes_on_until_it_is_stopped(shared_vm: Machine) -> None:
    process = shared_vm.spawn("echo begun; while :; do sleep 0.1; done")
    until(lambda: process.output == "begun\n")
    assert shared_vm.poll(process.pid) is None
    assert process.stop() == -15
    assert shared_vm.spawn("exit 4").wait() == 4


def test_a_file_comes_back_as_it_was_put(shared_vm: Machine) -> None:
    data = bytes(range(256)) * 4000
    shared_vm.put("/srv/new/file", data, mode=0o750)
    assert shared_vm.get("/srv/new/file") == data
    assert shared_vm.run("stat -c %a /srv/new/file").stdout == "750\n"
    with pytest.raises(GuestError, match="FileNotFoundError"):
        shared_vm.get("/srv/none")


# ---- what the guest's tools work with ----


def test_systemd_runs_and_has_the_cpuset_controller(shared_vm: Machine) -> None:
    assert shared_vm.run("systemctl is-system-running").stdout == "running\n"
    assert "cpuset" in shared_vm.run("cat /sys/fs/cgroup/cgroup.controllers").stdout.split()
    assert shared_vm.run("cat /proc/self/cgroup").stdout == "0::/system.slice/vm-agent.service\n"


def test_the_agent_outlives_isolation_and_daemon_reexec(shared_vm: Machine) -> None:
    partition = "/sys/fs/cgroup/vmtest.slice/cpuset.cpus.partition"
    shared_vm.put("/run/systemd/system/vmtest.slice", "[Slice]\nAllowedCPUs=2-3\n")
    shared_vm.run(f"systemctl start vmtest.slice && echo isolated >{partition}")
    shared_vm.run("systemctl daemon-reexec")
    assert shared_vm.run(f"cat {partition}").stdout == "isolated\n"
    assert shared_vm.run("nproc").stdout == "2\n"
    shared_vm.run("systemctl stop vmtest.slice; rm /run/systemd/system/vmtest.slice")
    shared_vm.run("systemctl daemon-reload")
    assert shared_vm.run("nproc").stdout == "4\n"


def test_the_clock_is_right(shared_vm: Machine) -> None:
    now = float(shared_vm.run("date +%s.%N").stdout)
    assert abs(time.time() - now) < 30


def test_a_cpu_can_be_taken_offline(shared_vm: Machine) -> None:
    shared_vm.run("echo 0 >/sys/devices/system/cpu/cpu3/online")
    assert shared_vm.run("cat /sys/devices/system/cpu/online").stdout == "0-2\n"
    shared_vm.run("echo 1 >/sys/devices/system/cpu/cpu3/online")


def test_irqbalance_starts(shared_vm: Machine) -> None:
    shared_vm.run("systemctl start irqbalance && systemctl is-active irqbalance")
    shared_vm.run("systemctl stop irqbalance")


def test_testpmd_forwards_on_the_cpus_it_is_given(shared_vm: Machine) -> None:
    done = shared_vm.run(TESTPMD, timeout=120)
    forwarded = re.findall(r"RX-packets: (\d+)", done.stdout)
    assert len(forwarded) == 3, done  # of two ports, and of both
    assert all(int(number) > 0 for number in forwarded)


# ---- how it is started ----


def test_the_command_line_is_the_tests_and_may_change(suite: str) -> None:
    with Machine(suite, cmdline="isolcpus=2-3") as vm:
        assert vm.run("cat /sys/devices/system/cpu/isolated").stdout == "2-3\n"
        vm.put("/srv/kept", "yes")
        vm.reboot(cmdline="isolcpus=1")
        assert vm.run("cat /sys/devices/system/cpu/isolated").stdout == "1\n"
        assert vm.get("/srv/kept") == b"yes"


def test_two_machines_run_at_once_and_share_nothing(shared_vm: Machine, suite: str) -> None:
    with Machine(suite) as other:
        other.put("/srv/mine", "")
        assert shared_vm.run("test -e /srv/mine", check=False).code == 1


def test_a_kernel_that_panics_fails_the_test_with_its_console(suite: str) -> None:
    with Machine(suite, init="busybox", network=True) as vm:
        with pytest.raises(GuestError):
            vm.run("echo c >/proc/sysrq-trigger", timeout=30)
        assert "sysrq triggered crash" in vm.console


def test_busybox_can_be_init(suite: str, tmp_path: Path) -> None:
    with serving() as port, Machine(suite, init="busybox", metadata_port=port) as vm:
        assert vm.run("cat /proc/1/comm").stdout == "init\n"
        assert vm.run("pidof systemd", check=False).code == 1
        assert "cpuset" in vm.run("cat /sys/fs/cgroup/cgroup.controllers").stdout
        assert vm.run(["python3", "-c", ASK, "/path"]).stdout == "/path\n"
        vm.reboot()
        assert vm.run("cat /proc/self/cgroup").stdout == "0::/\n"


# ---- metadata ----


class Echo(BaseHTTPRequestHandler):
    """Answers with the path; late, if that says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(3 if self.path == "/late" else 0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    @override
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass  # this is not the test's output


@contextmanager
def serving() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_metadata_is_read_from_the_hosts_port_or_a_config_drive(suite: str, tmp_path: Path) -> None:
    files = {"openstack/latest/meta_data.json": b"{}\n", "ec2/latest/meta-data.json": b"[]\n"}
    drives = [config_drive(files, tmp_path / form, form) for form in ("iso9660", "vfat")]
    with serving() as port, Machine(suite, drives=drives, metadata_port=port) as vm:
        answers_over_http(vm, port)
        for device, form in (("/dev/vdb", "iso9660"), ("/dev/vdc", "vfat")):
            found = vm.run(f"blkid -o value -s LABEL -s TYPE {device}").stdout.split()
            assert found == ["config-2", form]
            vm.run(f"mount -o ro {device} /mnt")
            assert vm.get("/mnt/openstack/latest/meta_data.json") == b"{}\n"
            vm.run("umount /mnt")
        assert vm.run("blkid --label config-2").stdout.strip() in {"/dev/vdb", "/dev/vdc"}


def answers_over_http(vm: Machine, port: int) -> None:
    waiting = vm.spawn(["python3", "-c", ASK, "/late"])
    for number in range(3):
        assert vm.run(["python3", "-c", ASK, f"/{number}"]).stdout == f"/{number}\n"
    assert waiting.wait() == 0
    assert waiting.output == "/late\n"
    command = (
        "timeout 5 python3 -c 'import socket; socket.create_connection((\"169.254.0.2\", 80))'"
    )
    assert vm.run(command, check=False).code, "the guest reaches this host's other ports"
