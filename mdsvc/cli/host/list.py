"""``mdsvc host list``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show, tell_damaged


@click.command(epilog=examples("mdsvc host list --json | jq -r '.[].name'"))
@where_options
@json_option
def command() -> int:
    """List the hosts with their use."""
    hosts = operator().list_hosts()
    show(hosts, lambda: terminal.tables.hosts_table(hosts))
    return tell_damaged(hosts)
