"""``mdsvc hook run``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mdsvc.cli.hook.options import spool_option
from mdsvc.control.adoption import DEFAULT_PROJECT
from mdsvc.hook.following import Following, follow
from mdsvc.terminal.console import examples, store_option, tell, use


@click.command(epilog=examples("mdsvc hook run", "mdsvc hook run --host h1 --watch"))
@click.option("--host", metavar="NAME", help="What this host is called. [default: its node name]")
@click.option("--watch", is_flag=True, help="Stay, and carry out what comes.")
@click.option(
    "--networks",
    type=click.Path(path_type=Path),
    default=Path("/etc/libvirt/qemu/networks"),
    show_default=True,
    metavar="DIR",
    help="libvirt's networks, for the addresses that they keep for guests.",
)
@click.option(
    "--project",
    default=DEFAULT_PROJECT,
    show_default=True,
    metavar="ID",
    help="Of guests whose domains name none; only these go when they end.",
)
@spool_option
@store_option
def command(host: str | None, watch: bool, networks: Path, project: str, spool: Path) -> None:
    """Carry out what the hook has noted: guests come into the store, and go.

    What contradicts the books is said, and waits until something else has gone.
    """
    what = Following(spool, host or os.uname().nodename, networks, project)
    use(lambda store: follow(store, what, tell, for_ever=watch))
