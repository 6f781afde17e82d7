"""Builds the disks that the guests of these tests start from: `python3 -m tests.vm.images SUITE`.
With `--there` it only says, by its exit status, whether that is done.

Debian packages and nothing mounted: mmdebstrap makes a directory, mke2fs a disk of it. An image is
kept until one of the files that make it changes, and its packages for the next one. Only the
standard library, so that scripts/setup can call it before there is a virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tests.vm import initrd

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "vm"
PROGRAMS = ("mmdebstrap", "mke2fs")
DISK_SIZE = "2G"  # sparse
LONGEST_BUILD = 1200

INCLUDE = (
    *("busybox-static", "crun", "dbus", "iproute2", "irqbalance", "kmod", "mount", "passwd"),
    *("podman", "procps", "python3", "systemd", "systemd-container", "systemd-sysv", "udev"),
    "util-linux",
)
SUITES = ("bookworm", "trixie", "sid")
KERNELS = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")  # the second from Debian 14 on
LEFT_OUT = ("doc", "info", "locale", "man")


@dataclass(frozen=True)
class Image:
    """The files to start a guest from; none of them is ever written to."""

    suite: str
    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "disk.img"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"


def image(suite: str) -> Image:
    """The image of this suite, which is built first if there is none, or none of these inputs."""
    wanted = image_of(suite)
    kept = wanted.directory.parent
    kept.mkdir(parents=True, exist_ok=True)
    with locked(kept / "lock"):
        if not wanted.directory.exists():
            build(wanted)
    return wanted


def image_of(suite: str) -> Image:
    """It may not be there yet."""
    if suite not in SUITES:
        raise ValueError(f"expected one of {', '.join(SUITES)}, got {suite!r}")
    return Image(suite, CACHE / suite / fingerprint(suite))


def fingerprint(suite: str) -> str:
    digest = hashlib.sha256(suite.encode())
    sources = [Path(__file__), Path(initrd.__file__), *sorted((HERE / "guest").rglob("*"))]
    for file in sources:
        if file.is_file():
            digest.update(f"{file.relative_to(HERE)} {file.stat().st_mode:o}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One of several test processes builds, and the others wait for it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(wanted: Image) -> None:
    require(PROGRAMS)
    earlier = [path for path in wanted.directory.parent.iterdir() if path.is_dir()]
    for path in CACHE.glob(f"{wanted.suite}-*"):
        shutil.rmtree(path)  # of a build that was killed
    with tempfile.TemporaryDirectory(prefix=f"{wanted.suite}-", dir=CACHE) as name:
        root, new = Path(name, "root"), Path(name, "image")
        new.mkdir()
        unpack(wanted.suite, root)
        [kernel] = [path for place in KERNELS for path in root.glob(place)]
        shutil.copy(kernel, new / "vmlinuz")
        initrd.write(new / "initrd", root, HERE / "guest/initrd-init")
        make_disk(new / "disk.img", root)
        new.rename(wanted.directory)
    for path in earlier:
        remove_unless_in_use(path)


def in_use(wanted: Image) -> BinaryIO:
    """Keep it, even if there is a newer one, for as long as this file is open."""
    file = wanted.kernel.open("rb")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def remove_unless_in_use(directory: Path) -> None:
    with suppress(BlockingIOError), (directory / "vmlinuz").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)


def require(programs: tuple[str, ...]) -> None:
    missing = [name for name in programs if not shutil.which(name)]
    if missing or os.geteuid():
        reason = f"missing: {', '.join(missing)}" if missing else "expected root"
        raise RuntimeError(f"{reason}; run `scripts/setup --tests` as root")


def unpack(suite: str, root: Path) -> None:
    packages = CACHE / "packages" / suite
    packages.mkdir(parents=True, exist_ok=True)
    archives = "$1/var/cache/apt/archives"
    customize = f"'{HERE / 'guest/customize'}' \"$1\" '{packages}'"
    command = [
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--skip=essential/unlink"),
        f"--include={','.join(INCLUDE)}",
        # a mirror may lag behind
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        f'--setup-hook=mkdir -p "{archives}" && cp -l "{packages}"/*.deb "{archives}" || :',
        f"--customize-hook={customize}",
        *(suite, str(root), *mirror()),
    ]
    run(command)


def mirror() -> list[str]:
    """Where this machine has its own packages from; if that is unknown, mmdebstrap knows one."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
         "Label: Debian"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return targets.stdout.split()[:1]


def make_disk(disk: Path, root: Path) -> None:
    form = ["-t", "ext4", "-J", "size=4", "-m", "0", "-E", "lazy_itable_init=1"]
    run(["mke2fs", "-q", *form, "-d", str(root), str(disk), DISK_SIZE])


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LONGEST_BUILD, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--there"]:
        return 0 if all(image_of(suite).directory.exists() for suite in arguments[1:]) else 1
    for suite in arguments:
        image(suite)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
