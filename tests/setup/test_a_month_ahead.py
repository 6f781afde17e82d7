"""Set-up gives what is pinned, whatever has been published since, and whatever pip is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from json import loads
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.setup.index import Index, checkout, month_ahead
from tests.setup.locks import (
    DEV,
    ENVIRONMENTS,
    FILES,
    INSTALLER,
    OURS,
    REPOSITORY,
    RUN,
    installed,
    pins_of,
)

LIMIT = 300
A_SCREEN = 24


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with month_ahead(tmp_path_factory.mktemp("index")) as running:
        yield running


@pytest.fixture(scope="module")
def project(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(index, tmp_path_factory.mktemp("checkout"))


def environment(config: Path | str, **more: str) -> dict[str, str]:
    """This process's, with nothing of what this machine tells pip."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return kept | {"PIP_CONFIG_FILE": str(config), **more}


def set_up(project: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    config = project / "pip.conf"
    return subprocess.run(
        [project / "scripts/setup", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
        env=environment(config if config.exists() else os.devnull, **more),
    )  # fmt: skip


def versions(environment: Path) -> dict[str, str]:
    return {it.name: it.version for it in installed(environment) if it.name not in OURS}


def locked(*files: str) -> dict[str, str]:
    return {pin.name: pin.version for file in files for pin in pins_of(file) if pin.applies({})}


def say_much(project: Path, index: Index) -> None:
    """A machine's own ideas of how to install, beside where packages come from."""
    (project / "capped").write_text("aiohttp<1\npip<1\n")
    (project / "pip.conf").write_text(
        f"[global]\nindex-url = {index.url}\nconstraint = {project}/capped\nrequire-hashes = no\n"
        "user = yes\nquiet = 3\n[install]\npre = yes\nupgrade = yes\nno-binary = :all:\n"
    )


def test_what_is_not_pinned_is_refused_and_each_layer_adds_what_is(
    index: Index, project: Path
) -> None:
    say_much(project, index)
    lock = (project / RUN).read_text()
    (project / RUN).write_text(f"aiohttp==9999.1 --hash=sha256:{'0' * 64}\n")
    refused = set_up(project)
    assert refused.returncode == 1
    assert "setup: failed: installing requirements.txt into .venv" in refused.stdout
    assert "a file is not the one that is pinned" in refused.stdout
    assert "aiohttp" in refused.stdout
    assert len(refused.stdout.splitlines()) < A_SCREEN

    (project / RUN).write_text(lock)
    run = set_up(
        project, PIP_USER="1", PIP_TARGET=str(project / "elsewhere"), PYTHONHOME="/nowhere"
    )
    assert run.returncode == 0, run.stdout
    assert "WARNING" not in run.stdout
    assert len(run.stdout.splitlines()) <= 3
    assert versions(project / ".venv") == locked(INSTALLER, RUN)
    for program in OURS:
        assert os.access(project / ".venv/bin" / program, os.X_OK)

    before = files_of(project / ".venv")
    tests = set_up(project, "--tests")
    assert tests.returncode == 0, tests.stdout
    assert before.items() <= files_of(project / ".venv").items()
    assert versions(project / ".venv") == locked(DEV)
    for file, environment in ENVIRONMENTS.items():
        assert versions(project / environment) == locked(file)

    for flags in ([], ["--dev"], ["--tests"]):
        again = set_up(project, *flags)
        assert (again.returncode, again.stdout) == (0, "")
    assert versions(project / ".venv") == locked(DEV)


def files_of(environment: Path) -> dict[Path, int]:
    [packages] = environment.glob("lib/python3.*/site-packages")
    return {path: path.stat().st_ino for path in packages.rglob("*.dist-info/METADATA")}


def test_a_layer_whose_pins_change_is_made_anew(index: Index, project: Path) -> None:
    run = project / RUN
    lines = run.read_text().splitlines(keepends=True)
    run.write_text("".join(line for line in lines if not line.startswith("rich==")))
    assert set_up(project).returncode == 0
    assert "rich" not in versions(project / ".venv")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python with its own pip, as a machine has them before anything is installed."""
    directory = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", directory], check=True, timeout=LIMIT)
    return directory / "bin/python"


def is_overruled(file: str) -> bool:
    """Whether the lock has other versions of something than is asked for, on purpose."""
    return (REPOSITORY / file).with_name("overrides.txt").exists()


@pytest.mark.parametrize("file", [file for file in FILES if not is_overruled(file)])
def test_pip_that_looks_for_what_is_asked_for_comes_to_the_same(
    index: Index, file: str, tmp_path: Path
) -> None:
    resolve(sys.executable, index, file, tmp_path)


@pytest.mark.parametrize("file", [RUN, DEV, INSTALLER])
def test_an_old_pip_that_looks_for_what_is_asked_for_comes_to_the_same(
    index: Index, bare: Path, file: str, tmp_path: Path
) -> None:
    """Not Nova's: before pip 23.3, `sqlalchemy[asyncio]==2` did not pin `sqlalchemy`."""
    resolve(bare, index, file, tmp_path)


def resolve(python: Path | str, index: Index, file: str, tmp_path: Path) -> None:
    """Let pip follow every requirement, which scripts/setup does not: none leads past the lock."""
    lock, report = tmp_path / "lock.txt", tmp_path / "report.json"
    lock.write_text(index.lock(file))
    flags = ["--dry-run", "--ignore-installed", "--require-hashes", "--report", str(report)]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *flags, "--index-url", index.url, "-r", lock],
        env=environment(os.devnull), capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    chosen = [it["metadata"] for it in loads(report.read_text())["install"]]
    assert {canonicalize_name(it["name"]): it["version"] for it in chosen} == locked(file)


def test_an_index_that_cannot_be_reached_is_named_as_the_cause(
    index: Index, tmp_path: Path
) -> None:
    project = checkout(index, tmp_path)
    began = time.monotonic()
    done = set_up(project, PIP_INDEX_URL="http://127.0.0.1:1/", PIP_RETRIES="0")
    assert done.returncode == 1
    assert "setup: failed: installing requirements-installer.txt into .venv" in done.stdout
    assert "see that the index that pip uses" in done.stdout
    assert len(done.stdout.splitlines()) < A_SCREEN
    assert time.monotonic() - began < 60
