"""``mdsvc host show``."""

from __future__ import annotations

import click

from mdsvc.control.hosts import get_host
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use
from mdsvc.terminal.host_map import host_map


@click.command(epilog=examples("mdsvc host show h1"))
@click.argument("name")
@store_option
@json_option
def command(name: str) -> None:
    """Draw a host: which guest has which CPU, and what a draining one has left to move."""
    shown, guests = use(lambda s: get_host(s, name))
    left = tables.left_to_move(shown, guests)
    show(shown, tables.host_detail(shown), host_map(shown, guests), *left)
