"""Config drives, in both forms that Nova makes them, and as mdsvc does."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from mdsvc.documents.config_drive import image

VFAT_KILOBYTES = 4096
Form = Literal["iso9660", "vfat", "mdsvc"]


def config_drive(files: Mapping[str, bytes], target: Path, form: Form = "iso9660") -> Path:
    """Write a drive named `config-2` that holds these files to `target`."""
    with tempfile.TemporaryDirectory() as name:
        for path, data in files.items():
            file = Path(name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        target.unlink(missing_ok=True)
        _WRITERS[form](Path(name), target)
    return target


def _iso9660(directory: Path, target: Path) -> None:
    # Joliet and Rock Ridge, as Nova's, for names that are long and in lower case
    _run("genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", target, directory)


def _vfat(directory: Path, target: Path) -> None:
    _run("mkfs.vfat", "-C", "-n", "config-2", target, str(VFAT_KILOBYTES))
    _run("mcopy", "-s", "-i", target, *directory.iterdir(), "::")


def _mdsvc(directory: Path, target: Path) -> None:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    contents = {str(path.relative_to(directory)): path.read_bytes() for path in paths}
    target.write_bytes(image(contents))


_WRITERS: Mapping[Form, Callable[[Path, Path], None]] = {
    "iso9660": _iso9660,
    "vfat": _vfat,
    "mdsvc": _mdsvc,
}


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")
