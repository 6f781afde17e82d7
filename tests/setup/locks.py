"""Requirements files, and what distributions ask for: is every pin there that they need?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TypeAlias

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
OURS = ("mdsvc", "mdguest")
"""Installed from this checkout, so in no requirements file."""

RUN = "requirements.txt"
DEV = "requirements-dev.txt"
INSTALLER = "requirements-installer.txt"
LOCK = "requirements-lock.txt"
NOVA = "tests/nova/requirements.txt"
CLIENTS = "tests/clients/requirements.txt"
FILES = (RUN, DEV, INSTALLER, LOCK, NOVA, CLIENTS)
ENVIRONMENTS = {NOVA: ".venv-nova", CLIENTS: ".venv-clients"}
"""Of the files whose packages are not in ``.venv``."""

Machine: TypeAlias = Mapping[str, str]
"""What markers are about, where it is another machine than this: `{"python_version": "3.13"}`."""


@dataclass(frozen=True)
class Pin:
    """One release, its extras, where it is for, and the files that it may be."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        return str(self.requirement.specifier).removeprefix("==")

    def applies(self, machine: Machine) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(dict(machine))


@dataclass(frozen=True)
class Distribution:
    """A release, and the requirements that its metadata state."""

    name: str
    version: str
    requires: tuple[str, ...] = ()

    def asks(self, extras: Iterable[str], machine: Machine) -> Iterator[Requirement]:
        """Those that apply to a machine where these extras of it are wanted."""
        for requirement in map(Requirement, self.requires):
            marker = requirement.marker
            worlds = [{**machine, "extra": extra} for extra in ("", *extras)]
            if marker is None or any(marker.evaluate(world) for world in worlds):
                yield requirement


def pins(text: str) -> tuple[Pin, ...]:
    """Those of a requirements file."""
    lines = re.sub(r"#.*", "", text).replace("\\\n", " ").splitlines()
    split = [re.split(r"\s+--hash=", line.strip()) for line in lines if line.strip()]
    return tuple(Pin(Requirement(first), frozenset(hashes)) for first, *hashes in split)


def pins_of(file: str) -> tuple[Pin, ...]:
    return pins((REPOSITORY / file).read_text())


def installed(environment: Path) -> tuple[Distribution, ...]:
    """What a virtual environment has."""
    [packages] = environment.glob("lib/python3.*/site-packages")
    return tuple(
        Distribution(canonicalize_name(found.name), found.version, tuple(found.requires or ()))
        for found in distributions(path=[str(packages)])
    )


def gaps(
    lock: Iterable[Pin], distributions: Iterable[Distribution], machine: Machine | None = None
) -> list[str]:
    """What these distributions ask for and the lock lacks, in words: a pin, a version, an extra."""
    machine = machine or {}
    locked = {pin.name: pin for pin in lock if pin.applies(machine)}
    missing = []
    for distribution in distributions:
        extras = locked[distribution.name].requirement.extras if distribution.name in locked else ()
        for asked in distribution.asks(extras, machine):
            pin = locked.get(canonicalize_name(asked.name))
            if (
                pin is None
                or pin.version not in asked.specifier
                or lowered(asked.extras) - lowered(pin.requirement.extras)
            ):
                missing.append(f"{distribution.name} asks for {asked}")
    return missing


def lowered(extras: Iterable[str]) -> set[str]:
    return {canonicalize_name(extra) for extra in extras}
