"""``mdsvc host drain``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mdsvc import terminal
from mdsvc.cli.where import operator, where_options
from mdsvc.terminal.console import examples, json_option, show, tell

if TYPE_CHECKING:
    from mdsvc.control.draining import Drained
    from mdsvc.instance import PlacedInstance


@click.command(
    epilog=examples(
        "mdsvc host drain h1",
        "mdsvc host drain h1 --move",
        "mdsvc host drain h1 --move --json | jq -r '.left[] | .uuid, .reasons[].message'",
        "mdsvc host drain h1 --undo",
    ),
)
@click.argument("name")
@click.option("--move", is_flag=True, help="Move its guests to other hosts, those that fit there.")
@click.option("--undo", is_flag=True, help="Let it take new guests again.")
@where_options
@json_option
def command(name: str, move: bool, undo: bool) -> None:
    """Let host NAME take no new guests, and print it.

    Those that it has stay, until they are deleted or moved. With --move those that fit elsewhere
    are moved, one by one; why others do not is told on stderr, and the exit code is 3.
    """
    if move and undo:
        raise click.UsageError("expected one of --move and --undo, not both")
    if not move:
        host = operator().drain_host(name, draining=not undo)
        show(host, lambda: terminal.tables.host_detail(host))
        return
    from mdsvc.terminal.progress import progress  # rich is slow to import

    with progress(f"host {name}") as tell_progress:
        drained = operator().move_guests(name, tell_progress)
    _show(drained)


def _show(drained: Drained) -> None:
    """The host, and for programs what became of its guests."""
    from mdsvc.errors import Conflict
    from mdsvc.forms import to_builtins

    host, moved, left = drained.host, drained.moved, drained.left
    for guest in moved:
        tell(f"moved {guest.name} ({guest.uuid}) to host {guest.host}")
    for each in left:
        tell(f"left {each.name} ({each.uuid}): {each.message}")
    outcome = {"moved": [_brief(guest) for guest in moved], "left": to_builtins(left)}
    show({**to_builtins(host), **outcome}, lambda: terminal.tables.host_detail(host))
    if left:
        count = f"{len(left)} of {len(moved) + len(left)} guests are left on it"
        raise Conflict(f"host {host.name}: {count}, as they could not be moved")


def _brief(guest: PlacedInstance) -> dict[str, object]:
    return {name: getattr(guest, name) for name in ("uuid", "name", "host", "generation")}
