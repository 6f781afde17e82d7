"""``mdsvc hook run``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdsvc.cli.hook.options import spool_option
from mdsvc.cli.where import server, where_options
from mdsvc.control.adoption import DEFAULT_PROJECT, Adopted, Terms
from mdsvc.hook.following import Following, OfStore, follow
from mdsvc.terminal.console import examples, tell, use

if TYPE_CHECKING:
    from mdsvc.operating import Operator


class _OfServer:
    """The books of a running server, which is asked by one request after another."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def check_host(self, name: str) -> None:
        await asyncio.to_thread(self._operator.get_host, name)

    async def take_in(self, xml: bytes, host: str, terms: Terms) -> Adopted:
        (adopted,) = await asyncio.to_thread(self._operator.import_guests, [xml], host, terms)
        return adopted

    async def let_go(self, uuid: str, host: str, project: str) -> bool:
        return await asyncio.to_thread(self._operator.let_go, uuid, host, project)


@click.command(
    epilog=examples(
        "mdsvc hook run",
        "mdsvc hook run --host h1 --watch",
        "mdsvc hook run --host h1 --watch --server https://mdsvc:8776",
    )
)
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
@where_options
def command(host: str | None, watch: bool, networks: Path, project: str, spool: Path) -> None:
    """Carry out what the hook has noted: guests come into the store, and go.

    What contradicts the books is said, and waits until something else has gone.
    """
    what = Following(spool, host or os.uname().nodename, networks, project)
    asked = server()
    if asked is not None:
        asyncio.run(follow(_OfServer(asked), what, tell, for_ever=watch))
    else:
        use(lambda store: follow(OfStore(store), what, tell, for_ever=watch))
