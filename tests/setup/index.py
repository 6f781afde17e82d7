"""A package index a month ahead, on loopback: all that is pinned, and a newer release of each.

The pinned releases have their real metadata. What installs has its real content too; all else is
empty, so the hashes in a copy of the requirements files are those of these files.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import TypeAlias

from packaging.utils import canonicalize_name
from typing_extensions import override

from tests.setup.locks import ENVIRONMENTS, FILES, INSTALLER, REPOSITORY, Pin, pins_of

NEWER = "9999.1"
HEADERS = ("Requires-Dist", "Requires-Python", "Provides-Extra")
LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}

Found: TypeAlias = Mapping[str, PathDistribution]
"""Installed distributions by canonical name."""


@dataclass
class Index:
    """A folder with a folder for each project."""

    root: Path
    url: str = ""
    hashes: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, name: str, version: str, members: Mapping[str, bytes]) -> None:
        """Publish a wheel with these members; its list of them is made here."""
        info = f"{name.replace('-', '_')}-{version}"
        wheel = self.root / name / f"{info}-py3-none-any.whl"
        wheel.parent.mkdir(parents=True, exist_ok=True)
        record = f"{info}.dist-info/RECORD"
        with zipfile.ZipFile(wheel, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
            archive.writestr(record, "".join(f"{member},,\n" for member in [*members, record]))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        self.hashes[name, version] = f"sha256:{digest}"

    def lock(self, file: str) -> str:
        """The requirements file, with the hashes of this index."""
        return "".join(
            f"{pin.requirement} --hash={self.hashes[pin.name, pin.version]}\n"
            for pin in pins_of(file)
        )


@contextmanager
def month_ahead(root: Path) -> Iterator[Index]:
    """Fill `root`, and serve it."""
    index = Index(root)
    for file in FILES:
        found = distributions(ENVIRONMENTS.get(file, ".venv"))
        for pin in pins_of(file):
            if (pin.name, pin.version) not in index.hashes:
                publish(index, pin, found, real=pin.name in {it.name for it in pins_of(INSTALLER)})
    with served(root) as index.url:
        yield index


def publish(index: Index, pin: Pin, found: Found, *, real: bool) -> None:
    distribution = found.get(pin.name)
    headers = stated(distribution) if distribution else ""
    members = empty(pin.name, pin.version, headers)
    if real and distribution:
        members = contents(distribution)
    index.add(pin.name, pin.version, members)
    index.add(pin.name, NEWER, empty(pin.name, NEWER, headers))


def distributions(environment: str) -> Found:
    [packages] = (REPOSITORY / environment).glob("lib/python3.*/site-packages")
    every = metadata.distributions(path=[str(packages)])
    return {canonicalize_name(it.name): it for it in every if isinstance(it, PathDistribution)}


def stated(distribution: PathDistribution) -> str:
    """What its metadata say of requirements."""
    return "".join(
        f"{header}: {value}\n"
        for header in HEADERS
        for value in distribution.metadata.get_all(header) or ()
    )


def empty(name: str, version: str, headers: str) -> dict[str, bytes]:
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return {f"{info}/METADATA": described.encode(), f"{info}/WHEEL": wheel.encode()}


def contents(distribution: PathDistribution) -> dict[str, bytes]:
    """An installed distribution's own files; its programs are made anew from its entry points."""
    return {
        str(file): file.read_binary()
        for file in distribution.files or ()
        if file.parts[0] != ".." and file.suffix != ".pyc" and file.name not in LEFT_OUT
    }


class Handler(SimpleHTTPRequestHandler):
    """A folder's listing has the links that pip looks for."""

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Its address, while it runs."""
    handler = partial(Handler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


SOURCES = (
    "mdsvc",
    "guest-tools",
    "scripts",
    "pyproject.toml",
    "LICENSE",
    "tests/clients/package.json",
    "tests/clients/package-lock.json",
)


def checkout(index: Index, directory: Path) -> Path:
    """A copy of the project that pins the releases of this index, with cloud-init in place."""
    for source in SOURCES:
        path, copy = REPOSITORY / source, directory / source
        if path.is_dir():
            shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for file in FILES:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(index.lock(file))
    cloud_init = directory / ".cache/cloud-init"
    cloud_init.mkdir(parents=True)
    (cloud_init / ".complete").touch()
    return directory
