"""``mdsvc token create``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples, json_option, show_bytes, store_option, tell, use


@click.command(
    epilog=examples(
        "mdsvc token create alice",
        "MDSVC_TOKEN=$(mdsvc token create ci --read-only --json | jq -r .token)",
    ),
)
@click.argument("name")
@click.option("--read-only", is_flag=True, help="It may look at everything, and change nothing.")
@store_option
@json_option
def command(name: str, read_only: bool) -> None:
    """Make a token for whoever uses the operator's API, and show its secret this once.

    What is stored is only its SHA-256.
    """
    from mdsvc.control.tokens import create_token

    issued = use(lambda s: create_token(s, name, read_only))
    show_bytes(issued.token.encode(), issued)
    tell("this is shown once; send it as Authorization: Bearer TOKEN")
