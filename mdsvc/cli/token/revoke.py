"""``mdsvc token revoke``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples, json_option, show_bytes, store_option, use


@click.command(epilog=examples("mdsvc token revoke alice"))
@click.argument("name")
@store_option
@json_option
def command(name: str) -> None:
    """Forget a token; running servers do so within 2 seconds."""
    from mdsvc.control.tokens import revoke_token

    use(lambda s: revoke_token(s, name))
    show_bytes(b"", {"name": name, "deleted": True})
