"""``mdsvc demo``."""

from __future__ import annotations

import click

from mdsvc.terminal.console import examples, terminal


@click.command(epilog=examples("mdsvc demo", "mdsvc demo --serve"))
@click.option("--serve", is_flag=True, help="Stay up, to be asked by hand, until interrupted.")
def command(serve: bool) -> None:
    """See it work: real hosts, guests placed, and a real cloud-init that learns its CPUs."""
    from mdsvc.demo.run import run

    run(terminal(), stay=serve)
