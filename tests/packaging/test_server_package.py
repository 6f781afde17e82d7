"""The server's package through its life: installed, used, installed again, removed, purged.

One test after the other, on one Debian.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.values import UUID, guest, host
from tests.packaging.chroot import ROOT, Chroot

DATABASE = "/var/lib/mdsvc/mdsvc.db"
SETTINGS = "/etc/mdsvc/mdsvc.toml"
AS_SERVICE = ("runuser", "-u", "mdsvc", "--")
UNITS = ("mdsvc.socket", "mdsvc.service")
MOST_EXPOSED = 2.0
"""Of 10, by systemd's own reckoning, which calls that OK."""


@pytest.fixture(scope="module")
def installed(chroot: Chroot) -> Chroot:
    said = chroot.install()
    assert not re.search(r"(?i)error|warning|traceback", said)
    return chroot


def owner(chroot: Chroot, path: str) -> str:
    return chroot.run("stat", "--format=%U:%G %a", path).strip()


# ---- what is in it ----


def test_nothing_in_it_is_compiled_for_or_tells_of_this_machine(deb: Path) -> None:
    done = subprocess.run(
        ["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True
    )
    names = [line.split()[5] for line in done.stdout.splitlines()]
    assert [
        name for name in names if re.search(r"__pycache__|direct_url|/bin/(?!mdsvc$).+", name)
    ] == []


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_one(deb: Path, tmp_path: Path, unit: str) -> None:
    """`systemd-analyze verify` looks for the programs; here it is only whether it can be read."""
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={tmp_path}", f"/usr/lib/systemd/system/{unit}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not re.search(rf"{unit}:\d+:", done.stderr), done.stderr


def test_the_service_is_as_closed_as_it_can_be() -> None:
    unit = ROOT / "packaging/systemd/mdsvc.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = re.search(r"Overall exposure level for mdsvc\.service: ([0-9.]+)", done.stdout)
    assert said, done.stderr
    assert float(said[1]) <= MOST_EXPOSED


# ---- installed ----


def test_it_has_a_user_of_its_own_whose_the_store_is(installed: Chroot) -> None:
    assert "/var/lib/mdsvc" in installed.run("getent", "passwd", "mdsvc")
    assert owner(installed, "/var/lib/mdsvc") == "mdsvc:mdsvc 750"
    assert owner(installed, DATABASE) == "mdsvc:mdsvc 640"


def test_its_units_are_enabled(installed: Chroot) -> None:
    wants = installed.path("/etc/systemd/system")
    assert {path.name for path in wants.rglob("mdsvc.*")} == set(UNITS)


def test_root_and_the_service_share_the_store_whoever_comes_first(installed: Chroot) -> None:
    installed.json("mdsvc", "host", "add", "-", "--json", stdin=host())
    placed = installed.json(
        *AS_SERVICE, "mdsvc", "instance", "create", "-", "--json", stdin=guest()
    )
    assert placed["uuid"] == UUID
    [listed] = installed.json("mdsvc", "instance", "list", "--json")
    assert listed["uuid"] == UUID
    files = {path.name for path in installed.path("/var/lib/mdsvc").iterdir()}
    assert {owner(installed, f"/var/lib/mdsvc/{name}").split()[0] for name in files} == {
        "mdsvc:mdsvc"
    }


def test_python_s_own_environment_does_not_reach_it(installed: Chroot) -> None:
    said = installed.run("env", "PYTHONPATH=/nowhere", "PYTHONHOME=/nowhere", "mdsvc", "--version")
    assert said.startswith("mdsvc, version ")


ASK = """
import re, urllib.request
said = open("/tmp/said").read()
at = re.search("operator: (http[^ \\n]+)", said)[1]
get = lambda path: urllib.request.urlopen(at + path, timeout=20).read().decode()
assets = re.findall('="(/assets/[^"]+)"', get("/"))
assert len(assets) == 3 and all(map(get, assets)), assets
assert "h1" in get("/hosts/h1")
"""


def test_it_serves_the_page_with_all_that_belongs_to_it(installed: Chroot) -> None:
    script = (
        "export MDSVC_GUEST=127.0.0.1:0 MDSVC_OPERATOR=127.0.0.1:0; : >/tmp/said; "
        "mdsvc serve 2>>/tmp/said & "
        "for _ in $(seq 600); do grep -q 'mdsvc: ready' /tmp/said && break; sleep 0.1; done; "
        'python3 -c "$0"; asked=$?; kill -TERM $!; wait $!; exit $asked'
    )
    installed.run(*AS_SERVICE, "sh", "-c", script, ASK)


def test_it_serves_by_its_settings(installed: Chroot) -> None:
    """Readiness, and an end on SIGTERM, as the unit's user."""
    script = (
        "export MDSVC_GUEST=127.0.0.1:0 MDSVC_OPERATOR=127.0.0.1:0; : >/tmp/said; "
        "mdsvc serve 2>>/tmp/said & "
        "for _ in $(seq 600); do grep -q 'mdsvc: ready' /tmp/said && break; sleep 0.1; done; "
        "kill -TERM $!; wait $!; echo $?; cat /tmp/said"
    )
    said = installed.run(*AS_SERVICE, "sh", "-c", script)
    assert said.startswith("0\n")
    assert "mdsvc: ready" in said


# ---- installed again, removed, purged ----


def test_another_installation_keeps_settings_and_store(installed: Chroot) -> None:
    settings = installed.path(SETTINGS)
    settings.write_text(settings.read_text() + "# mine\n")
    installed.install("--force-confold")
    assert settings.read_text().endswith("# mine\n")
    assert len(installed.json("mdsvc", "instance", "list", "--json")) == 1


def test_a_store_of_older_tables_is_left_for_the_operator_s_command(installed: Chroot) -> None:
    older = "import sqlite3; db = sqlite3.connect('%s'); db.execute(%r); db.commit()"
    change = "UPDATE meta SET value = value - 1 WHERE name = 'schema'"
    installed.run("python3", "-c", older % (DATABASE, change))
    installed.install("--force-confold")
    said = installed.run("mdsvc", "instance", "list", code=2)
    assert "mdsvc db upgrade" in said


def test_removed_it_leaves_settings_and_store_and_nothing_else(installed: Chroot) -> None:
    installed.run("dpkg", "--remove", "mdsvc")
    assert not installed.path("/usr/lib/mdsvc").exists()
    assert not installed.path("/usr/bin/mdsvc").exists()
    assert installed.path(DATABASE).exists()
    assert installed.path(SETTINGS).exists()


def test_purged_it_leaves_only_its_user(installed: Chroot) -> None:
    installed.run("dpkg", "--purge", "mdsvc")
    left = installed.run("find", "/etc", "/usr", "/var", "-xdev", "-name", "*mdsvc*").split()
    assert [path for path in left if not path.startswith("/var/lib/dpkg")] == []
    assert installed.run("getent", "passwd", "mdsvc")


def test_modes_of_what_is_installed_are_for_everyone_to_read(deb: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes <= {0o644, 0o755}
    assert os.access(tmp_path / "usr/bin/mdsvc", os.X_OK)
