"""The hook itself, run as libvirt runs it."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdsvc.errors import BadInput
from mdsvc.hook import script
from mdsvc.hook.notes import notes, script_text
from tests.audit.fleets import domain

XML = domain("a", "2")


def called(
    spool: Path, *args: str, stdin: bytes = XML.encode(), limits: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    """As libvirt does: with nothing of its environment that is needed."""
    file = spool.parent / "mdsvc-hook"
    file.write_text(script_text(spool))
    return subprocess.run(
        [*limits, sys.executable, "-IS", str(file), *args],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={},
    )


@pytest.mark.parametrize("operation", [*script.COMES, *script.GOES])
def test_it_notes_what_libvirt_says_and_says_nothing(operation: str, tmp_path: Path) -> None:
    """What it printed to stdout libvirt would take for a domain, where a guest migrates in."""
    done = called(tmp_path / "spool", "a", operation, "begin", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (note,) = notes(tmp_path / "spool")
    assert (note.name, note.operation, note.xml) == ("a", operation, XML.encode())
    assert note.way == ("in" if operation in script.COMES else "out")


def test_notes_are_read_in_the_order_in_which_they_were_left(tmp_path: Path) -> None:
    for operation in ("prepare", "started", "stopped", "release"):
        called(tmp_path / "spool", "a", operation, "begin", "-")
    read = [note.operation for note in notes(tmp_path / "spool")]
    assert read == ["prepare", "started", "stopped", "release"]


@pytest.mark.parametrize(
    "args", [(), ("a",), ("a", "odd", "begin", "-"), ("a", ""), ("\udce4", "started")]
)
def test_it_ends_well_whatever_it_is_told(args: tuple[str, ...], tmp_path: Path) -> None:
    done = called(tmp_path / "spool", *args)
    assert (done.returncode, done.stdout) == (0, b"")


def test_it_ends_well_where_it_can_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    done = called(tmp_path / "spool", "a", "started", "begin", "-")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"mdsvc hook:" in done.stderr


def test_on_a_full_disk_nothing_is_left_of_a_note(tmp_path: Path) -> None:
    """Played by a limit on what a file may hold."""
    done = called(
        tmp_path / "spool", "a", "started", "begin", "-", limits=("prlimit", "--fsize=99")
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"mdsvc hook:" in done.stderr
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path) -> None:
    """As a host's may be while its guests start with it."""
    before = time.monotonic_ns()
    called(tmp_path / "spool", "a", "started", "begin", "-")
    (note,) = notes(tmp_path / "spool")
    assert before < int(note.path.name.partition("-")[0]) < time.monotonic_ns()


def test_no_xml_is_noted_too_and_too_much_is_not(tmp_path: Path) -> None:
    called(tmp_path / "spool", "a", "started", stdin=b"")
    called(tmp_path / "spool", "a", "started", stdin=b"x" * (script.MAX_XML + 1))
    assert [note.xml for note in notes(tmp_path / "spool")] == [b""]


def test_only_root_can_read_what_it_notes(tmp_path: Path) -> None:
    """Domains have passwords of consoles in them."""
    called(tmp_path / "spool", "a", "started", "begin", "-")
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(script.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert names == {"json", "os", "sys", "time"}
    assert names <= set(sys.stdlib_module_names)


def test_a_spool_that_is_no_absolute_path_is_refused() -> None:
    with pytest.raises(BadInput, match="--spool: expected an absolute path"):
        script_text(Path("spool"))


@pytest.mark.parametrize("header", [b"no JSON", b'{"guest": "\xff"}', b"[" * 10_000])
def test_a_note_that_cannot_be_read_is_moved_aside(tmp_path: Path, header: bytes) -> None:
    called(tmp_path / "spool", "a", "started", "begin", "-")
    odd = tmp_path / "spool/0.note"
    odd.write_bytes(header + b"\n<domain/>")
    assert [note.name for note in notes(tmp_path / "spool")] == ["a"]
    assert not odd.exists()
    assert odd.with_suffix(".odd").exists()
