"""``mdsvc host``: a module for each of its commands."""

from __future__ import annotations

import click

from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples

COMMANDS = {
    "add": "Register the host that FILE describes in JSON (- reads stdin).",
    "drain": "Let host NAME take no new guests, and print it.",
    "import": "Register host NAME with the topology that libvirt or this machine's kernel reports.",
    "list": "List the hosts with their use.",
    "remove": "Forget a host that has no guests.",
    "show": "Draw a host: which guest has which CPU, and what a draining one has left to move.",
}


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    epilog=examples("mdsvc host add h1.json", "mdsvc host show h1"),
)
def command() -> None:
    """Register hosts, and see what is used of them."""
