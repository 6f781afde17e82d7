"""Real Debian guests in QEMU, without KVM: what happens to CPUs there happens in a real kernel.

    with Machine(cpus=4, cmdline="isolcpus=2-3") as vm:  # its own disk; all is started
        vm.put("/usr/bin/mdguest", data, mode=0o755)
        assert vm.run("nproc").stdout.strip() == "2"     # a string is for sh; must succeed
        assert vm.run(["false"], check=False).code == 1  # code, stdout, stderr
        hog = vm.spawn("while :; do :; done")            # goes on in the background
        hog.stop()
        vm.reboot(cmdline="")                            # the same disk, another command line

Also Machine("bookworm" | "trixie" | "sid", init="systemd" | "busybox", memory=512, drives=[path]);
network=True: eth0, which reaches nothing; metadata_port=8080: eth0, and 169.254.169.254:80 there is
that port of this host's loopback, which may be opened later; extra=["-numa", ...]: for QEMU as it
is. And vm.get(path), vm.console.

The first machine of a kind boots, and the next ones go on from there (boot.py), with the clock set;
one with drives boots each time. A real boot of what a test has installed is vm.reboot().
Commands run in vm-agent.service, below system.slice; with busybox in the root of the cgroups, where
no controller is handed down yet. irqbalance is installed and not started. What a test does to the
guest is gone with the machine. A kernel that panics or hangs while it starts is started again; when
it does so later, the test fails. A machine ends with the thread that started it.
"""

from __future__ import annotations

import base64
import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from tests.vm import boot, images
from tests.vm.agent import GuestError, Silent
from tests.vm.qemu import Hardware, Qemu

SHUTDOWN_SECONDS = 60
ATTEMPTS = 3
GRACE_SECONDS = 20  # for the answer to arrive, beyond what the command may take


class Result(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class Machine:
    """One guest; a context manager. The module says what it can do."""

    def __init__(
        self,
        suite: str = "bookworm",
        *,
        cpus: int = 4,
        memory: int = 512,
        cmdline: str = "",
        init: Literal["systemd", "busybox"] = "systemd",
        drives: Iterable[Path] = (),
        network: bool = False,
        metadata_port: int | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        network = network or metadata_port is not None
        image = images.image(suite)
        self._hardware = Hardware(
            image, cpus, memory, init, tuple(drives), network, metadata_port, tuple(extra)
        )
        self._cmdline = cmdline
        self._temporary = tempfile.TemporaryDirectory(prefix="vm-", dir="/tmp")
        self._directory = Path(self._temporary.name)
        self._in_use = images.in_use(image)
        self._running: Qemu | None = None
        self.failed_boots: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._start(fresh=True)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error and self._running:
            error.add_note(f"the guest's console ends with:\n{self._running.end_of_console}")
        self._end()

    # ---- what a test does with it ----

    def run(
        self, command: str | Sequence[str], *, check: bool = True, timeout: float = 60,
        stdin: str = "",
    ) -> Result:  # fmt: skip
        """Run it to its end; a string is for sh."""
        answer = self._ask("run", timeout, argv=_argv(command), stdin=stdin, seconds=timeout)
        result = Result(answer["code"], answer["stdout"], answer["stderr"])
        if result.code is None:
            raise GuestError(f"{command!r} took more than {timeout} s; {result}")
        if check and result.code:
            raise GuestError(f"{command!r} failed: {result}")
        return result

    def spawn(self, command: str | Sequence[str]) -> Background:
        """Start it, and let it go on."""
        answer = self._ask("spawn", 0, argv=_argv(command))
        return Background(self, answer["pid"], answer["output"])

    def poll(self, pid: int) -> int | None:
        """The exit code of what was spawned, once it has ended."""
        code: int | None = self._ask("poll", 0, pid=pid)["code"]
        return code

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        content = data.encode() if isinstance(data, str) else data
        self._ask("put", 60, path=path, data=base64.b64encode(content).decode(), mode=mode)

    def get(self, path: str) -> bytes:
        return base64.b64decode(self._ask("get", 60, path=path)["data"])

    def reboot(self, cmdline: str | None = None) -> None:
        """Shut down, and start from the same disk; with this command line, if one is given."""
        machine = self._require()
        busybox = self._hardware.init == "busybox"
        argv = ["/bin/busybox", "reboot"] if busybox else ["systemctl", "reboot"]
        machine.agent.send("run", argv=argv, stdin="", seconds=SHUTDOWN_SECONDS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            machine.wait(SHUTDOWN_SECONDS)
        machine.end()
        self._cmdline = self._cmdline if cmdline is None else cmdline
        self._start(fresh=False)

    @property
    def console(self) -> str:
        """What the kernel, and init, have written since the last boot."""
        return self._require().console

    # ---- how it comes and goes ----

    def _start(self, *, fresh: bool) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._running = self._started(fresh=fresh)
            except GuestError as error:
                self.failed_boots.append(str(error))
            else:
                return
        failures = "\n\n".join(self.failed_boots)
        raise GuestError(f"the guest did not start, {ATTEMPTS} times:\n{failures}")

    def _started(self, *, fresh: bool) -> Qemu:
        if fresh and not self._hardware.drives:  # these may differ each time
            return boot.go_on(self._hardware, self._directory, self._cmdline)
        if fresh:
            boot.new_disk(self._hardware, self._directory)
        return boot.boot(self._hardware, self._directory, self._cmdline)

    def _end(self) -> None:
        if self._running:
            self._running.end()
        self._running = None
        self._in_use.close()
        self._temporary.cleanup()

    def _ask(self, do: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        machine = self._require()
        try:
            return machine.agent.ask(do, timeout + GRACE_SECONDS, **arguments)
        except Silent as error:
            said = f"{error} {machine.messages}\nits console ends with:\n{machine.end_of_console}"
            raise Silent(f"{do} {arguments.get('argv', '')}: {said}") from error

    def _require(self) -> Qemu:
        assert self._running, "the machine does not run"
        return self._running


class Background(NamedTuple):
    """A command that goes on in the guest."""

    machine: Machine
    pid: int
    path: str

    @property
    def output(self) -> str:
        """What it has written so far to both of its outputs."""
        return self.machine.get(self.path).decode(errors="replace")

    def wait(self, timeout: float = 180) -> int:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if (code := self.machine.poll(self.pid)) is not None:
                return code
            time.sleep(0.1)
        raise GuestError(f"process {self.pid} still runs after {timeout} s: {self.output}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to it and its children; its exit code."""
        self.machine.run(f"kill -{number.value} -{self.pid}", check=False)
        return self.wait()


def _argv(command: str | Sequence[str]) -> list[str]:
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
