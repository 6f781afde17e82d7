"""``mdsvc token list``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.terminal.console import examples, json_option, show, store_option, use


@click.command(epilog=examples("mdsvc token list", "mdsvc token list --json"))
@store_option
@json_option
def command() -> None:
    """List the tokens, and when each was last used."""
    from mdsvc.control.tokens import list_tokens

    tokens = use(list_tokens)
    show(tokens, lambda: terminal.tables.tokens_table(tokens))
