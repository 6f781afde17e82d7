"""``mdsvc instance delete``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.instances import delete_instance
from mdsvc.names import canonical_uuid
from mdsvc.terminal.console import examples, json_option, show_bytes, store_option, use


@click.command(epilog=examples(f"mdsvc instance delete {UUID}"))
@click.argument("uuid")
@store_option
@json_option
def command(uuid: str) -> None:
    """Remove a guest, and free what it used."""
    use(lambda s: delete_instance(s, uuid))
    show_bytes(b"", {"uuid": canonical_uuid(uuid), "deleted": True})
