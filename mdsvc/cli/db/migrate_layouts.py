"""``mdsvc db migrate-layouts``."""

from __future__ import annotations

from functools import partial

import click

from mdsvc.terminal.console import examples, json_option, show, store_option, tell, use_url


@click.command(
    epilog=examples(
        "mdsvc db migrate-layouts",
        "mdsvc db migrate-layouts --batch 1000 --json",
    ),
)
@store_option
@json_option
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many records to look at at a time; they are written in one transaction.",
)
def command(batch: int) -> None:
    """Rewrite records of an older form, while servers go on.

    Such are layouts that kept dedicated vCPUs in the set of the shared ones. They are read rightly
    as they are, and what somebody changes meanwhile is not touched. Run again after it was cut
    short, it goes on. A record that cannot be read is named, and left as it is; the exit code is 1
    then.
    """
    from mdsvc.store.sql.rewriting import rewrite  # SQLAlchemy is slow to import
    from mdsvc.terminal.progress import progress

    with progress("rewriting records", lines=True) as told:
        done = use_url(partial(rewrite, batch=batch, told=told))
    for record in done.unreadable:
        tell(record.error)
    if done.left:
        tell(f"{done.left} records were changed again and again meanwhile; run this again")
    summary = f"records     {done.records}\nrewritten   {done.rewritten}"
    if done.unreadable:
        summary += f"\nunreadable  {len(done.unreadable)}"
    show(done, summary)
    if done.unreadable or done.left:
        raise click.exceptions.Exit(1)
