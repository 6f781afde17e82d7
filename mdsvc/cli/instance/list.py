"""``mdsvc instance list``."""

from __future__ import annotations

import click

from mdsvc.control.instances import list_instances
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(
    epilog=examples(
        "mdsvc instance list --json | jq -r '.[].uuid'",
        "mdsvc instance list --host h1",
    ),
)
@click.option("--host", metavar="NAME", help="Those on this host alone.")
@store_option
@json_option
def command(host: str | None) -> None:
    """List the guests with their CPUs."""
    guests = use(lambda s: list_instances(s, host))
    show(guests, tables.instances_table(guests))
