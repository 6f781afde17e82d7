"""mdguest.pyz: one file that runs wherever there is a Python, the same from every build."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from mdguest import __version__
from mdguest.help import COMMANDS

from tests.guest.packaging.building import (
    DEBIANS,
    GUEST_TOOLS,
    ROOT,
    Built,
    build,
    copy_of_the_checkout,
    pythons,
    too_old,
)

PACKAGE = GUEST_TOOLS / "mdguest"
SOURCES = sorted(path.relative_to(GUEST_TOOLS).as_posix() for path in PACKAGE.rglob("*.py"))


def run(python: Path, pyz: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", "-S", "-W", "error", str(pyz), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("python", pythons(), ids=str)
def test_it_runs_with_debians_python_and_with_3_9_and_needs_no_other_package(
    python: Path, built: Built
) -> None:
    done = run(python, built.pyz, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mdguest {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, built: Built) -> None:
    done = run(pythons()[-1], built.pyz, command, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: mdguest {command}" in done.stdout


@pytest.mark.parametrize("python", pythons(), ids=str)
def test_every_module_inside_can_be_imported(python: Path, built: Built) -> None:
    names = [name.removesuffix(".py").replace("/", ".") for name in SOURCES]
    modules = [name.removesuffix(".__init__") for name in names if "__main__" not in name]
    script = f"import sys; sys.path.insert(0, {str(built.pyz)!r}); import {', '.join(modules)}"
    command = [str(python), "-I", "-S", "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


OLD = """
import runpy, sys
sys.version_info = (3, 8, 18, "final", 0)
runpy.run_path(sys.argv[1], run_name="__main__")
"""
NEEDED = "mdguest: it needs Python 3.9 or newer; this is 3."


@pytest.mark.parametrize("version", [(3, 4), (3, 6), (3, 8)], ids=str)
def test_the_way_in_is_of_the_language_of_older_pythons(
    version: tuple[int, int], built: Built
) -> None:
    with zipfile.ZipFile(built.pyz) as archive:
        ast.parse(archive.read("__main__.py"), feature_version=version)


def test_a_python_that_is_too_old_is_told_on_one_line(built: Built) -> None:
    command = [sys.executable, "-c", OLD, str(built.pyz)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{NEEDED}8\n")
    for python in too_old():
        done = run(python, built.pyz, "plan")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(NEEDED)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", SOURCES)
def test_the_sources_are_of_the_language_of_3_9(name: str) -> None:
    ast.parse((GUEST_TOOLS / name).read_text(), feature_version=(3, 9))


def test_it_is_a_program_for_debians_python_alone(built: Built) -> None:
    with built.pyz.open("rb") as file:
        assert file.readline() == f"#!{DEBIANS} -I\n".encode()
    assert os.access(built.pyz, os.X_OK)
    assert subprocess.run([built.pyz, "--version"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["plan", "--nonsense"], 2), (["plan", "--source", "file:/nowhere/layout.json"], 4)],
    ids=["bad usage", "no such file"],
)
def test_its_exit_status_is_the_programs(arguments: list[str], status: int, built: Built) -> None:
    assert run(DEBIANS, built.pyz, *arguments).returncode == status


def test_it_holds_the_sources_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.pyz) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert sorted(names) == sorted(["__main__.py", "mdguest/py.typed", *SOURCES])
        cpuset = archive.read("mdguest/cpuset.py")
    assert cpuset == (ROOT / "mdsvc/cpuset.py").read_bytes()


def test_it_can_read_its_own_sources(built: Built) -> None:
    """`measure` starts a probe of its own from one."""
    script = (
        f"import sys, pkgutil; sys.path.insert(0, {str(built.pyz)!r})\n"
        "sys.stdout.buffer.write(pkgutil.get_data('mdguest', 'cli.py'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == (PACKAGE / "cli.py").read_bytes()


# ---- builds ----


def test_the_same_sources_give_the_same_bytes(built: Built, tmp_path: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path / "checkout")
    previous = os.umask(0o077)
    try:
        again = build(tmp_path / "dist", checkout, TZ="Asia/Tokyo", LC_ALL="C.UTF-8")
    finally:
        os.umask(previous)
    assert again.pyz.read_bytes() == built.pyz.read_bytes()
    assert again.deb.read_bytes() == built.deb.read_bytes()


def test_the_time_inside_can_be_given(tmp_path: Path) -> None:
    pyz = build(tmp_path, SOURCE_DATE_EPOCH="1000000000").pyz
    with zipfile.ZipFile(pyz) as archive:
        assert {info.date_time for info in archive.infolist()} == {(2001, 9, 9, 1, 46, 40)}


def test_a_second_build_does_nothing_until_a_source_changes(tmp_path: Path) -> None:
    checkout, target = copy_of_the_checkout(tmp_path / "checkout"), tmp_path / "dist"
    first = build(target, checkout)
    stamp = first.deb.stat().st_mtime_ns
    assert first.said.startswith("guest: built ")
    again = build(target, checkout)
    assert (again.said, again.deb.stat().st_mtime_ns) == ("", stamp)
    init = checkout / "guest-tools/mdguest/__init__.py"
    init.write_text(init.read_text().replace(__version__, "99.0"))
    assert build(target, checkout).deb.name == "mdguest_99.0_all.deb"
