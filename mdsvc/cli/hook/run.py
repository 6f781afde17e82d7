"""``mdsvc hook run``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mdsvc.cli.hook.options import spool_option
from mdsvc.cli.project import project_option
from mdsvc.cli.where import server, where_options
from mdsvc.terminal.console import HOST_NAME, examples, tell, use


@click.command(
    epilog=examples(
        "mdsvc hook run",
        "mdsvc hook run --host h1 --watch",
        "mdsvc hook run --host h1 --watch --server https://mdsvc:8776",
    )
)
@click.option(
    "--host",
    type=HOST_NAME,
    metavar="NAME",
    help="What this host is called. [default: its node name]",
)
@click.option("--watch", is_flag=True, help="Stay, and carry out what comes.")
@click.option(
    "--networks",
    type=click.Path(path_type=Path),
    default=Path("/etc/libvirt/qemu/networks"),
    show_default=True,
    metavar="DIR",
    help="libvirt's networks, for the addresses that they keep for guests.",
)
@project_option("; only these go when they end")
@spool_option
@where_options
def command(host: str | None, watch: bool, networks: Path, project: str, spool: Path) -> None:
    """Carry out what the hook has noted: guests come into the store, and go.

    What contradicts the books is said, and waits until something else has gone.
    """
    import asyncio

    from mdsvc.hook.following import Following, OfStore, follow

    what = Following(spool, host or os.uname().nodename, networks, project)
    asked = server()
    if asked is not None:
        from mdsvc.cli.hook.of_server import OfServer

        asyncio.run(follow(OfServer(asked), what, tell, for_ever=watch))
    else:
        use(lambda store: follow(OfStore(store), what, tell, for_ever=watch))
