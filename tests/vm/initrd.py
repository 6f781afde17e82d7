"""Writes an initrd that has just what a guest needs to find its disk, and so starts in no time."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

# The disk, and the port of the agent; the network card, so that eth0 is there when systemd starts.
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "ext4")
DIRECTORIES = ("bin", "dev", "disk", "modules", "proc")
DIRECTORY, PROGRAM, FILE = 0o040755, 0o100755, 0o100644


def write(target: Path, root: Path, init: Path) -> None:
    """Write it for the kernel that is below `root`."""
    entries = [(name, DIRECTORY, b"") for name in DIRECTORIES]
    entries.append(("init", PROGRAM, init.read_bytes()))
    entries.append(("bin/busybox", PROGRAM, (root / "bin/busybox").read_bytes()))
    for at, module in enumerate(modules(root)):
        name = module.name.removesuffix(".xz")
        entries.append((f"modules/{at:02}-{name}", FILE, content(module)))
    target.write_bytes(gzip.compress(archive(entries), compresslevel=1))


def modules(root: Path) -> list[Path]:
    """What the wanted modules need, and they, in the order to load them."""
    [version] = [path.name for path in root.glob("lib/modules/*")]
    command = ["modprobe", "--set-version", version, "--show-depends", "--all", *MODULES]
    shown = subprocess.run(
        ["chroot", str(root), *command], capture_output=True, text=True, check=True, timeout=60
    )
    lines = (line.split() for line in shown.stdout.splitlines())
    names = [line[1] for line in lines if line[0] == "insmod"]
    return [root / name.lstrip("/") for name in dict.fromkeys(names)]


def content(module: Path) -> bytes:
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def archive(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive of the `newc` kind, the only one that kernels read."""
    members = (member(at, *entry) for at, entry in enumerate(entries, start=1))
    return b"".join(members) + member(0, "TRAILER!!!", 0, b"")


def member(inode: int, name: str, mode: int, data: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return padded(header + encoded) + padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
