"""``mdsvc db upgrade``."""

from __future__ import annotations

from functools import partial

import click

from mdsvc.terminal.console import examples, json_option, show, store_option, tell, use_url


@click.command(
    epilog=examples(
        "mdsvc db upgrade",
        "mdsvc db upgrade --store sqlite:////var/lib/mdsvc/mdsvc.db --json",
        "mdsvc db upgrade --records                  once all servers are upgraded",
    ),
)
@store_option
@json_option
@click.option(
    "--records",
    is_flag=True,
    help="Also let records use what this version brought: say so once every server and command "
    "that uses the store is of it, as older ones cannot read these records. Implied for SQLite.",
)
def command(records: bool) -> None:
    """Bring the store's tables to the version that this program needs.

    Make a backup first. Servers of the version before may go on meanwhile. Run again after it was
    cut short, it goes on; where there is nothing to do, it does nothing.
    """
    from mdsvc.store.sql.versions import upgrade  # Alembic is slow to import

    done = use_url(
        partial(upgrade, told=lambda number, what: tell(f"{number:04} {what}"), records=records)
    )
    if done.before == done.version:
        what = f"of version {done.version} already"
    elif done.before is None:
        what = f"made, of version {done.version}"
    else:
        what = f"upgraded from version {done.before} to {done.version}"
    show(done, f"tables    {what}")
