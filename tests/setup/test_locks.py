"""The requirements files pin all that is asked for, with its extras: none is left to the day."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.setup.locks import (
    DEV,
    FILES,
    INSTALLER,
    OURS,
    REPOSITORY,
    RUN,
    Distribution,
    Pin,
    gaps,
    installed,
    pins,
    pins_of,
)

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
VENV = REPOSITORY / ".venv"


def locked(text: str) -> tuple[Pin, ...]:
    return pins("\n".join(f"{line} --hash=sha256:0" for line in text.splitlines()))


def machine(python: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0"}


COVERED = Distribution("pytest-cov", "7.1", ("coverage[toml]>=7.10", "nox; extra == 'testing'"))


def test_what_is_asked_for_and_locked_is_no_gap() -> None:
    assert gaps(locked("pytest-cov==7.1\ncoverage[toml]==7.17"), [COVERED]) == []


@pytest.mark.parametrize(
    "coverage", ["coverage==7.17", "coverage[lcov]==7.17", "coverage[toml]==7.9", ""]
)
def test_a_pin_an_extra_or_a_version_that_is_missing_is_a_gap(coverage: str) -> None:
    found = gaps(locked(f"pytest-cov==7.1\n{coverage}".strip()), [COVERED])
    assert found == ["pytest-cov asks for coverage[toml]>=7.10"]


def test_an_extra_that_is_locked_brings_its_own_requirements() -> None:
    lock = locked("pytest-cov[testing]==7.1\ncoverage[toml]==7.17")
    assert gaps(lock, [COVERED]) == ['pytest-cov asks for nox; extra == "testing"']


def test_extras_and_names_are_one_however_they_are_spelled() -> None:
    asks = Distribution("nova", "34", ("SQLAlchemy[AsyncIO]", "oslo.service[some_extra]"))
    lock = locked("nova==34\nsqlalchemy[asyncio]==2\noslo-service[some-extra]==4")
    assert gaps(lock, [asks]) == []


def test_only_what_applies_to_the_machine_is_asked_for() -> None:
    asks = Distribution("web", "1", ("legacy-cgi; python_version >= '3.13'",))
    lock = locked("web==1\nlegacy-cgi==2; python_full_version >= '3.14'")
    missing = [bool(gaps(lock, [asks], machine(python))) for python in ("3.11", "3.13", "3.14")]
    assert missing == [False, True, False]


def chosen(file: str) -> list[Distribution]:
    """Of what is installed, that which this file pins, and what is ours."""
    names = {pin.name for pin in pins_of(file)}
    ours = {RUN: OURS, DEV: OURS}.get(file, ())
    return [it for it in installed(VENV) if it.name in names or it.name in ours]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("file", [RUN, DEV, INSTALLER])
def test_what_is_installed_asks_for_nothing_that_is_not_locked(file: str, python: str) -> None:
    assert gaps(pins_of(file), chosen(file), machine(python)) == []


def test_everything_that_is_locked_is_installed_and_nothing_else() -> None:
    versions = {it.name: it.version for it in installed(VENV) if it.name not in OURS}
    assert versions == {pin.name: pin.version for pin in pins_of(DEV) if pin.applies({})}


@pytest.mark.parametrize("file", [RUN, INSTALLER])
def test_a_smaller_file_is_a_part_of_the_one_of_everything(file: str) -> None:
    """So that more can be added to an environment, and nothing in it is replaced."""
    everything = {pin.name: pin for pin in pins_of(DEV)}
    for pin in pins_of(file):
        whole = everything[pin.name]
        assert (pin.version, pin.hashes) == (whole.version, whole.hashes), pin.name
        assert pin.requirement.extras <= whole.requirement.extras, pin.name


def test_everything_that_the_project_names_is_locked() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    build = project["build-system"]["requires"]
    for file, named in (
        (RUN, project["project"]["dependencies"]),
        (INSTALLER, [*groups["installer"], *build]),
        (DEV, [name for name in groups["dev"] if isinstance(name, str)]),
    ):
        asks = Distribution("this project", "0", tuple(named))
        assert gaps(pins_of(file), [asks]) == [], file


@pytest.mark.parametrize("file", FILES)
def test_each_line_pins_one_release_by_the_hashes_of_its_files(file: str) -> None:
    for pin in pins_of(file):
        [only] = pin.requirement.specifier
        assert only.operator == "==", pin
        assert pin.hashes, pin
        assert all(digest.startswith("sha256:") for digest in pin.hashes), pin
    text = (REPOSITORY / file).read_text()
    assert "://" not in text, "a file names an index"


def test_what_is_locked_for_node_has_its_hash_and_names_no_registry() -> None:
    text = (REPOSITORY / "tests/clients/package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert all(package["integrity"] for name, package in packages.items() if name)
    assert "://" not in text


def test_no_release_is_pinned_twice() -> None:
    for file in FILES:
        names = [pin.name for pin in pins_of(file)]
        assert len(names) == len(set(names)), file
