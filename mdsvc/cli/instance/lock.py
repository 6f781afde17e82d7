"""``mdsvc instance lock``."""

from __future__ import annotations

import click

from mdsvc import terminal
from mdsvc.cli.instance import UUID
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show


@click.command(
    epilog=examples(f"mdsvc instance lock {UUID}", f"mdsvc instance lock {UUID} --undo"),
)
@click.argument("uuid")
@click.option("--undo", is_flag=True, help="Open them anew: the next read counts as the first.")
@where_options
@json_option
def command(uuid: str, undo: bool) -> None:
    """Close a guest's user data at once, so that nothing in it can read them any more.

    Guests are refused where the server has user_data_after_boot = "deny"; there they close by
    themselves once a guest has read them or reported. A rebuild opens them anew too.
    """
    lock = operator().lock_user_data(uuid, locked=not undo)
    show(lock, lambda: terminal.reported.lock_detail(lock))
