"""``mdsvc instance migrate``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import HOST_NAME, examples, json_option, show


@click.command(
    epilog=examples(
        f"mdsvc instance migrate {UUID}",
        f"mdsvc instance migrate {UUID} --host h2",
    ),
)
@click.argument("uuid")
@click.option(
    "--host", type=HOST_NAME, metavar="NAME", help="To this host. [default: to the best other one]"
)
@where_options
@json_option
def command(uuid: str, host: str | None) -> None:
    """Move a guest to another host, and print it with its layout there.

    Its place there is taken, and what it used here is free, in one step. If it does not fit there,
    it stays where it is. What runs is yours to move: `mdsvc instance xml` prints the new domain.
    """
    moved = operator().migrate_instance(uuid, host)
    show(moved, lambda: terminal.tables.instance_detail(moved))
