"""``mdsvc instance migrate``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.moves import migrate_instance
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(
    epilog=examples(
        f"mdsvc instance migrate {UUID}",
        f"mdsvc instance migrate {UUID} --host h2",
    ),
)
@click.argument("uuid")
@click.option("--host", metavar="NAME", help="To this host. [default: to the best other one]")
@store_option
@json_option
def command(uuid: str, host: str | None) -> None:
    """Move a guest to another host, and print it with its layout there.

    Its place there is taken, and what it used here is free, in one step. If it does not fit there,
    it stays where it is. What runs is yours to move: `mdsvc instance xml` prints the new domain.
    """
    moved = use(lambda s: migrate_instance(s, uuid, host))
    show(moved, tables.instance_detail(moved))
