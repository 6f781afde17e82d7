"""``mdsvc host show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show, tell_damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from mdsvc.instance import PlacedInstance
    from mdsvc.topology import Host


@click.command(epilog=examples("mdsvc host show h1"))
@click.argument("name")
@where_options
@json_option
def command(name: str) -> int:
    """Draw a host: which guest has which CPU, and what a draining one has left to move."""
    shown, guests = operator().get_host(name)
    show(shown, lambda: _drawn(shown, guests))
    return tell_damaged(guests)


def _drawn(host: Host, guests: Sequence[PlacedInstance]) -> RenderableType:
    from mdsvc.terminal.host_map import host_map
    from mdsvc.terminal.tables import host_detail, left_to_move
    from mdsvc.terminal.words import Printable

    return Printable(host_detail(host), host_map(host, guests), *left_to_move(host, guests))
