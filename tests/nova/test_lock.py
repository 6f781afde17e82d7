"""Nova's environment has what is pinned for it, and all that this asks for is pinned."""

from __future__ import annotations

import pytest

from tests.setup.locks import NOVA, REPOSITORY, gaps, installed, pins_of

THERE = installed(REPOSITORY / ".venv-nova")

ALLOWED = ["neutron asks for ovs>3.3.0"]
"""As overrides.txt says."""


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_what_is_installed_asks_for_nothing_that_is_not_locked(python: str) -> None:
    machine = {"python_version": python, "python_full_version": f"{python}.4"}
    assert gaps(pins_of(NOVA), THERE, machine) == ALLOWED


def test_everything_that_is_locked_is_installed_and_nothing_else() -> None:
    locked = {pin.name: pin.version for pin in pins_of(NOVA) if pin.applies({})}
    assert {it.name: it.version for it in THERE} == locked
