"""``mdsvc host remove``."""

from __future__ import annotations

import click

from mdsvc.control.hosts import remove_host
from mdsvc.terminal.console import examples, json_option, show_bytes, store_option, use


@click.command(epilog=examples("mdsvc host remove h1"))
@click.argument("name")
@store_option
@json_option
def command(name: str) -> None:
    """Forget a host that has no guests."""
    use(lambda s: remove_host(s, name))
    show_bytes(b"", {"name": name, "deleted": True})
