"""``mdsvc instance show``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show


@click.command(epilog=examples(f"mdsvc instance show {UUID}"))
@click.argument("uuid")
@where_options
@json_option
def command(uuid: str) -> None:
    """Show a guest and its layout."""
    where = operator()
    guest = where.get_instance(uuid)
    show(
        guest,
        lambda: terminal.reported.instance_detail(
            guest, where.find_status(guest), where.find_lock(guest)
        ),
    )
