"""``mdsvc host list``."""

from __future__ import annotations

import click

from mdsvc.control.hosts import list_hosts
from mdsvc.terminal import tables
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(epilog=examples("mdsvc host list --json | jq -r '.[].name'"))
@store_option
@json_option
def command() -> None:
    """List the hosts with their use."""
    hosts = use(list_hosts)
    show(hosts, tables.hosts_table(hosts))
