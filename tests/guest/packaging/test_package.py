"""The Debian package: what is in it, and what it does to a system that is not running.

tests/vm/test_package.py has the same for one that is.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from mdguest import __version__

from tests.guest.packaging.building import GUEST_TOOLS, ROOT, Built

DEBIAN = GUEST_TOOLS / "debian"
DROP_INS = [
    str(path.relative_to(GUEST_TOOLS / "drop-ins"))
    for path in (GUEST_TOOLS / "drop-ins").rglob("*.conf")
]
SCRIPTS = ("postinst", "postrm", "prerm")
SERVICES = ("mdguest-early.service", "mdguest-network.service", "mdguest-watch.service")


def dpkg_deb(*arguments: str | Path) -> str:
    done = subprocess.run(["dpkg-deb", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def control(built: Built) -> Message:
    return message_from_string(dpkg_deb("--field", built.deb))


@pytest.fixture(scope="module")
def parts(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files for dpkg."""
    target = tmp_path_factory.mktemp("control")
    dpkg_deb("--control", built.deb, target)
    return target


def test_its_control_file_says_what_it_is(control: Message, tree: Path) -> None:
    assert control["Package"] == "mdguest"
    assert control["Version"] == __version__
    assert control["Architecture"] == "all"
    assert control["Depends"] == "python3 (>= 3.9)"
    kilobytes = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file()) / 1024
    assert kilobytes < int(control["Installed-Size"]) < kilobytes + 50


def test_the_changelog_has_this_version_on_top(tree: Path) -> None:
    changelog = gzip.decompress((tree / "usr/share/doc/mdguest/changelog.gz").read_bytes())
    assert changelog.decode().startswith(f"mdguest ({__version__}) ")


def test_it_installs_these_files(tree: Path) -> None:
    units = {f"usr/lib/systemd/system/{path.name}" for path in (GUEST_TOOLS / "systemd").iterdir()}
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    drop_ins = {f"usr/lib/systemd/system/{path}" for path in DROP_INS}
    assert files == units | drop_ins | {
        "usr/lib/udev/hwdb.d/41-imds-mdguest.hwdb",
        "etc/default/mdguest",
        "usr/bin/mdguest",
        "usr/share/doc/mdguest/README.md",
        "usr/share/doc/mdguest/changelog.gz",
        "usr/share/doc/mdguest/copyright",
        "usr/share/man/man8/mdguest.8.gz",
    }


def test_the_program_is_the_archive(built: Built, tree: Path) -> None:
    assert (tree / "usr/bin/mdguest").read_bytes() == built.pyz.read_bytes()
    assert zipfile.is_zipfile(tree / "usr/bin/mdguest")


def test_all_of_it_is_roots_and_for_everyone_to_read(built: Built) -> None:
    lines = dpkg_deb("--contents", built.deb).splitlines()
    modes = {line.split()[0] for line in lines}
    assert {line.split()[1] for line in lines} == {"root/root"}
    assert modes == {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}
    assert [line.split()[-1] for line in lines if line.startswith("-rwx")] == ["./usr/bin/mdguest"]


def test_its_checksums_are_right(parts: Path, tree: Path) -> None:
    done = subprocess.run(
        ["md5sum", "--check", "--strict", "--quiet", parts / "md5sums"], cwd=tree, check=False
    )
    assert done.returncode == 0


def test_the_settings_file_sets_nothing_and_is_the_administrators(parts: Path, tree: Path) -> None:
    assert (parts / "conffiles").read_text() == "/etc/default/mdguest\n"
    lines = (tree / "etc/default/mdguest").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)


# ---- maintainer scripts ----


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_maintainer_script_is_one_that_sh_reads(name: str, parts: Path) -> None:
    script = parts / name
    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_names_every_service_that_is_enabled(name: str) -> None:
    text = (DEBIAN / name).read_text()
    assert set(re.findall(r"mdguest-\w+\.service", text)) == set(SERVICES)


class Root:
    """An empty system, in which dpkg runs the scripts without a chroot, as image builders may."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "var/lib/dpkg/info").mkdir(parents=True)
        (path / "var/lib/dpkg/updates").mkdir()
        (path / "var/lib/dpkg/status").touch()
        (path / "tmp").mkdir()
        self.empty = self.files()

    def dpkg(self, *arguments: str | Path) -> str:
        forced = "--force-script-chrootless,depends,not-root,confold"
        command = ["dpkg", f"--root={self.path}", "--log=/dev/null", forced, *map(str, arguments)]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def files(self) -> set[str]:
        """What is there but for dpkg's own, that stays as well."""
        found = (str(path.relative_to(self.path)) for path in self.path.rglob("*"))
        return {name for name in found if not name.startswith("var/lib/dpkg")}

    def enabled(self) -> set[str]:
        return {path.name for path in self.path.glob("etc/systemd/system/*.wants/*")}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_installing_enables_the_services_where_no_systemd_runs(root: Root, built: Built) -> None:
    said = root.dpkg("--install", built.deb)
    assert root.enabled() == set(SERVICES)
    assert "rror" not in said


def test_an_upgrade_keeps_settings_and_a_service_that_was_disabled(
    root: Root, built: Built
) -> None:
    root.dpkg("--install", built.deb)
    settings = root.path / "etc/default/mdguest"
    settings.write_text("MDGUEST_MODE=fence\n")
    (root.path / "etc/systemd/system/multi-user.target.wants/mdguest-watch.service").unlink()
    root.dpkg("--install", built.deb)
    assert root.enabled() == set(SERVICES) - {"mdguest-watch.service"}
    assert settings.read_text() == "MDGUEST_MODE=fence\n"


def test_a_removal_keeps_what_only_a_purge_removes(root: Root, built: Built) -> None:
    root.dpkg("--install", built.deb)
    layout = root.path / "var/lib/mdguest/layout.json"
    layout.parent.mkdir()
    layout.touch()
    root.dpkg("--remove", "mdguest")
    assert (root.path / "etc/default/mdguest").exists()
    assert layout.exists()
    assert not (root.path / "usr").exists()


def test_a_purge_leaves_nothing(root: Root, built: Built) -> None:
    root.dpkg("--install", built.deb)
    (root.path / "var/lib/mdguest").mkdir()
    (root.path / "var/lib/mdguest/layout.json").touch()
    root.dpkg("--purge", "mdguest")
    assert {name for name in root.files() if "mdguest" in name} == set()


def test_the_units_that_wait_for_it_are_not_held_by_it() -> None:
    """A restart of mdguest must not restart the programs on the dedicated CPUs."""
    target = (GUEST_TOOLS / "systemd/dedicated-cpus.target").read_text()
    assert "\nWants=mdguest-network.service\n" in target
    assert "Requires=" not in target.partition("[Unit]")[2]


def test_the_guide_goes_with_it(tree: Path) -> None:
    readme = tree / "usr/share/doc/mdguest/README.md"
    assert readme.read_bytes() == (ROOT / "docs/guest.md").read_bytes()
