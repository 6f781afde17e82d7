"""``mdsvc host remove``."""

from __future__ import annotations

import click

from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show_bytes


@click.command(epilog=examples("mdsvc host remove h1"))
@click.argument("name")
@where_options
@json_option
def command(name: str) -> None:
    """Forget a host that has no guests."""
    operator().remove_host(name)
    show_bytes(b"", {"name": name, "deleted": True})
