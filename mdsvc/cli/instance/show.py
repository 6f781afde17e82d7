"""``mdsvc instance show``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.instances import get_instance
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(epilog=examples(f"mdsvc instance show {UUID}"))
@click.argument("uuid")
@store_option
@json_option
def command(uuid: str) -> None:
    """Show a guest and its layout."""
    guest = use(lambda s: get_instance(s, uuid))
    show(guest, tables.instance_detail(guest))
