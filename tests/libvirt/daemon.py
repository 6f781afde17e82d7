"""A real libvirtd for the tests, away from any that this machine runs; see ``libvirtd.sh``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdsvc.hook.notes import script_text

QEMUS = ("x86_64", "aarch64", "ppc64", "s390x")
PROGRAMS = (
    *("libvirtd", "virsh", "virt-xml-validate", "xmllint"),
    *(f"qemu-system-{arch}" for arch in QEMUS),
)
SCRIPT = Path(__file__).with_name("libvirtd.sh")
START_SECONDS = 60


def require_programs() -> None:
    """What is missing fails the tests: what did not run has proved nothing."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        command = "`scripts/setup --tests` as root"
        pytest.fail(f"missing: {', '.join(missing)}; run {command}", pytrace=False)


class Libvirtd:
    """A libvirtd that runs, as `virsh` sees it."""

    def __init__(self, directory: Path, pid: int) -> None:
        self._pid = pid
        self.spool = directory / "spool"
        self.status = directory / "run/libvirt/qemu"
        self._socket = directory / "run/libvirt/libvirt-sock"

    @property
    def inside(self) -> list[str]:
        """What to put before a command that is to run where this libvirtd does."""
        (inner,) = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return ["nsenter", "--target", inner, "--mount", "--net", "--pid", "--"]

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self._socket}"

    def virsh(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run these commands one after the other, up to the first that fails."""
        return subprocess.run(
            ["virsh", "--quiet", "--connect", self.uri, "; ".join(commands)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, *commands: str) -> str:
        """What the commands print; all of them work."""
        done = self.virsh(*commands)
        assert (done.returncode, done.stderr.strip()) == (0, "")
        return done.stdout


@contextmanager
def libvirtd() -> Iterator[Libvirtd]:
    """Start one with mdsvc's hook, and end it with all that it started."""
    require_programs()
    if os.geteuid():
        pytest.fail("expected root: libvirtd starts guests as another user", pytrace=False)
    # not tmp_path, which can be too long for the name of a socket
    with tempfile.TemporaryDirectory(prefix="libvirtd-", dir="/tmp") as name:
        directory = Path(name)
        _install_hook(directory)
        with (directory / "messages").open("wb") as messages:
            process = subprocess.Popen(
                [*_IN_NAMESPACES, SCRIPT, name], stdin=subprocess.DEVNULL, stderr=messages
            )
        try:
            yield _ready(process, directory)
        finally:
            process.kill()
            process.wait()


def _install_hook(directory: Path) -> None:
    """It is in /etc/libvirt there; the spool is outside of what is hidden."""
    file = directory / "etc/hooks/qemu.d/mdsvc"
    file.parent.mkdir(parents=True)
    file.write_text(script_text(directory / "spool"))
    file.chmod(0o755)


_IN_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL", "--"),  # end with these tests, however they end
    *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "--"),
)


def _ready(process: subprocess.Popen[bytes], directory: Path) -> Libvirtd:
    """It answers only after it has asked every QEMU of this machine what that can do."""
    daemon, deadline = Libvirtd(directory, process.pid), time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if daemon.virsh("uri").returncode == 0:
            return daemon
        time.sleep(0.1)
    raise AssertionError(f"libvirtd does not answer: {(directory / 'messages').read_text()}")
