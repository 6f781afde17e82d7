"""``mdsvc host add``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.cli.host.replaced import show_replaced
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import INPUT, examples, json_option, read, show


@click.command(
    epilog=examples(
        "mdsvc host add h1.json",
        "mdsvc host show h1 --json | jq '.service_version = 2' | mdsvc host add - --replace",
    ),
)
@click.argument("file", type=INPUT)
@click.option("--replace", is_flag=True, help="Describe a registered host anew; guests stay.")
@where_options
@json_option
def command(file: Path, replace: bool) -> None:
    """Register the host that FILE describes in JSON (- reads stdin)."""
    from mdsvc.forms import from_json
    from mdsvc.topology import Host, described

    if replace:
        host, keeps = described(read(file))
        show_replaced(operator().replace_host(host, keeps))
        return
    added = operator().add_host(from_json(read(file), Host))
    show(added, lambda: terminal.tables.host_detail(added))
