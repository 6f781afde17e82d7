"""``mdsvc hook``: a module for each of its commands."""

from __future__ import annotations

import click

from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples

COMMANDS = {
    "install": "Put the hook where libvirt runs it.",
    "print": "Print the hook: a Python script that needs Python alone.",
    "run": "Carry out what the hook has noted: guests come into the store, and go.",
}


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    epilog=examples("mdsvc hook install", "mdsvc hook run --host h1 --watch"),
)
def command() -> None:
    """Follow the guests of a plain libvirt host as they start and end."""
