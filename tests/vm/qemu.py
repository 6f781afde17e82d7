"""QEMU for one machine: its command line, and the process."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.agent import Agent
from tests.vm.images import Image
from tests.vm.monitor import Monitor

DISK, CONSOLE, MESSAGES = "disk.qcow2", "console", "messages"
METADATA = "169.254.169.254"
FORWARD = Path(__file__).with_name("forward.py")
INITS = {"systemd": "/sbin/init", "busybox": "/usr/local/lib/vm/init"}

# Without cmpxchg16b: QEMU 7.2 can give wrong flags after it, of which Linux 6.12 mostly died.
# With what DPDK asks for.
CPU = "qemu64,-cx16,+ssse3,+sse4.1,+sse4.2,+popcnt"

CMDLINE = (
    *("console=ttyS0", "root=/dev/vda", "rw", "net.ifnames=0", "mitigations=off"),
    # a kernel that is broken ends at once, rather than giving answers that mean nothing
    *("panic=-1", "oops=panic"),
    *("loglevel=5", "systemd.show_status=0"),
)


@dataclass(frozen=True)
class Hardware:
    """What a machine is made of."""

    image: Image
    cpus: int
    memory: int
    init: str
    drives: tuple[Path, ...]
    network: bool
    metadata_port: int | None
    extra: tuple[str, ...]


def command(hardware: Hardware, directory: Path, cmdline: str) -> list[str]:
    image = hardware.image
    words = (*CMDLINE, f"init={INITS[hardware.init]}", cmdline)
    return [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", CPU),
        *("-smp", str(hardware.cpus), "-m", str(hardware.memory)),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", " ".join(words)),
        *("-chardev", f"file,id=console,append=on,path={_quoted(directory / CONSOLE)}"),
        *("-serial", "chardev:console"),
        *_drive(directory / DISK, "qcow2", "cache=unsafe"),
        *("-device", "virtio-serial", "-device", "virtserialport,chardev=agent,name=vm.agent"),
        *(word for path in hardware.drives for word in _drive(path, "raw", "readonly=on")),
        *(_network(hardware.metadata_port) if hardware.network else ("-nic", "none")),
        *hardware.extra,
    ]


def _drive(path: Path, form: str, more: str) -> tuple[str, str]:
    return ("-drive", f"if=virtio,format={form},{more},file={_quoted(path)}")


def _network(metadata_port: int | None) -> tuple[str, ...]:
    """Restricted: the guest reaches the port of this host that is named, and nothing else."""
    net = "user,id=net,restrict=on,ipv6=off,net=169.254.0.0/16,host=169.254.0.2"
    if metadata_port is not None:
        forward = shlex.join([sys.executable, "-SEs", str(FORWARD), str(metadata_port)])
        net += f",guestfwd=tcp:{METADATA}:80-cmd:{_quoted(forward)}"
    return ("-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile=")


def _quoted(value: str | Path) -> str:
    return str(value).replace(",", ",,")


class Qemu:
    """One that runs; in a directory where its disk is, and its console comes to be."""

    def __init__(
        self, hardware: Hardware, directory: Path, cmdline: str, memory: Path | None = None
    ) -> None:
        self._directory = directory
        incoming = ["-incoming", f"exec:cat {shlex.quote(str(memory))}"] if memory else []
        ends = [socket.socketpair() for _ in range(2)]
        (agent, theirs), (monitor, its) = ends
        self._process = _popen(
            [
                *command(hardware, directory, cmdline),
                *("-chardev", f"socket,id=agent,fd={theirs.fileno()}"),
                *("-chardev", f"socket,id=monitor,fd={its.fileno()}"),
                *("-mon", "chardev=monitor,mode=control"),
                *incoming,
            ],
            directory / MESSAGES,
            [theirs.fileno(), its.fileno()],
        )
        theirs.close()
        its.close()
        self.agent = Agent(agent)
        self.monitor = Monitor(monitor)

    def wait(self, timeout: float) -> None:
        """Until it ends by itself."""
        self._process.wait(timeout)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.agent.close()
        self.monitor.close()

    @property
    def messages(self) -> str:
        return self._read(MESSAGES)

    @property
    def console(self) -> str:
        return self._read(CONSOLE)

    @property
    def end_of_console(self) -> str:
        return "\n".join(self.console.splitlines()[-40:])

    def _read(self, name: str) -> str:
        file = self._directory / name
        return file.read_text(errors="replace") if file.exists() else ""


def _popen(command: Sequence[str], messages: Path, ports: list[int]) -> subprocess.Popen[bytes]:
    with messages.open("wb") as file:
        return subprocess.Popen(
            # it ends with these tests, however they end
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            pass_fds=ports, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
