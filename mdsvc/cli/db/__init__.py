"""``mdsvc db``: a module for each of its commands."""

from __future__ import annotations

import click

from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples

COMMANDS = {
    "current": "Say of which version the store's tables are, and which one this program needs.",
    "migrate-layouts": "Rewrite records of an older form, while servers go on.",
    "upgrade": "Bring the store's tables to the version that this program needs.",
}


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    epilog=examples("mdsvc db current", "mdsvc db upgrade"),
)
def command() -> None:
    """Look after the store's database."""
