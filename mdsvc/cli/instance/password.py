"""``mdsvc instance password``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show_bytes


@click.command(
    epilog=examples(
        f"mdsvc instance password {UUID} | base64 -d | openssl pkeyutl -decrypt -inkey key.pem",
        f"mdsvc instance password {UUID} --clear",
    ),
)
@click.argument("uuid")
@click.option("--clear", is_flag=True, help="Forget it, so that the guest can store one again.")
@where_options
@json_option
def command(uuid: str, clear: bool) -> None:
    """Print the encrypted password that a guest has stored, byte for byte as it sent it."""
    from mdsvc.instance import content_of
    from mdsvc.names import canonical_uuid

    if clear:
        operator().clear_password(uuid)
        show_bytes(b"", {"uuid": canonical_uuid(uuid), "deleted": True})
    else:
        password = operator().get_password(uuid)
        show_bytes(password, {"uuid": canonical_uuid(uuid), "password": content_of(password)})
