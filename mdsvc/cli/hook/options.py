"""What the commands of ``mdsvc hook`` share."""

from __future__ import annotations

from pathlib import Path

import click

from mdsvc.hook.notes import SPOOL

spool_option = click.option(
    "--spool",
    type=click.Path(path_type=Path),
    default=SPOOL,
    show_default=True,
    metavar="DIR",
    help="Where the hook leaves its notes.",
)
