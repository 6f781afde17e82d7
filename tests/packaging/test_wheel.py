"""The wheel, installed as pipx does, in an environment of its own, serves the page from there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener
from zipfile import ZipFile

import pytest

from mdsvc import __version__
from mdsvc.web.assets import KINDS
from tests.packaging.chroot import ROOT

PIP = (sys.executable, "-Im", "pip", "--quiet", "--disable-pip-version-check")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, of an environment that has nothing but the wheel and what is pinned."""
    venv = tmp_path_factory.mktemp("pipx") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    into = (*PIP, "--python", venv, "install", "--no-deps")
    pinned = ("--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements.txt")
    run(*into, *pinned)
    run(*into, "--no-index", wheel)
    return venv / "bin" / "mdsvc"


def test_the_page_s_assets_are_in_the_wheel_and_no_tests(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {f"mdsvc/web/assets/{name}" for name in KINDS} <= set(names)
    assert {name.split("/")[0] for name in names} == {"mdsvc", f"mdsvc-{__version__}.dist-info"}


@pytest.fixture
def address(installed: Path, tmp_path: Path) -> Iterator[str]:
    """Where its server has the page."""
    options = ("--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--store", "sqlite:///s.db")
    process = subprocess.Popen(
        [installed, "serve", *options], cwd=tmp_path, env={}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    said = ""
    for line in process.stderr:
        said += line
        if "ready" in line:
            break
    found = re.search(r"operator: (http\S+)", said)
    assert found, said
    yield found[1]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_it_serves_the_page_from_there(address: str) -> None:
    def get(path: str) -> str:
        with build_opener(ProxyHandler({})).open(address + path, timeout=30) as answer:
            assert answer.status == 200
            return str(answer.read().decode())

    page = get("/")
    assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
    assert len(assets) == 3
    assert all(get(asset) for asset in assets)
    assert '"openapi":"3.1' in get("/openapi.json")


def test_it_says_its_version_and_completes(installed: Path) -> None:
    assert run(installed, "--version") == f"mdsvc, version {__version__}\n"
    assert "what-if" in run(installed, "fit", "--help")
