"""A libvirt asked by `virsh`, which the tests play; `tests/libvirt` has a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.fleets import domain
from tests.cli.command import Mdsvc
from tests.machines.capabilities import capabilities
from tests.machines.known import MACHINES
from tests.strategies import grid

A, B = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
Play = Callable[..., None]


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Plays virsh: the answers, and what is to be said of a domain that there is no answer for."""

    def play(uuids: list[str], error: str = "", **answers: str) -> None:
        folder = tmp_path / "answers"
        folder.mkdir(exist_ok=True)
        (folder / "list").write_text("\n".join(uuids) + "\n")
        (folder / "hostname").write_text("h1\n")
        for name, text in answers.items():
            (folder / name).write_text(text)
        program = tmp_path / "bin/virsh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"""#!/bin/sh
[ "$1 $2 $3" = "--quiet --readonly --connect" ] || exit 9
[ "$5" = dumpxml ] && [ -e {folder}/gone ] && : >{folder}/list
[ "$5" = dumpxml ] && set -- - - - - "$6"
cat {folder}/"$5" 2>/dev/null || {{ echo "error: {error}" >&2; exit 1; }}
"""
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return play


@pytest.fixture
def host_file(tmp_path: Path) -> str:
    file = tmp_path / "h1.json"
    file.write_text(json.dumps(grid(2, 4, threads=2, shared=1)))
    return str(file)


def test_every_domain_is_looked_at(mdsvc: Mdsvc, virsh: Play, host_file: str) -> None:
    virsh([A, B], **{A: domain("a", "2"), B: domain("b", "2")})
    done = mdsvc("audit", "--libvirt", "test:///x", "--host", host_file, "--json")
    assert done.code == 3
    assert [(f["code"], f["host"]) for f in done.json["findings"]] == [("pinned_twice", "h1")]


def test_cells_are_libvirt_s_where_no_host_is_given(mdsvc: Mdsvc, virsh: Play) -> None:
    machine = next(iter(MACHINES.values()))
    virsh([], capabilities=capabilities(machine))
    done = mdsvc("audit", "--libvirt", "test:///x")
    assert (done.code, done.out) == (0, "")
    assert "its sets are not known" in done.err
    assert "its cells" not in done.err


def test_what_virsh_says_is_said(mdsvc: Mdsvc, virsh: Play, host_file: str) -> None:
    virsh([A], error="something broke")
    done = mdsvc("audit", "--libvirt", "test:///x", "--host", host_file)
    assert (done.code, done.err) == (1, "mdsvc: test:///x: something broke\n")


def test_a_domain_that_goes_meanwhile_is_left_out(
    mdsvc: Mdsvc, virsh: Play, host_file: str, tmp_path: Path
) -> None:
    virsh([A], error="failed to get domain")
    (tmp_path / "answers/gone").touch()
    done = mdsvc("audit", "--libvirt", "test:///x", "--host", host_file)
    assert (done.code, done.err) == (0, "mdsvc: nothing found: 0 guests on 1 host looked at\n")


def test_a_domain_that_cannot_be_read_is_named(mdsvc: Mdsvc, virsh: Play, host_file: str) -> None:
    virsh([A], **{A: "<network/>"})
    done = mdsvc("audit", "--libvirt", "test:///x", "--host", host_file)
    assert (done.code, f"test:///x: domain {A}: <network>" in done.err) == (2, True)


def test_without_virsh_its_package_is_named(
    mdsvc: Mdsvc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = mdsvc("audit", "--libvirt", "test:///x")
    assert (done.code, "libvirt-clients" in done.err) == (1, True)
