"""``mdsvc completion``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples


@click.command(epilog=examples('eval "$(mdsvc completion bash)"', "mdsvc completion fish | source"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes mdsvc's arguments in your shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind, "click knows the shells of the choice above"
    click.echo(kind(context.find_root().command, {}, "mdsvc", "_MDSVC_COMPLETE").source())
