"""``mdsvc instance delete``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show_bytes


@click.command(epilog=examples(f"mdsvc instance delete {UUID}"))
@click.argument("uuid")
@where_options
@json_option
def command(uuid: str) -> None:
    """Remove a guest, and free what it used."""
    from mdsvc.names import canonical_uuid

    operator().delete_instance(uuid)
    show_bytes(b"", {"uuid": canonical_uuid(uuid), "deleted": True})
