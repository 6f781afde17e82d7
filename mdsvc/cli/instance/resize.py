"""``mdsvc instance resize``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.cli.instance import UUID
from mdsvc.cli.instance.unknown import warned
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import INPUT, examples, json_option, read, show, strict_option, tell


@click.command(
    epilog=examples(
        f"mdsvc instance resize {UUID} --flavor large.json",
        f"mdsvc instance resize {UUID} --flavor large.json --image newer.json",
    ),
)
@click.argument("uuid")
@click.option(
    "--flavor", "flavor_file", type=INPUT, metavar="FILE", required=True, help="The new flavor."
)
@click.option("--image", "image_file", type=INPUT, metavar="FILE", help="Another image too.")
@strict_option
@where_options
@json_option
def command(uuid: str, flavor_file: Path, image_file: Path | None) -> None:
    """Give a guest the flavor that FILE describes in JSON (- reads stdin), and print it.

    It is fitted with what it has given back: on its own host where it fits, else on the best other
    one, which is told on stderr. If it fits nowhere, it stays as it was.
    """
    from mdsvc.forms import from_json
    from mdsvc.policy.flavor import Flavor, Image

    flavor = from_json(read(flavor_file), Flavor)
    image = from_json(read(image_file), Image) if image_file else None
    on_unknown = warned(flavor, image)
    before = operator().get_instance(uuid)
    resized = operator().resize_instance(uuid, flavor, image, on_unknown)
    if resized.host != before.host:
        tell(f"it does not fit on host {before.host}, and is on host {resized.host} now")
    show(resized, lambda: terminal.tables.instance_detail(resized))
