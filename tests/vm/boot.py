"""How a guest gets ready: by booting, or, where one like it has booted before, from what that left.

Without KVM a boot takes 15 seconds, and a minute on a busy machine; going on from a file takes two.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.vm import qemu
from tests.vm.agent import GuestError, Silent
from tests.vm.images import locked
from tests.vm.monitor import MonitorError
from tests.vm.qemu import CONSOLE, DISK, Hardware, Qemu

BOOT_SECONDS = 180
MEMORY = "memory"
KEPT = 12  # of 150 MB each


def new_disk(hardware: Hardware, directory: Path) -> None:
    """Only what the guest changes; the image stays as it is."""
    backing = str(hardware.image.disk.resolve())
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing]
    subprocess.run([*command, str(directory / DISK)], check=True, timeout=60)


def boot(hardware: Hardware, directory: Path, cmdline: str) -> Qemu:
    """Start it from the disk in this directory, until it has started all that it does by itself."""
    (directory / CONSOLE).unlink(missing_ok=True)
    machine = Qemu(hardware, directory, cmdline)
    with _ended_on_failure(machine):
        start = time.monotonic()
        _run(machine, ["true"])
        if hardware.init == "systemd":
            left = BOOT_SECONDS - (time.monotonic() - start)
            _run(machine, ["systemctl", "is-system-running", "--wait"], left, check=False)
    return machine


def go_on(hardware: Hardware, directory: Path, cmdline: str) -> Qemu:
    """A new machine in this directory, as it is after a boot."""
    booted = _booted(hardware, cmdline)
    try:
        for name in (DISK, CONSOLE):
            shutil.copy(booted / name, directory)
        machine = Qemu(hardware, directory, cmdline, booted / MEMORY)
        with _ended_on_failure(machine):
            machine.monitor.resume()
            _run(machine, ["date", "--set", f"@{time.time():.3f}"])
    except (GuestError, OSError):
        shutil.rmtree(booted, ignore_errors=True)  # whatever is wrong with it, the next one is new
        raise
    return machine


@contextmanager
def _ended_on_failure(machine: Qemu) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        machine.end()
        if isinstance(error, Silent | MonitorError):
            text = f"{error} {machine.messages}\n{machine.end_of_console}"
            raise GuestError(text) from error
        raise


def _run(
    machine: Qemu, argv: list[str], timeout: float = BOOT_SECONDS, *, check: bool = True
) -> None:
    answer = machine.agent.ask("run", timeout, argv=argv, stdin="", seconds=timeout)
    if check and answer["code"] != 0:
        raise GuestError(f"{' '.join(argv)}: {answer}")


def _booted(hardware: Hardware, cmdline: str) -> Path:
    """Where such a machine is kept; if there is none, one is booted now."""
    kept = hardware.image.directory / "booted"
    kept.mkdir(exist_ok=True)
    booted = kept / _fingerprint(hardware, cmdline)
    with locked(kept / f"{booted.name}.lock"):
        if not booted.exists():
            with tempfile.TemporaryDirectory(dir=kept, prefix="new-") as name:
                new = Path(name, "booted")
                new.mkdir()
                _make(hardware, new, cmdline)
                new.rename(booted)
            _forget_old(kept)
    os.utime(booted)
    return booted


def _make(hardware: Hardware, directory: Path, cmdline: str) -> None:
    new_disk(hardware, directory)
    machine = boot(hardware, directory, cmdline)
    with _ended_on_failure(machine):
        if hardware.init == "systemd":
            _run(machine, ["systemctl", "is-system-running"])  # nothing has failed, for all to have
        machine.monitor.save(directory / MEMORY)
    machine.end()


def _fingerprint(hardware: Hardware, cmdline: str) -> str:
    """The same for machines that differ only in what QEMU does on this host."""
    command = qemu.command(replace(hardware, metadata_port=None), Path(), cmdline)
    return hashlib.sha256("\0".join([_version(), *command]).encode()).hexdigest()[:16]


@functools.cache
def _version() -> str:
    command = ["qemu-system-x86_64", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _forget_old(kept: Path) -> None:
    booted = [path for path in kept.iterdir() if (path / MEMORY).exists()]
    booted.sort(key=lambda path: path.stat().st_mtime)
    for path in booted[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
