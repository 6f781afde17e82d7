"""``mdsvc instance rebuild``."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc import terminal
from mdsvc.cli.instance import UUID
from mdsvc.cli.instance.unknown import warned
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import INPUT, examples, json_option, read, show, strict_option


@click.command(
    epilog=examples(
        f"mdsvc instance rebuild {UUID} --image debian-13.json",
        f"mdsvc instance rebuild {UUID} --user-data cloud-config.yaml",
    ),
)
@click.argument("uuid")
@click.option("--image", "image_file", type=INPUT, metavar="FILE", help="Another image, in JSON.")
@click.option("--user-data", type=INPUT, metavar="FILE", help="Other user data, as they are.")
@strict_option
@where_options
@json_option
def command(uuid: str, image_file: Path | None, user_data: Path | None) -> None:
    """Let a guest begin a new life, and print it with its layout.

    Its password is forgotten. Its CPUs stay, unless the image changes what it asks of them: then it
    is fitted anew on its host, and if it does not fit, it stays as it was.
    """
    from msgspec import UNSET

    from mdsvc.forms import from_json
    from mdsvc.instance import content_of
    from mdsvc.policy.flavor import Image

    image = from_json(read(image_file), Image) if image_file else None
    content = content_of(read(user_data)) if user_data else UNSET
    on_unknown = warned(None, image)
    rebuilt = operator().rebuild_instance(uuid, image, content, on_unknown)
    show(rebuilt, lambda: terminal.tables.instance_detail(rebuilt))
