"""``mdsvc token list``."""

from __future__ import annotations

import click

from mdsvc.control.tokens import list_tokens
from mdsvc.terminal.console import examples, json_option, show, store_option, use
from mdsvc.terminal.tables import tokens_table


@click.command(epilog=examples("mdsvc token list", "mdsvc token list --json"))
@store_option
@json_option
def command() -> None:
    """List the tokens, and when each was last used."""
    tokens = use(list_tokens)
    show(tokens, tokens_table(tokens))
