"""Building the guest tool, and running it with this or that Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mdguest import __version__

ROOT = Path(__file__).parents[3]
GUEST_TOOLS = ROOT / "guest-tools"
DEBIANS = Path("/usr/bin/python3")
"""The one that the first line of mdguest.pyz names."""


class Built(NamedTuple):
    """What `make guest` leaves in a directory."""

    pyz: Path
    deb: Path
    said: str


def build(directory: Path, checkout: Path = ROOT, **environment: str) -> Built:
    done = subprocess.run(
        [checkout / "scripts/guest", directory],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    [deb] = directory.glob("mdguest_*_all.deb")
    return Built(directory / "mdguest.pyz", deb, done.stdout)


def copy_of_the_checkout(target: Path, version: str = "") -> Path:
    """What a build reads, in another place, newer, and with what a build must leave out."""
    for name in ("guest-tools", "mdsvc/cpuset.py", "scripts/guest", "docs/guest.md"):
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, copy_function=shutil.copy)
        else:
            shutil.copy(source, copy)
    bytecode = target / "guest-tools/mdguest/__pycache__"
    bytecode.mkdir(exist_ok=True)
    (bytecode / "cli.cpython-311.pyc").write_bytes(b"stale")
    if version:
        init = target / "guest-tools/mdguest/__init__.py"
        init.write_text(init.read_text().replace(__version__, version))
    return target


def pythons() -> list[Path]:
    """Debian's Python, and the oldest that mdguest is for, where that is to be had."""
    return [DEBIANS, *list(_oldest())[:1]]


def too_old() -> list[Path]:
    """Those before the oldest that mdguest is for, as far as they are to be had."""
    return [python for minor in (6, 7, 8) for python in _of_version(minor)]


def _oldest() -> Iterator[Path]:
    return _of_version(9)


def _of_version(minor: int) -> Iterator[Path]:
    name = f"python3.{minor}"
    on_path = Path(shutil.which(name) or "nowhere")
    for python in (on_path, *Path.home().glob(f".pyenv/*/3.{minor}.*/bin/{name}")):
        if python.is_file():
            says = subprocess.run([str(python), "-V"], capture_output=True, text=True, check=False)
            if says.stdout.startswith(f"Python 3.{minor}."):
                yield python
