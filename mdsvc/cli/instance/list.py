"""``mdsvc instance list``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show


@click.command(
    epilog=examples(
        "mdsvc instance list --json | jq -r '.[].uuid'",
        "mdsvc instance list --host h1",
    ),
)
@click.option("--host", metavar="NAME", help="Those on this host alone.")
@where_options
@json_option
def command(host: str | None) -> None:
    """List the guests with their CPUs."""
    guests = operator().list_instances(host)
    show(guests, lambda: terminal.tables.instances_table(guests))
