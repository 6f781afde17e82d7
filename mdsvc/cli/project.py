"""``--project``, of the commands that take in guests which run already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def _default() -> str:
    from mdsvc.control.adoption import DEFAULT_PROJECT

    return DEFAULT_PROJECT


def project_option(more: str) -> Callable[[F], F]:
    """The option; what it is for comes to more in one of the commands."""
    said = f"Of guests whose domains name none{more}. [default: libvirt]"
    return click.option("--project", default=_default, metavar="ID", help=said)
