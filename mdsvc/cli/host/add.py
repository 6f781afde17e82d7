"""``mdsvc host add``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from mdsvc.cli.host.replaced import show_replaced
from mdsvc.control.hosts import add_host, replace_host
from mdsvc.forms import from_json
from mdsvc.terminal import tables
from mdsvc.terminal.console import INPUT, examples, json_option, read, show, store_option, use
from mdsvc.topology import Host, described


@click.command(
    epilog=examples(
        "mdsvc host add h1.json",
        "mdsvc host show h1 --json | jq '.service_version = 2' | mdsvc host add - --replace",
    ),
)
@click.argument("file", type=INPUT)
@click.option("--replace", is_flag=True, help="Describe a registered host anew; guests stay.")
@store_option
@json_option
def command(file: Path, replace: bool) -> None:
    """Register the host that FILE describes in JSON (- reads stdin)."""
    if replace:
        host, keeps = described(read(file))
        show_replaced(use(partial(replace_host, host=host, keeps=keeps)))
        return
    new = from_json(read(file), Host)
    added = use(lambda s: add_host(s, new))
    show(added, tables.host_detail(added))
