"""``mdsvc db current``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples, json_option, show, store_option, use_url


@click.command(
    epilog=examples(
        "mdsvc db current",
        "mdsvc db current --json | jq -e .current   fails where an upgrade is due",
    ),
)
@store_option
@json_option
def command() -> None:
    """Say of which version the store's tables are, and which one this program needs.

    Changes nothing, and makes no database where there is none yet.
    """
    from mdsvc.store.sql.forms import COMMAND  # SQLAlchemy is slow to import
    from mdsvc.store.sql.versions import current

    state = use_url(current)
    lines = [f"tables    {'none yet' if state.version is None else f'version {state.version}'}"]
    lines += [f"expected  version {state.expected}"]
    lines += [f"run       {state.run}"] if state.run else []
    if state.older_programs:
        lines += ["records   as older programs read them; once all programs are upgraded, run:"]
        lines += [f"          {COMMAND}"]
    show(state, "\n".join(lines))
