"""`mdsvc hook`: printed, installed and run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.audit.fleets import domain
from tests.cli.command import Mdsvc
from tests.strategies import grid


def test_it_is_printed_and_installed_the_same(mdsvc: Mdsvc, tmp_path: Path) -> None:
    spool, hooks = str(tmp_path / "spool"), tmp_path / "hooks/qemu.d"
    done = mdsvc("hook", "install", "--directory", str(hooks), "--spool", spool, "--json")
    assert (done.code, done.json) == (0, {"path": f"{hooks}/mdsvc"})
    assert "restart libvirt" in done.err
    assert mdsvc("hook", "print", "--spool", spool).out == (hooks / "mdsvc").read_text()
    assert [file.name for file in hooks.iterdir()] == ["mdsvc"]
    assert (hooks / "mdsvc").stat().st_mode & 0o777 == 0o755
    again = mdsvc("hook", "install", "--directory", str(hooks), "--spool", spool)
    assert (again.code, again.out) == (0, f"{hooks}/mdsvc\n")


def test_a_spool_that_is_no_absolute_path_is_bad_input(mdsvc: Mdsvc) -> None:
    done = mdsvc("hook", "print", "--spool", "notes")
    assert (done.code, done.out) == (2, "")
    assert "expected an absolute path" in done.err


def test_notes_are_carried_out(mdsvc: Mdsvc, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    header = json.dumps({"guest": "a", "operation": "started"})
    (spool / "1.note").write_text(f"{header}\n{domain('a', '2')}")
    run = ("hook", "run", "--host", "h1", "--spool", str(spool), "--networks", str(tmp_path))
    unknown = mdsvc(*run)
    assert (unknown.code, "host h1: no such host" in unknown.err) == (4, True)
    assert mdsvc("host", "add", "-", stdin=grid(2, 4, threads=2, shared=1)).code == 0
    done = mdsvc(*run)
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("mdsvc: imported a (")
    assert [each["name"] for each in mdsvc("instance", "list", "--json").json] == ["a"]
    assert mdsvc(*run).err == ""
