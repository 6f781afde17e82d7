"""``mdsvc instance create``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.cli.instance.unknown import warned
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import (
    HOST_NAME,
    INPUT,
    examples,
    json_option,
    read,
    show,
    strict_option,
)


@click.command(
    epilog=examples("mdsvc instance create guest.json", "mdsvc instance create - --host h1 --json"),
)
@click.argument("file", type=INPUT)
@click.option(
    "--host", "host_name", type=HOST_NAME, metavar="NAME", help="Place it there, and nowhere else."
)
@strict_option
@where_options
@json_option
def command(file: Path, host_name: str | None) -> None:
    """Place the guest that FILE describes in JSON (- reads stdin), and print it with its layout.

    Keys of flavor and image that nobody knows are warned of on stderr.
    """
    from mdsvc.forms import from_json
    from mdsvc.instance import Instance

    new = from_json(read(file), Instance)
    on_unknown = warned(new.flavor, new.image)
    placed = operator().create_instance(new, host_name, on_unknown)
    show(placed, lambda: terminal.tables.instance_detail(placed))
