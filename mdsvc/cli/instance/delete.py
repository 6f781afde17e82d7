"""``mdsvc instance delete``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.instances import delete_instance
from mdsvc.terminal.console import examples, store_option, use


@click.command(epilog=examples(f"mdsvc instance delete {UUID}"))
@click.argument("uuid")
@store_option
def command(uuid: str) -> None:
    """Remove a guest, and free what it used."""
    use(lambda s: delete_instance(s, uuid))
