"""The server's Debian package, and a small Debian of its own to install it in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.chroot import ROOT, Chroot
from tests.vm.images import mirror

SUITE = "bookworm"
INCLUDE = "adduser,python3"


@pytest.fixture(scope="session")
def deb() -> Path:
    """What `make package` builds."""
    dist = ROOT / "dist"
    subprocess.run([ROOT / "scripts/package", dist], check=True, capture_output=True, timeout=1200)
    [built] = dist.glob("mdsvc_*.deb")
    return built


@pytest.fixture(scope="module")
def chroot(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    """A Debian without systemd running, which has the package's file and nothing of it yet."""
    root = tmp_path_factory.mktemp("debian") / "root"
    done = subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            f"--include={INCLUDE}",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            "--dpkgopt=force-unsafe-io",
            *(SUITE, str(root), *mirror()),
        ],
        capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.copy(deb, root / "mdsvc.deb")
    yield Chroot(root)
    shutil.rmtree(root)
