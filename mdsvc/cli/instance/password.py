"""``mdsvc instance password``."""

from __future__ import annotations

import click

from mdsvc.cli.instance import UUID
from mdsvc.control.instances import clear_password, get_password
from mdsvc.instance import content_of
from mdsvc.names import canonical_uuid
from mdsvc.terminal.console import examples, json_option, show_bytes, store_option, use


@click.command(
    epilog=examples(
        f"mdsvc instance password {UUID} | base64 -d | openssl pkeyutl -decrypt -inkey key.pem",
        f"mdsvc instance password {UUID} --clear",
    ),
)
@click.argument("uuid")
@click.option("--clear", is_flag=True, help="Forget it, so that the guest can store one again.")
@store_option
@json_option
def command(uuid: str, clear: bool) -> None:
    """Print the encrypted password that a guest has stored, byte for byte as it sent it."""
    if clear:
        use(lambda s: clear_password(s, uuid))
        show_bytes(b"", {"uuid": canonical_uuid(uuid), "deleted": True})
    else:
        password = use(lambda s: get_password(s, uuid))
        show_bytes(password, {"uuid": canonical_uuid(uuid), "password": content_of(password)})
