"""``mdsvc instance list``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import HOST_NAME, examples, json_option, show, tell_damaged


@click.command(
    epilog=examples(
        "mdsvc instance list --json | jq -r '.[].uuid'",
        "mdsvc instance list --host h1",
        "mdsvc instance list --drifted",
    ),
)
@click.option("--host", type=HOST_NAME, metavar="NAME", help="Those on this host alone.")
@click.option(
    "--drifted",
    is_flag=True,
    help="Those alone that were told something and did not apply it, said so, or fell silent.",
)
@where_options
@json_option
def command(host: str | None, drifted: bool) -> int:
    """List the guests with their CPUs."""
    if drifted:
        guests = operator().list_drifted(host)
        show(guests, lambda: terminal.reported.drifted_table(guests))
    else:
        guests = operator().list_instances(host)
        show(guests, lambda: terminal.tables.instances_table(guests))
    return tell_damaged(guests)
