"""``mdsvc token``: a module for each of its commands."""

from __future__ import annotations

import click

from mdsvc.cli.loading import Commands, later
from mdsvc.terminal.console import examples

COMMANDS = {
    "create": "Make a token for whoever uses the operator's API, and show its secret this once.",
    "list": "List the tokens, and when each was last used.",
    "revoke": "Forget a token; running servers do so within 2 seconds.",
}


@click.group(
    cls=Commands,
    commands=later(__name__, COMMANDS),
    epilog=examples("mdsvc token create alice", "mdsvc token create grafana --read-only"),
)
def command() -> None:
    """Tokens for the operator's API.

    While there is none, this machine's own listener is open, and there can be no other.
    """
