"""``mdsvc instance list``."""

from __future__ import annotations

import click

from mdsvc.control.instances import list_instances
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(epilog=examples("mdsvc instance list --json | jq -r '.[].uuid'"))
@store_option
@json_option
def command() -> None:
    """List the guests with their CPUs."""
    guests = use(list_instances)
    show(guests, tables.instances_table(guests))
